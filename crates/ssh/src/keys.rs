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

/// What a file with a key holds.
pub(super) enum KeyFile {
    /// A private key without passphrase.
    Plain(Box<PrivateKey>),
    /// A private key under a passphrase, with its public half where that is in the file or beside it (`.pub`).
    Locked(Option<PublicKey>),
    /// A public key: an agent may have the private one (ssh_config(5), IdentityFile).
    Public(PublicKey),
}

fn read(path: &Path) -> Result<Zeroizing<String>> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|e| Error::Key(path.to_owned(), e))
}

/// Reads a key file: OpenSSH, PKCS#1, SEC1 or PKCS#8, each also with a passphrase, or a public key.
///
/// # Errors
///
/// [`Error::Key`] when it does not read.
pub(super) fn load(path: &Path) -> Result<KeyFile> {
    parse(&read(path)?, || public_beside(path)).map_err(|e| Error::Key(path.to_owned(), e))
}

/// Reads the text of a key file; `beside` finds the public half of one that does not show it.
pub(super) fn parse(text: &str, beside: impl FnOnce() -> Option<PublicKey>) -> io::Result<KeyFile> {
    if let Ok(public) = parse_public_key(text) {
        return Ok(KeyFile::Public(public));
    }
    if let Ok(key) = PrivateKey::from_openssh(text)
        && key.is_encrypted()
    {
        return Ok(KeyFile::Locked(Some(key.public_key().clone())));
    }
    // RFC 7468 and RFC 5958; RFC 1421 for the older form.
    if ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| text.contains(mark)) {
        return Ok(KeyFile::Locked(beside()));
    }
    decode_secret_key(text, None).map(|key| KeyFile::Plain(Box::new(key))).map_err(io::Error::other)
}

fn public_beside(path: &Path) -> Option<PublicKey> {
    let mut name = path.file_name()?.to_owned();
    name.push(".pub");
    parse_public_key(&std::fs::read_to_string(path.with_file_name(name)).ok()?).ok()
}

/// Reads a private key that has a passphrase.
pub(super) fn load_with_passphrase(path: &Path, passphrase: &str) -> Result<PrivateKey> {
    decode_secret_key(&read(path)?, Some(passphrase)).map_err(|e| Error::Key(path.to_owned(), io::Error::other(e)))
}

/// The public half of the key in the file `path`, as one OpenSSH line.
///
/// # Errors
///
/// [`Error::Key`] when it does not read, or has a passphrase and no public half in it or beside it.
pub fn public_half(path: &Path) -> Result<String> {
    let failed = |e: io::Error| Error::Key(path.to_owned(), e);
    let public = match load(path)? {
        KeyFile::Plain(key) => key.public_key().clone(),
        KeyFile::Locked(Some(public)) | KeyFile::Public(public) => public,
        KeyFile::Locked(None) => {
            return Err(failed(io::Error::other(format!(
                "it has a passphrase, and its public half is not beside it as {}.pub",
                path.display()
            ))));
        }
    };
    public.to_openssh().map_err(|e| failed(io::Error::other(e)))
}

/// Reads one line of an authorized_keys, `.pub` or known_hosts kind: `TYPE BASE64 [COMMENT]`.
pub(super) fn parse_public_key(line: &str) -> Result<PublicKey> {
    PublicKey::from_openssh(line.trim()).map_err(|_| Error::PublicKey(line.trim().to_owned()))
}

/// The key of a line of authorized_keys, without its options: an OpenSSH public key line with the comment. `None`: it has none
/// that reads.
pub fn authorized_key(line: &str) -> Option<&str> {
    let line = line.trim();
    let mut quoted = false;
    let mut before = ' ';
    // Options come first, and may hold blanks in quotes.
    let options_end = line.char_indices().find(|(_, c)| {
        quoted ^= *c == '"' && before != '\\';
        before = *c;
        !quoted && matches!(c, ' ' | '\t')
    });
    let after_options = options_end.map(|(at, _)| line[at..].trim_start());
    [Some(line), after_options].into_iter().flatten().find(|key| parse_public_key(key).is_ok())
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
