//! Certificates for somebody else's key, by a CA that signs nothing else.

use rcgen::{
    BasicConstraints, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SubjectPublicKeyInfo,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer, public_key::PublicKey};

use super::{Error, Result, new_key, params};

/// Clocks may be off by this much; a share lives for hours, and a day back would be most of it.
const BACKDATED: Duration = Duration::minutes(5);
/// Fewest bits of an RSA key (NIST SP 800-131A: those below are not for signatures any more).
const RSA_BITS: usize = 2048;

/// A public key that a certificate is asked for.
#[derive(Debug)]
pub struct Recipient {
    algorithm: &'static rcgen::SignatureAlgorithm,
    bits: Vec<u8>,
    fingerprint: String,
}

impl Recipient {
    /// Reads a PEM text with a public key (RFC 7468, section 13) or a signed request for a certificate (RFC 2986).
    ///
    /// # Errors
    ///
    /// [`Error::Recipient`]; a private key is refused and not repeated.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |what: &str| Err(Error::Recipient(what.to_owned()));
        if text.contains("PRIVATE KEY-----") {
            return refused("that is a private key: it stays with its owner");
        }
        if text.contains("-----BEGIN CERTIFICATE REQUEST-----")
            || text.contains("-----BEGIN NEW CERTIFICATE REQUEST-----")
        {
            let unread =
                |e: &dyn std::fmt::Display| Error::Recipient(format!("the certificate request does not read: {e}"));
            CertificateSigningRequestParams::from_pem(text).map_err(|e| unread(&e))?;
            // The key's type is not that of the signature, which rcgen takes it from.
            let der = super::inspect::der_of(text)?;
            let (_, request) = X509CertificationRequest::from_der(&der).map_err(|e| unread(&e))?;
            let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
                .map_err(|e| unread(&e))?;
            return Self::of(&key);
        }
        if text.contains("-----BEGIN PUBLIC KEY-----") {
            let key = SubjectPublicKeyInfo::from_pem(text)
                .map_err(|e| Error::Recipient(format!("the public key does not read, or is of no known type: {e}")))?;
            return Self::of(&key);
        }
        if text.trim_start().starts_with("ssh-") || text.trim_start().starts_with("ecdsa-sha2-") {
            return refused("that is an SSH key, which docker cannot use");
        }
        refused("that is neither a public key nor a certificate request in PEM")
    }

    fn of(key: &impl PublicKeyData) -> Result<Self> {
        let info = key.subject_public_key_info();
        require_strong(key.algorithm(), &info)?;
        let fingerprint = Sha256::digest(info).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { algorithm: key.algorithm(), bits: key.der_bytes().to_vec(), fingerprint })
    }

    /// SHA-256 of its SubjectPublicKeyInfo, in hexadecimal: `openssl pkey -pubin -outform DER | sha256sum`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Refuses a key that others could come by; `info` is its SubjectPublicKeyInfo.
fn require_strong(algorithm: &'static rcgen::SignatureAlgorithm, info: &[u8]) -> Result<()> {
    if [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].contains(&algorithm) {
        return Ok(());
    }
    let weak = |what: &str| {
        Err(Error::Recipient(format!("{what}; a key of P-256, P-384, Ed25519, or RSA with {RSA_BITS} bits or more is")))
    };
    let unread = |e: &dyn std::fmt::Display| Error::Recipient(format!("the public key does not read: {e}"));
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(info).map_err(|e| unread(&e))?;
    match info.parsed().map_err(|e| unread(&e))? {
        PublicKey::RSA(key) => {
            // Leading zeros make a number no larger.
            let modulus = key.modulus.iter().position(|byte| *byte != 0).map_or(&[][..], |at| &key.modulus[at..]);
            let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            if bits < RSA_BITS { weak(&format!("an RSA key of {bits} bits is not strong enough")) } else { Ok(()) }
        }
        _ => weak("a key of this type is not signed"),
    }
}

impl PublicKeyData for Recipient {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

/// A client's certificate and the CA that signed it and nothing else; both PEM, both end at once.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The CA that an engine has to trust for it.
    pub ca_pem: String,
    /// The client's certificate.
    pub cert_pem: String,
    /// When both end.
    pub until: OffsetDateTime,
}

/// Issues a client's certificate for the key of `to`, for `life`. The CA's key is made for this and dropped.
///
/// # Errors
///
/// When the system has no randomness.
pub fn share(to: &Recipient, id: &str, now: OffsetDateTime, life: Duration) -> Result<Shared> {
    let dated = |name: &str| {
        let mut params = params(name, now, life)?;
        params.not_before = now - BACKDATED;
        Ok::<_, Error>(params)
    };
    let mut ca = dated(&format!("rmachine share {id}"))?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = new_key()?;
    let ca_pem = ca.self_signed(&key).map_err(Error::Issue)?.pem();
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(Error::Issue)?;
    let mut leaf = dated(&format!("rmachine share {id} client"))?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    // A certificate knows whole seconds.
    let until = leaf.not_after.truncate_to_second();
    let cert_pem = leaf.signed_by(to, &issuer).map_err(Error::Issue)?.pem();
    Ok(Shared { ca_pem, cert_pem, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inspect, signed_by};

    #[test]
    fn a_key_or_a_request_gets_a_certificate_of_its_own_ca() {
        let key = new_key().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let now = OffsetDateTime::now_utc();
        let mut authorities = Vec::new();
        for text in [key.public_key_pem(), request] {
            let to = Recipient::parse(&text).unwrap();
            assert_eq!(to.fingerprint().len(), 64);
            let shared = share(&to, "0123", now, Duration::hours(8)).unwrap();
            assert!(signed_by(&shared.cert_pem, &shared.ca_pem).unwrap());
            assert!(crate::key_matches(&shared.cert_pem, &key.serialize_pem()).unwrap());
            let info = inspect(&shared.cert_pem).unwrap();
            assert!(!info.is_ca && info.not_after - now <= Duration::hours(8));
            assert_eq!(info.not_after, shared.until, "it is over when the engine says so");
            authorities.push(shared.ca_pem);
        }
        assert_ne!(authorities[0], authorities[1]);
    }

    #[test]
    fn what_is_neither_is_refused_and_a_private_key_is_not_repeated() {
        let key = new_key().unwrap().serialize_pem();
        let error = Recipient::parse(&key).unwrap_err().to_string();
        assert!(error.contains("private key") && !error.contains(key.lines().nth(1).unwrap()), "{error}");
        for bad in ["", "ssh-ed25519 AAAA x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(Recipient::parse(bad).is_err(), "{bad:?}");
        }
    }
}
