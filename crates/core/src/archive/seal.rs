//! Encryption of archives, by age: for a passphrase (scrypt), for age's keys, or for SSH keys.

use std::{
    io::{BufReader, Read, Write},
    str::FromStr,
};

use age::{Callbacks, DecryptError, Decryptor, Encryptor, Identity, Recipient, secrecy::SecretString};
use rmachine_model::error::{Error, Kind, Result};
use zeroize::Zeroizing;

use super::content::MOST;

/// Shortest passphrase: the file may be copied by many, and guessed at for ever.
const SHORTEST: usize = 10;
/// Most work that a passphrase may cost, as a power of two: 2^20 takes 1 GiB of memory (128 * 8 * 2^20 bytes, RFC 7914)
/// and some seconds, and a hostile archive wants more. What we write is below it.
const MOST_WORK: u8 = 20;
/// The work of what we write: about a second on one core, and the same on every computer, so that none writes what another
/// one refuses. Tests run code that is not optimized, which takes a hundred times as long.
const WORK: u8 = if cfg!(debug_assertions) { 12 } else { 18 };

/// For whom an archive is made.
pub enum Sealer {
    /// Whoever knows this.
    Passphrase(Zeroizing<String>),
    /// The owners of these keys.
    Keys(Vec<Box<dyn Recipient + Send>>),
}

impl Sealer {
    /// For whom it is, in words for the audit log: no secret, and no more than is known.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Passphrase(_) => "whoever knows its passphrase".to_owned(),
            Self::Keys(keys) => format!("the owners of {} keys", keys.len()),
        }
    }

    /// A passphrase, which may not be short.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`].
    pub fn passphrase(text: Zeroizing<String>) -> Result<Self> {
        if text.chars().count() < SHORTEST {
            return Err(Error::usage(format!("a passphrase has {SHORTEST} characters at least")).hint(
                "whoever has the file and guesses it has root on the machines; some random words make a good one",
            ));
        }
        Ok(Self::Passphrase(text))
    }

    /// Public keys, `age1…` or OpenSSH lines.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] that names the one that is none.
    pub fn keys(texts: &[String]) -> Result<Self> {
        let one = |text: &String| -> Result<Box<dyn Recipient + Send>> {
            let refused = |why: String| {
                Error::usage(format!("no key to encrypt for: {:?}", shortened(text)))
                    .source(why)
                    .hint("--recipient takes age1…, or a line like ssh-ed25519 AAAA…; `age-keygen` makes a pair")
            };
            if text.contains("PRIVATE KEY") || text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err(Error::usage("that is a private key, which stays with its owner")
                    .hint("--recipient takes the public half"));
            }
            if text.starts_with("ssh-") {
                let key = age::ssh::Recipient::from_str(text).map_err(|e| refused(format!("{e:?}")))?;
                return Ok(Box::new(key));
            }
            let key = age::x25519::Recipient::from_str(text).map_err(|e| refused(e.to_owned()))?;
            Ok(Box::new(key))
        };
        texts.iter().map(one).collect::<Result<_>>().map(Self::Keys)
    }

    /// Encrypts `plain`.
    pub(super) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(Kind::Failure, "the archive cannot be encrypted").source(e.to_string())
        };
        let encryptor = match self {
            Self::Passphrase(text) => {
                let mut recipient = age::scrypt::Recipient::new(SecretString::from(text.as_str()));
                recipient.set_work_factor(WORK);
                Encryptor::with_recipients(std::iter::once(&recipient as &dyn Recipient)).map_err(|e| failed(&e))?
            }
            Self::Keys(keys) => Encryptor::with_recipients(keys.iter().map(|key| key.as_ref() as &dyn Recipient))
                .map_err(|e| failed(&e))?,
        };
        let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 1000 + 1024);
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|e| failed(&e))?;
        writer.write_all(plain).map_err(|e| failed(&e))?;
        writer.finish().map_err(|e| failed(&e))?;
        Ok(sealed)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// What may open an archive.
pub enum Opener<'a> {
    /// A passphrase, asked for when the archive wants one.
    Passphrase(&'a dyn Fn() -> Result<Zeroizing<String>>),
    /// Texts of files with private keys of age or SSH.
    Keys(Vec<Zeroizing<String>>),
}

impl Opener<'_> {
    /// Decrypts `sealed`. A changed or cut archive is refused: age authenticates each part, and which one is the last.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let reader = age::armor::ArmoredReader::new(sealed);
        let decryptor = Decryptor::new_buffered(BufReader::new(reader)).map_err(|e| unreadable(&e))?;
        let identities: Vec<Box<dyn Identity>> = match self {
            Self::Passphrase(ask) => {
                if !decryptor.is_scrypt() {
                    return Err(Error::usage("the archive is encrypted for a key, not with a passphrase")
                        .hint("give the private key: --identity FILE"));
                }
                let mut identity = age::scrypt::Identity::new(SecretString::from(ask()?.as_str()));
                identity.set_max_work_factor(MOST_WORK);
                vec![Box::new(identity)]
            }
            Self::Keys(_) if decryptor.is_scrypt() => {
                return Err(Error::usage("the archive is encrypted with a passphrase, not for a key")
                    .hint("leave --identity out"));
            }
            Self::Keys(texts) => {
                let mut all = Vec::new();
                for text in texts {
                    all.extend(identities(text)?);
                }
                all
            }
        };
        let stream = decryptor.decrypt(identities.iter().map(AsRef::as_ref)).map_err(|e| unreadable(&e))?;
        let mut plain = Zeroizing::new(Vec::new());
        stream.take(MOST + 1).read_to_end(&mut plain).map_err(|e| {
            Error::new(Kind::Store, "the archive is damaged").source(e).hint("copy it anew from where it was made")
        })?;
        if plain.len() as u64 > MOST {
            return Err(Error::new(Kind::Store, "the archive is too large to be one of rmachine's"));
        }
        Ok(plain)
    }
}

fn unreadable(error: &DecryptError) -> Error {
    let refused = |text: &str| Error::new(Kind::Failure, text.to_owned());
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::InvalidMac => {
            refused("the passphrase is wrong, or the archive was changed")
                .hint("type it again, or copy the archive anew from where it was made")
        }
        DecryptError::NoMatchingKeys => refused("the archive is encrypted for another key")
            .hint("give the private key of one that it was exported for: --identity FILE"),
        DecryptError::ExcessiveWork { .. } => {
            refused("the archive asks for more work than any of rmachine's").hint("export it anew")
        }
        // An early end is an I/O error there.
        DecryptError::InvalidHeader | DecryptError::UnknownFormat | DecryptError::Io(_) => {
            Error::new(Kind::Store, "the file is no archive of rmachine's, or damaged")
                .hint("`rmachine export NAME -o FILE` makes one; a directory is taken for docker-machine's store")
        }
    }
}

/// The private keys of a file: age's, or one of SSH without a passphrase.
fn identities(text: &str) -> Result<Vec<Box<dyn Identity>>> {
    let refused = |why: String| {
        Error::usage("the identity file holds no key that can be used")
            .source(why)
            .hint("--identity takes a file of age-keygen, or a private key of SSH without a passphrase")
    };
    if text.contains("PRIVATE KEY-----") {
        let key = age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|e| refused(e.to_string()))?;
        return match key {
            age::ssh::Identity::Unencrypted(_) => Ok(vec![Box::new(key)]),
            age::ssh::Identity::Encrypted(_) => Err(refused("the key has a passphrase".to_owned())),
            age::ssh::Identity::Unsupported(_) => Err(refused("keys of this type cannot decrypt".to_owned())),
        };
    }
    let file = age::IdentityFile::from_buffer(text.as_bytes()).map_err(|e| refused(e.to_string()))?;
    let keys = file.with_callbacks(Nobody).into_identities().map_err(|e| refused(e.to_string()))?;
    if keys.is_empty() { Err(refused("there is none in it".to_owned())) } else { Ok(keys) }
}

/// Answers no question: keys that would ask one are refused.
#[derive(Clone, Copy)]
struct Nobody;

impl Callbacks for Nobody {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn open_with(text: &'static str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Opener::Passphrase(&|| Ok(pass(text))).open(sealed)
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_that_was_changed() {
        let sealed = Sealer::passphrase(pass("correct horse")).unwrap().seal(b"the plain text").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"plain"));
        assert_eq!(open_with("correct horse", &sealed).unwrap().as_slice(), b"the plain text");
        assert!(open_with("wrong horse", &sealed).is_err());
        for at in [30, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_with("correct horse", &changed).is_err(), "{at}");
        }
        assert!(open_with("correct horse", &sealed[..sealed.len() - 1]).is_err());
        assert!(Sealer::passphrase(pass("short")).is_err());
        assert!(Opener::Keys(Vec::new()).open(&sealed).unwrap_err().to_string().contains("with a passphrase"));
    }

    #[test]
    fn keys_of_age_and_of_ssh_open_what_is_for_them() {
        use age::secrecy::ExposeSecret;
        let (mine, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let sealed = Sealer::keys(&[mine.to_public().to_string()]).unwrap().seal(b"x").unwrap();
        let text = |key: &age::x25519::Identity| pass(key.to_string().expose_secret());
        assert_eq!(Opener::Keys(vec![text(&mine)]).open(&sealed).unwrap().as_slice(), b"x");
        let refused = Opener::Keys(vec![text(&other)]).open(&sealed).unwrap_err();
        assert!(refused.to_string().contains("another key"), "{refused}");
        assert!(open_with("correct horse", &sealed).unwrap_err().to_string().contains("for a key"));

        let pair = rmachine_ssh::KeyPair::generate_ed25519("x").unwrap();
        let sealed = Sealer::keys(&[pair.public_openssh()]).unwrap().seal(b"y").unwrap();
        let private = pass(pair.private_openssh());
        assert_eq!(Opener::Keys(vec![private.clone()]).open(&sealed).unwrap().as_slice(), b"y");
        let error = Sealer::keys(&[private.to_string()]).err().unwrap().to_string();
        assert!(error.contains("private key") && !error.contains("b3Bl"), "{error}");
        for bad in ["", "age1x", "ssh-ed25519 !", "ecdsa-sha2-nistp256 AAAA"] {
            assert!(Sealer::keys(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(Opener::Keys(vec![pass("# nothing\n")]).open(&sealed).is_err());
    }
}
