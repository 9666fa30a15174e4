//! Digests of images, as distributions publish them.

use std::fmt;

use rmachine_provider_api::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// One digest, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub algorithm: Algorithm,
    pub hex: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Digest {
    fn of(algorithm: Algorithm, hex: &str) -> Option<Self> {
        let is_digest = hex.len() == algorithm.digits() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        is_digest.then(|| Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    /// Reads `sha256:HEX` or `sha512:HEX`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parsed = text.split_once(':').and_then(|(name, hex)| match name.to_ascii_lowercase().as_str() {
            "sha256" => Self::of(Algorithm::Sha256, hex),
            "sha512" => Self::of(Algorithm::Sha512, hex),
            _ => None,
        });
        parsed.ok_or_else(|| {
            Error::invalid(format!("--qemu-image-checksum takes a checksum, not \"{text}\""))
                .hint("sha256: with 64 digits, sha512: with 128, or the URL of a SHA256SUMS or SHA512SUMS file")
        })
    }

    /// Finds `file` in the text of a SHA256SUMS or SHA512SUMS file; both forms of sha256sum(1).
    pub(crate) fn find(sums: &str, file: &str) -> Option<Self> {
        sums.lines().find_map(|line| {
            let hex = match line.split_once(" = ") {
                Some((named, hex)) => named.ends_with(&format!("({file})")).then_some(hex.trim())?,
                None => {
                    let (hex, name) = line.split_once(char::is_whitespace)?;
                    (name.trim_start().trim_start_matches(['*', '.', '/']) == file).then_some(hex)?
                }
            };
            Self::of(Algorithm::Sha256, hex).or_else(|| Self::of(Algorithm::Sha512, hex))
        })
    }

    /// Name of the file with these bytes; the digest's beginning is enough to tell files apart.
    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}", self.algorithm.name(), &self.hex[..40])
    }

    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// A digest in the making.
#[derive(Debug)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hasher) => Digest { algorithm: Algorithm::Sha256, hex: hex(&hasher.finalize()) },
            Self::Sha512(hasher) => Digest { algorithm: Algorithm::Sha512, hex: hex(&hasher.finalize()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn both_forms_of_sums_read() {
        for sums in [
            format!("{ABC}  a.img\n"),
            format!("# x\n{ABC} *a.img\n"),
            format!("{ABC}  ./a.img"),
            format!("SHA256 (a.img) = {ABC}\n"),
        ] {
            assert_eq!(Digest::find(&sums, "a.img").unwrap().hex, ABC, "{sums}");
            assert_eq!(Digest::find(&sums, "img"), None);
        }
    }

    #[test]
    fn a_checksum_reads_and_is_computed() {
        let digest = Digest::parse(&format!("SHA256:{}", ABC.to_uppercase())).unwrap();
        let mut hasher = digest.hasher();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), digest);
        for text in ["", "md5:00", "sha256:00", &format!("sha512:{ABC}"), ABC] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }
}
