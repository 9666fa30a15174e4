//! Properties of the readers of the store and of what a user types.

use proptest::prelude::*;

use super::{Store, atomic, check_name};
use crate::{cases, certs::Sans, ssh};

/// A record as an earlier run may have left it, some bytes of it changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let whole = include_bytes!("record.json").to_vec();
    let change = (0..whole.len(), any::<u8>());
    (prop::collection::vec(change, 0..4), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        move |(changes, end, cut)| {
            let mut bytes = whole.clone();
            changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        },
    )
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::at(directory.path());
    atomic::create_directory(&store.machine_directory("m")).unwrap();
    (directory, store)
}

/// Reads `bytes` as the record of machine `m`.
fn load(store: &Store, bytes: &[u8]) -> Result<super::Record, crate::error::Error> {
    #[allow(clippy::disallowed_methods, reason = "a test's own file, written ten thousand times")]
    std::fs::write(store.machine_file("m", super::file::CONFIG), bytes).unwrap();
    store.load("m")
}

#[test]
fn the_record_that_is_changed_here_reads() {
    let (_directory, store) = store();
    load(&store, include_bytes!("record.json")).unwrap();
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn a_damaged_record_is_an_error_or_a_record(bytes in damaged()) {
        thread_local!(static STORE: (tempfile::TempDir, Store) = store());
        STORE.with(|(_, store)| {
            if let Err(error) = load(store, &bytes) {
                assert!(!error.to_string().is_empty() && error.exit_code() != std::process::ExitCode::SUCCESS);
            }
        });
    }

    #[test]
    fn names_keys_and_addresses_never_panic(text in "\\PC{0,40}", rest in any::<String>()) {
        for text in [text.as_str(), rest.as_str(), &format!("ssh-ed25519 {text}"), &format!("SHA256:{text}")] {
            let name = check_name(text);
            prop_assert!(name.is_err() || (!text.contains(['/', '\0', '\n']) && !text.starts_with('.')));
            let _ = (Sans::parse([text]), ssh::fingerprint(text), ssh::same_key(text, text));
            let _ = crate::certs::Recipient::parse(text);
        }
    }
}
