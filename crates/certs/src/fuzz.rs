//! Fuzz target of certificates that others made.

use super::{Recipient, Sans};

/// PEM texts: certificates, requests and keys of recipients, names.
pub fn pem(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(info) = super::inspect(text) {
        let _ = super::covers(&info, &Sans::default());
    }
    let _ = super::first(text);
    let _ = super::fingerprint(text);
    let _ = super::signed_by(text, text);
    let _ = super::key_matches(text, text);
    let _ = Recipient::parse(text);
    let _ = Sans::parse(text.lines());
}
