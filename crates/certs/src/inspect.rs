//! Reading certificates.

use std::net::IpAddr;

use rcgen::PublicKeyData;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, Pem, X509Certificate};

use super::{Error, Result, San, Sans};

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct CertInfo {
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// Subject, as text.
    pub subject: String,
    /// Issuer, as text.
    pub issuer: String,
    /// Valid from.
    pub not_before: OffsetDateTime,
    /// Valid until.
    pub not_after: OffsetDateTime,
    /// Subject alternative names.
    pub sans: Sans,
    /// Whether it may sign others.
    pub is_ca: bool,
}

/// Whether a certificate serves, by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// More than a third of its life is left.
    Good,
    /// Less than a third is left: renew it when there is an SSH session anyway.
    RenewDue,
    /// Over.
    Expired,
    /// Not begun.
    NotYetValid,
}

/// Reads the first certificate of `pem`.
///
/// # Errors
///
/// [`Error::Unreadable`].
pub fn inspect(pem: &str) -> Result<CertInfo> {
    let der = der_of(pem)?;
    let cert = parse(&der)?;
    let mut sans = Vec::new();
    for extension in cert.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            sans.extend(names.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(San::Dns((*name).to_owned())),
                GeneralName::IPAddress(octets) => address(octets).map(San::Ip),
                _ => None,
            }));
        }
    }
    Ok(CertInfo {
        serial: cert.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        subject: cert.subject().to_string(),
        issuer: cert.issuer().to_string(),
        not_before: cert.validity().not_before.to_datetime(),
        not_after: cert.validity().not_after.to_datetime(),
        sans: sans.into_iter().collect(),
        is_ca: cert.is_ca(),
    })
}

/// How a certificate stands at `now`.
pub fn health(info: &CertInfo, now: OffsetDateTime) -> Health {
    let life = info.not_after - info.not_before;
    if now >= info.not_after {
        Health::Expired
    } else if now < info.not_before {
        Health::NotYetValid
    } else if info.not_after - now < life / 3 {
        Health::RenewDue
    } else {
        Health::Good
    }
}

/// Whether the certificate names all of `sans`.
pub fn covers(info: &CertInfo, sans: &Sans) -> bool {
    info.sans.contains_all(sans)
}

/// Whether `ca_pem`'s key signed `leaf_pem`.
///
/// # Errors
///
/// [`Error::Unreadable`].
pub fn signed_by(leaf_pem: &str, ca_pem: &str) -> Result<bool> {
    let (leaf, ca) = (der_of(leaf_pem)?, der_of(ca_pem)?);
    let (leaf, ca) = (parse(&leaf)?, parse(&ca)?);
    Ok(leaf.issuer() == ca.subject() && leaf.verify_signature(Some(ca.public_key())).is_ok())
}

/// The first certificate of a bundle, as PEM.
///
/// # Errors
///
/// [`Error::Unreadable`].
pub fn first(bundle: &str) -> Result<String> {
    const END: &str = "-----END CERTIFICATE-----";
    der_of(bundle)?;
    let end = bundle.find(END).ok_or_else(|| Error::Unreadable("it has no end".to_owned()))?;
    Ok(format!("{}\n", &bundle[..end + END.len()]))
}

/// SHA-256 of the first certificate of `pem`, in hexadecimal: `openssl x509 -outform DER | sha256sum`.
///
/// # Errors
///
/// [`Error::Unreadable`].
pub fn fingerprint(pem: &str) -> Result<String> {
    Ok(Sha256::digest(der_of(pem)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether two PEM texts begin with one certificate.
pub fn same(one: &str, other: &str) -> bool {
    match (der_of(one), der_of(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whether `key_pem` is the key of `cert_pem`.
///
/// # Errors
///
/// [`Error::Unreadable`], [`Error::Issue`] when the key does not read.
pub fn key_matches(cert_pem: &str, key_pem: &str) -> Result<bool> {
    let der = der_of(cert_pem)?;
    let key = super::key::read(key_pem)?;
    Ok(parse(&der)?.public_key().raw == key.subject_public_key_info())
}

pub(super) fn der_of(pem: &str) -> Result<Vec<u8>> {
    match Pem::iter_from_buffer(pem.as_bytes()).next() {
        Some(Ok(pem)) => Ok(pem.contents),
        Some(Err(e)) => Err(Error::Unreadable(e.to_string())),
        None => Err(Error::Unreadable("it is empty".to_owned())),
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    X509Certificate::from_der(der).map(|(_, cert)| cert).map_err(|e| Error::Unreadable(e.to_string()))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
