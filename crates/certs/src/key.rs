//! Private keys as they are found: ours in PKCS#8, docker-machine's RSA keys in PKCS#1.

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::KeyPair;
use x509_parser::prelude::Pem;
use zeroize::Zeroizing;

use super::{Error, Result};

/// How PEM texts call a key of PKCS#1 (RFC 8017, appendix A.1.2).
const PKCS1: &str = "RSA PRIVATE KEY";
/// DER of `INTEGER 0` and of the AlgorithmIdentifier rsaEncryption (RFC 5958, section 2; RFC 8017, appendix A.1).
const RSA: [u8; 18] = [2, 1, 0, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

/// The key of a PEM text.
pub(super) fn read(pem: &str) -> Result<KeyPair> {
    KeyPair::from_pem(&pkcs8(pem)?).map_err(Error::Issue)
}

/// The PEM text of a private key in PKCS#8; it is the same text where it is that already.
///
/// # Errors
///
/// [`Error::Unreadable`] when it is no PEM text.
pub fn pkcs8(pem: &str) -> Result<Zeroizing<String>> {
    let unreadable = |text: &str| Error::Unreadable(text.to_owned());
    let Some(Ok(parsed)) = Pem::iter_from_buffer(pem.as_bytes()).next() else {
        return Err(unreadable("the key is no PEM text"));
    };
    if parsed.label != PKCS1 {
        return Ok(Zeroizing::new(pem.to_owned()));
    }
    let key = Zeroizing::new(parsed.contents);
    let mut inner = Zeroizing::new(RSA.to_vec());
    inner.extend(tagged(0x04, &key).ok_or_else(|| unreadable("the key is too long"))?.iter());
    let whole = tagged(0x30, &inner).ok_or_else(|| unreadable("the key is too long"))?;
    let text = Zeroizing::new(STANDARD.encode(&whole));
    let mut out = Zeroizing::new(String::with_capacity(text.len() + text.len() / 32 + 64));
    out.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out.push_str("-----END PRIVATE KEY-----\n");
    Ok(out)
}

/// A DER value of this tag, its length in the short or the long form.
fn tagged(tag: u8, content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = u16::try_from(content.len()).ok()?.to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + 4));
    out.push(tag);
    match length {
        [0, short] if short < 0x80 => out.push(short),
        [0, long] => out.extend([0x81, long]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend(content);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [(1, &[4, 1][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (256, &[4, 0x82, 1, 0])] {
            assert_eq!(&tagged(4, &vec![0; length]).unwrap()[..head.len()], head, "{length}");
        }
        assert!(tagged(4, &vec![0; 1 << 16]).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "-----BEGIN RSA PRIVATE KEY-----\n!\n-----END RSA PRIVATE KEY-----\n", "x"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n").is_err());
    }
}
