//! The CA and the leaves that it signs: pure functions from PEM to PEM. Nothing here writes a file.
//!
//! Profile (RFC 5280): ECDSA P-256, PKCS#8 keys, random serials, notBefore a day back; AKI, SKI,
//! keyUsage and extendedKeyUsage set, as strict verifiers (Python 3.13) ask for.

mod bundle;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
mod inspect;
mod key;
mod sans;
mod share;

pub use self::{
    bundle::{Bundle, join, split},
    error::Error,
    inspect::{CertInfo, Health, covers, fingerprint, first, health, inspect, key_matches, same, signed_by},
    key::pkcs8,
    sans::{San, Sans},
    share::{Recipient, Shared, share},
};

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Result of this module's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Clocks of hosts may be off by this much.
const BACKDATED: Duration = Duration::days(1);
const CA_LIFE: Duration = Duration::days(3653);
/// Life of engines' certificates, and of clients' where nothing else is asked for.
pub const LEAF_LIFE: Duration = Duration::days(1096);

/// A certificate with its private key (PKCS#8), both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert_pem: String,
    /// Its key; wiped from memory when dropped.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// Makes a CA that lives ten years; `owner` (the store's id) and a number of its own tell several apart.
///
/// # Errors
///
/// When the system has no randomness.
pub fn new_ca(owner: &str, now: OffsetDateTime) -> Result<Identity> {
    // Two of one store have two names: a verifier then takes the right one at once.
    let name = format!("rmachine CA {} {:04x}", &owner[..owner.len().min(8)], rand::random::<u16>());
    let mut params = params(&name, now, CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = new_key()?;
    let cert = params.self_signed(&key).map_err(Error::Issue)?;
    Ok(Identity { cert_pem: cert.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// Issues a client certificate for three years, or as long as the CA lives.
///
/// # Errors
///
/// When the CA does not read.
pub fn issue_client(ca: &Identity, now: OffsetDateTime) -> Result<Identity> {
    issue(ca, client(now, LEAF_LIFE)?, new_key()?)
}

/// Issues a client certificate for `life`, or as long as the CA lives; for the key `key_pem` where one is given, so that
/// the certificate alone changes.
///
/// # Errors
///
/// When the CA or the key does not read.
pub fn issue_client_for(ca: &Identity, key_pem: Option<&str>, now: OffsetDateTime, life: Duration) -> Result<Identity> {
    let key = key_pem.map_or_else(new_key, key::read)?;
    issue(ca, client(now, life)?, key)
}

fn client(now: OffsetDateTime, life: Duration) -> Result<CertificateParams> {
    let mut params = params("rmachine client", now, life)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Issues a server certificate for `sans`, for three years or as long as the CA lives.
///
/// # Errors
///
/// When the CA does not read.
pub fn issue_server(ca: &Identity, sans: &Sans, now: OffsetDateTime) -> Result<Identity> {
    let mut params = params("rmachine engine", now, LEAF_LIFE)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for san in sans.iter() {
        params.subject_alt_names.push(match san {
            San::Ip(address) => SanType::IpAddress(*address),
            San::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(Error::Issue)?),
        });
    }
    issue(ca, params, new_key()?)
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::Issue)
}

fn params(common_name: &str, now: OffsetDateTime, life: Duration) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(Error::Issue)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "rmachine");
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
    // RFC 5280, section 4.1.2.2: positive, at most 20 octets; here 127 random bits.
    let mut serial = rand::random::<u128>().to_be_bytes();
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn issue(ca: &Identity, mut params: CertificateParams, key: KeyPair) -> Result<Identity> {
    let ca_info = inspect(&ca.cert_pem)?;
    params.not_after = params.not_after.min(ca_info.not_after);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    let ca_key = key::read(&ca.key_pem)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.cert_pem, ca_key).map_err(Error::Issue)?;
    let cert = params.signed_by(&key, &issuer).map_err(Error::Issue)?;
    Ok(Identity { cert_pem: cert.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
}

#[cfg(test)]
mod tests;
