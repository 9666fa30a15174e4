//! Key pairs, private key files, fingerprints.

use std::{io, path::Path};

use russh::keys::{
    Algorithm, HashAlg, PrivateKey, PublicKey, decode_secret_key,
    key::safe_rng,
    ssh_key::{LineEnding, rand_core::CryptoRng},
};
use zeroize::Zeroizing;

use super::{Error, Result};

/// A key pair that we made.
pub struct KeyPair {
    private: Zeroizing<String>,
    public: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Makes an ed25519 pair.
    ///
    /// # Errors
    ///
    /// When the key cannot be written as text, which does not happen.
    pub fn generate_ed25519(comment: &str) -> Result<Self> {
        Self::generate(comment, &mut safe_rng())
    }

    fn generate(comment: &str, rng: &mut impl CryptoRng) -> Result<Self> {
        let failed = |e: russh::keys::ssh_key::Error| Error::Key("new key".into(), io::Error::other(e));
        let mut key = PrivateKey::random(rng, Algorithm::Ed25519).map_err(failed)?;
        key.set_comment(comment);
        Ok(Self {
            private: key.to_openssh(LineEnding::LF).map_err(failed)?,
            public: key.public_key().to_openssh().map_err(failed)?,
        })
    }

    /// The private key as OpenSSH PEM.
    pub fn private_openssh(&self) -> &str {
        &self.private
    }

    /// The public key as one OpenSSH line, with its comment.
    pub fn public_openssh(&self) -> String {
        self.public.clone()
    }
}

/// Reads a private key without passphrase: OpenSSH, PKCS#1, SEC1 or PKCS#8.
///
/// # Errors
///
/// [`Error::Key`] when it does not read or has a passphrase.
pub(super) fn load_private_key(path: &Path) -> Result<PrivateKey> {
    let failed = |e: io::Error| Error::Key(path.to_owned(), e);
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    parse_private_key(&text).map_err(failed)
}

pub(super) fn parse_private_key(text: &str) -> io::Result<PrivateKey> {
    let key = decode_secret_key(text, None).map_err(io::Error::other)?;
    if key.is_encrypted() { Err(io::Error::other("it has a passphrase")) } else { Ok(key) }
}

/// The public half of the private key in the file `path`, as one OpenSSH line.
///
/// # Errors
///
/// [`Error::Key`] when it does not read or has a passphrase.
pub fn public_half(path: &Path) -> Result<String> {
    let key = load_private_key(path)?;
    key.public_key().to_openssh().map_err(|e| Error::Key(path.to_owned(), io::Error::other(e)))
}

/// Reads one line of an authorized_keys, `.pub` or known_hosts kind: `TYPE BASE64 [COMMENT]`.
pub(super) fn parse_public_key(line: &str) -> Result<PublicKey> {
    PublicKey::from_openssh(line.trim()).map_err(|_| Error::PublicKey(line.trim().to_owned()))
}

/// The fingerprint of an OpenSSH public key line, as `ssh-keygen -l` shows it: `SHA256:…`.
///
/// # Errors
///
/// [`Error::PublicKey`].
pub fn fingerprint(line: &str) -> Result<String> {
    Ok(fingerprint_of(&parse_public_key(line)?))
}

pub(super) fn fingerprint_of(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Whether two OpenSSH public key lines are one key, comments aside.
pub fn same_key(one: &str, other: &str) -> bool {
    match (parse_public_key(one), parse_public_key(other)) {
        (Ok(one), Ok(other)) => one.key_data() == other.key_data(),
        _ => false,
    }
}
