//! Properties of the readers of keys and of known_hosts.

use std::{cell::RefCell, sync::LazyLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use proptest::prelude::*;
use rmachine_testkit::cases;
use sha2::{Digest, Sha256};

use super::{keys, known_keys, revoked_keys};
use crate as ssh;

const HOST: &str = "h.example";

/// The wire form of an ed25519 key (RFC 8709, section 4).
fn blob(key: u8) -> Vec<u8> {
    [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[key; 32]].concat()
}

fn line(key: u8) -> String {
    format!("ssh-ed25519 {}", STANDARD.encode(blob(key)))
}

/// A line of a known_hosts file, and the key that it gives or takes.
#[derive(Debug, Clone)]
enum Line {
    Known { key: u8, form: usize },
    Revoked { key: u8, form: usize },
    Junk(String),
}

impl Line {
    fn text(&self, port: u16) -> String {
        let name = if port == 22 { HOST.to_owned() } else { format!("[{HOST}]:{port}") };
        match self {
            Self::Known { key, form: 0 } => format!("{name} {}", line(*key)),
            Self::Known { key, form: 1 } => format!("a.example,{name},10.0.0.1 {} a comment", line(*key)),
            Self::Known { key, .. } => format!("{name} {}\r", line(*key)),
            Self::Revoked { key, form: 0 } => format!("@revoked * {}", line(*key)),
            Self::Revoked { key, form: 1 } => format!("  @revoked  {name}   {} a comment", line(*key)),
            Self::Revoked { key, .. } => format!("@revoked\tx\t{}", line(*key).replace(' ', "\t")),
            Self::Junk(text) => text.clone(),
        }
    }
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = prop_oneof![
        (0..6_u8, 0..3_usize).prop_map(|(key, form)| Line::Known { key, form }),
        (0..6_u8, 0..3_usize).prop_map(|(key, form)| Line::Revoked { key, form }),
        cases::line().prop_map(Line::Junk),
        (0..6_u8).prop_map(|key| Line::Junk(format!("# {HOST} {}", line(key)))),
        (0..6_u8).prop_map(|key| Line::Junk(format!("@cert-authority {HOST} {}", line(key)))),
        (0..6_u8).prop_map(|key| Line::Junk(format!("not-{HOST} {}", line(key)))),
    ];
    prop::collection::vec(line, 0..8)
}

/// Private keys to damage: ours, and the headers of the other forms.
static PRIVATE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let ours = ssh::KeyPair::generate_ed25519("x").unwrap().private_openssh().to_owned();
    let other =
        |kind: &str| format!("-----BEGIN {kind}-----\nMIIBAAIBADANBgkqhkiG9w0BAQEFAASCAgA=\n-----END {kind}-----\n");
    let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
    vec![
        ours,
        ec,
        other("RSA PRIVATE KEY"),
        other("EC PRIVATE KEY"),
        other("ENCRYPTED PRIVATE KEY"),
        other("DSA PRIVATE KEY"),
    ]
});

/// Where there is a file system in memory: others write to the disk when a file is replaced.
fn in_memory() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new_in("/dev/shm").or_else(|_| tempfile::NamedTempFile::new()).unwrap()
}

#[test]
fn the_private_keys_that_are_damaged_here_read() {
    assert!(PRIVATE[..2].iter().all(|text| matches!(keys::parse(text, || None), Ok(keys::KeyFile::Plain(_)))));
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn known_hosts_gives_what_its_lines_say(lines in lines(), port in prop_oneof![Just(22), 1..3_u16]) {
        thread_local!(static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(in_memory()));
        let text: String = lines.iter().map(|line| line.text(port) + "\n").collect();
        let known = FILE.with_borrow(|file| {
            #[allow(clippy::disallowed_methods, reason = "a test's own file, written again and again")]
            std::fs::write(file.path(), &text).unwrap();
            known_keys(&[file.path().to_owned(), "/nonexistent".into()], HOST, port).unwrap()
        });
        let is_revoked = |key: &u8| lines.iter().any(|line| matches!(line, Line::Revoked { key: revoked, .. } if revoked == key));
        let given = lines.iter().filter_map(|line| if let Line::Known { key, .. } = line { Some(*key) } else { None });
        let expected: Vec<String> = given.filter(|key| !is_revoked(key)).map(line).collect();
        let read: Vec<String> = known.iter().map(|key| key.to_openssh().unwrap()).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn lines_that_revoke_never_panic(text in cases::text()) {
        for text in [text.as_str(), &format!("@revoked {text}"), &format!("@revoked * ssh-ed25519 {text}")] {
            prop_assert_eq!(revoked_keys(text).count(), 0);
        }
    }

    #[test]
    fn public_keys_read_whatever_their_comment(key in any::<u8>(), comment in cases::line(), space in cases::of(" \t", 0..3)) {
        let full = format!("{space}{} {}{space}\n", line(key), comment.trim());
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob(key))));
        prop_assert_eq!(ssh::fingerprint(&full).unwrap(), fingerprint);
        prop_assert!(ssh::same_key(&full, &line(key)));
        prop_assert!(!ssh::same_key(&full, &line(key ^ 1)));
    }

    #[test]
    fn what_is_no_public_key_is_refused(text in cases::text(), cut in 0..60_usize) {
        for text in [text.as_str(), &format!("ssh-ed25519 {text}"), &line(7)[..cut], &format!("ssh-rsa {}", &line(7)[12..])] {
            prop_assert!(ssh::fingerprint(text).is_err() && !ssh::same_key(text, text), "{text:?}");
        }
    }

    #[test]
    fn damaged_private_keys_never_panic(key in 0..6_usize, changes in prop::collection::vec((any::<u16>(), 0..128_u8), 0..4), cut in any::<u16>()) {
        let mut text = PRIVATE[key].clone().into_bytes();
        for (at, byte) in changes {
            let at = usize::from(at) % text.len();
            text[at] = byte;
        }
        if cut % 4 == 0 {
            text.truncate(usize::from(cut) % text.len());
        }
        let _ = keys::parse(std::str::from_utf8(&text).unwrap(), || None);
    }
}
