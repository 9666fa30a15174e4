//! A second proof of a host's key: what the host wrote to its console, which its cloud shows to those who may ask the account.
//!
//! cloud-init prints the fingerprints of the keys that it makes (its module `keys-to-console`), behind the prefix of
//! logger(1); the scripts that change a host key here print the new one in the same form. The last one counts. Only root
//! writes there: who is in the middle of a connection does not.

use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::Record;
use time::OffsetDateTime;

use super::{Core, audit::instance_of};

/// Around the fingerprints, anywhere in a line (cloud-init's tools/write-ssh-key-fingerprints).
const BEGIN: &str = "-----BEGIN SSH HOST KEY FINGERPRINTS-----";
const END: &str = "-----END SSH HOST KEY FINGERPRINTS-----";
/// The comment of the key that the first-boot data holds.
const SEED: &str = "rmachine seed";
/// Fingerprints that are read of one block: a host has a key of each algorithm.
pub(super) const MOST: usize = 16;

/// The last whole list of fingerprints in a console's output, as `ssh-keygen -l` shows them. It is empty where there is
/// none, and where the seed is in it: whoever may read first-boot data has that.
pub(crate) fn printed(text: &str) -> Vec<String> {
    let mut last = Vec::new();
    let mut open: Option<(Vec<String>, bool)> = None;
    for line in text.lines() {
        if line.contains(BEGIN) {
            open = Some((Vec::new(), false));
        } else if line.contains(END) {
            if let Some((fingerprints, seeded)) = open.take() {
                last = if seeded { Vec::new() } else { fingerprints };
            }
        } else if let Some((fingerprints, seeded)) = &mut open
            && fingerprints.len() < MOST
            && let Some((fingerprint, comment)) = fingerprint_of(line)
        {
            *seeded |= comment.starts_with(SEED);
            fingerprints.push(fingerprint.to_owned());
        }
    }
    last
}

/// The fingerprint and the comment of a line of `ssh-keygen -l` (`256 SHA256:… comment (ED25519)`), behind whatever prefix.
fn fingerprint_of(line: &str) -> Option<(&str, &str)> {
    let at = line.find(" SHA256:")?;
    let bits = line[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let rest = &line[at + 1..];
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (fingerprint, comment) = rest.split_at(end);
    // SHA-256 in base64 without its padding.
    let digest = &fingerprint["SHA256:".len()..];
    let reads = digest.len() == 43 && digest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    (reads && !bits.is_empty()).then(|| (fingerprint, comment.trim()))
}

impl Core {
    /// Whether the console of the host of `record` vouches for the key with this `fingerprint`. `false`: it says nothing.
    ///
    /// # Errors
    ///
    /// When it names other keys, and no change of ours is newer than what it says.
    pub(super) async fn console_vouches(&self, record: &Record, fingerprint: &str, otherwise: &str) -> Result<bool> {
        let Some(instance) = record.instance.as_ref().filter(|_| !record.lacks_driver()) else { return Ok(false) };
        let asked = async { self.provider(record).await?.console(&instance.id).await.map_err(Error::from) };
        let console = match asked.await {
            Ok(Some(console)) => console,
            Ok(None) => return Ok(false),
            Err(error) => {
                // It is one proof of several.
                self.talk.about(&record.name).warn(&format!("its console cannot be asked for the host's key: {error}"));
                return Ok(false);
            }
        };
        let fingerprints = printed(&console.text);
        if fingerprints.iter().any(|printed| printed == fingerprint) {
            return Ok(true);
        }
        if fingerprints.is_empty() || self.was_changed_since(record, console.read)? {
            return Ok(false);
        }
        Err(Error::new(Kind::Ssh, format!("the host of machine \"{}\" shows the key {fingerprint}", record.name))
            .source(format!("the console of {} says that it has {}", instance_of(record), fingerprints.join(", ")))
            .hint("somebody in between may have answered in its place")
            .hint(otherwise.to_owned()))
    }

    /// Whether a key of the machine was changed from here after its console was `read`.
    fn was_changed_since(&self, record: &Record, read: Option<OffsetDateTime>) -> Result<bool> {
        let Some(read) = read else { return Ok(false) };
        let filter = super::AuditFilter { machine: Some(record.name.clone()), since: Some(read) };
        Ok(self.audited(&filter)?.entries.iter().any(|entry| entry.event == "host-key-pinned"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    #[test]
    fn the_last_whole_list_counts_behind_whatever_prefix() {
        let of = |prefix: &str, key: &str, comment: &str| {
            format!("{prefix}{BEGIN}\r\n{prefix}256 {key} {comment} (ED25519)\r\n{prefix}{END}\r\n")
        };
        assert_eq!(printed(&of("", A, "root@a")), [A]);
        assert_eq!(printed(&of("<14>Nov 28 03:11:02 cloud-init: ", A, "no comment")), [A]);
        assert_eq!(printed(&of("ci-info: ", A, "x").replace("256 SHA", "3072 SHA")), [A]);
        assert_eq!(printed(&(of("", A, "x") + "boot\n" + &of("", B, "y"))), [B]);
        // One that is cut off is none, at either end.
        let whole = of("", A, "x");
        assert_eq!(printed(&(whole.clone() + BEGIN + "\n256 " + B + " y (RSA)\n")), [A]);
        assert_eq!(printed(whole.strip_prefix(BEGIN).unwrap()), [""; 0]);
        for nothing in
            ["", "login: ", &format!("256 {A} x (RSA)"), &format!("{BEGIN}\n{END}"), &of("", "SHA256:A", "x")]
        {
            assert_eq!(printed(nothing), [""; 0], "{nothing}");
        }
        let seeded = |comment| printed(&of("p: ", A, comment)).is_empty();
        assert!(seeded("rmachine seed") && !seeded("rmachine") && !seeded("root@rmachine seed"));
        let many = format!("{BEGIN}\n{}{END}", format!("256 {A} x (RSA)\n").repeat(10_000));
        assert_eq!(printed(&many).len(), MOST);
    }
}
