//! Several certificates in one PEM text, and a certificate with its key.

use x509_parser::prelude::Pem;
use zeroize::Zeroizing;

use super::{Error, Identity, Result, key_matches};

const CERTIFICATE: &str = "CERTIFICATE";
/// Most certificates of a text that is read here: a few generations of a CA.
const MOST: usize = 16;

/// What a PEM text with certificates, and perhaps a key, holds.
#[derive(Debug)]
pub struct Bundle {
    /// Its certificates, PEM, each ending with a line break; one at least.
    pub certs: Vec<String>,
    /// The first of them with its key.
    pub identity: Option<Identity>,
}

impl Bundle {
    /// Its certificates one after the other.
    pub fn certs_pem(&self) -> String {
        self.certs.concat()
    }
}

/// The text of a certificate and its key, which [`split`] reads.
pub fn join(identity: &Identity) -> Zeroizing<String> {
    let (cert, key) = (identity.cert_pem.trim_end(), identity.key_pem.trim_end());
    let mut text = Zeroizing::new(String::with_capacity(cert.len() + key.len() + 2));
    for part in [cert, "\n", key, "\n"] {
        text.push_str(part);
    }
    text
}

/// Takes a text apart into its certificates and the key of the first one.
///
/// # Errors
///
/// [`Error::Unreadable`] when it holds no certificate, something else, or a key of none of them.
pub fn split(text: &str) -> Result<Bundle> {
    let unreadable = |what: &str| Error::Unreadable(what.to_owned());
    let mut certs: Vec<String> = Vec::new();
    let mut key_pem = None;
    for (count, (label, block)) in blocks(text)?.into_iter().enumerate() {
        if count > MOST {
            return Err(unreadable("it holds too much"));
        }
        match label {
            CERTIFICATE => {
                super::inspect(block)?;
                certs.push(format!("{block}\n"));
            }
            label if label.ends_with("PRIVATE KEY") && key_pem.is_none() => {
                key_pem = Some(Zeroizing::new(format!("{block}\n")));
            }
            _ => return Err(unreadable("it holds something that is no certificate")),
        }
    }
    let Some(first) = certs.first() else { return Err(unreadable("it is empty")) };
    let identity = match key_pem {
        None => None,
        Some(key_pem) if key_matches(first, &key_pem)? => Some(Identity { cert_pem: first.clone(), key_pem }),
        Some(_) => return Err(unreadable("its key is not that of its certificate")),
    };
    Ok(Bundle { certs, identity })
}

/// The PEM blocks of a text with their labels.
fn blocks(text: &str) -> Result<Vec<(&str, &str)>> {
    let unreadable = |what: &str| Error::Unreadable(what.to_owned());
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        rest = &rest[at..];
        let label = rest[11..].split_once("-----").map(|(label, _)| label).unwrap_or_default();
        let end = format!("-----END {label}-----");
        let Some(stop) = rest.find(&end) else { return Err(unreadable("it ends early")) };
        let block = &rest[..stop + end.len()];
        match Pem::iter_from_buffer(block.as_bytes()).next() {
            Some(Ok(pem)) if pem.label == label => found.push((label, block)),
            _ => return Err(unreadable("a part of it is no PEM text")),
        }
        rest = &rest[stop + end.len()..];
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{new_ca, same};

    #[test]
    fn a_certificate_and_its_key_come_back() {
        let [one, two] = ["one", "two"].map(|owner| new_ca(owner, OffsetDateTime::now_utc()).unwrap());
        let read = split(&join(&one)).unwrap();
        assert_eq!(read.certs_pem(), one.cert_pem);
        let identity = read.identity.unwrap();
        assert!(same(&identity.cert_pem, &one.cert_pem) && identity.key_pem.trim() == one.key_pem.trim());
        let both = split(&format!("{}{}", one.cert_pem, two.cert_pem)).unwrap();
        assert!(both.identity.is_none());
        assert_eq!(both.certs, [one.cert_pem.clone(), two.cert_pem.clone()]);
        let with_key = split(&format!("{}{}{}", one.cert_pem, two.cert_pem, one.key_pem.as_str())).unwrap();
        assert!(same(&with_key.identity.unwrap().cert_pem, &one.cert_pem));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let [one, two] = ["one", "two"].map(|owner| new_ca(owner, OffsetDateTime::now_utc()).unwrap());
        let whole = join(&one);
        let many = one.cert_pem.repeat(MOST + 2);
        let foreign = format!("{}{}", one.cert_pem, two.key_pem.as_str());
        let twice = format!("{}{}", whole.as_str(), one.key_pem.as_str());
        let key = one.key_pem.to_string();
        for text in ["", "x", &whole[..whole.len() - 30], &many, &foreign, &twice, &key, "-----BEGIN X-----\n"] {
            assert!(split(text).is_err(), "{text:?}");
        }
    }
}
