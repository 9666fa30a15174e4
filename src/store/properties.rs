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

/// A document of version 3 as docker-machine may have written it, any of its fields missing, of another type or odd.
fn foreign() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let odd = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!("198.51.100.7")),
        Just(json!("../../x")),
        prop::collection::vec("\\PC{0,12}", 0..3).prop_map(Value::from),
        Just(json!({ "a": {} })),
    ];
    let driver = prop_oneof![Just("generic"), Just("none"), Just("virtualbox"), Just("")];
    const FIELDS: [&str; 12] = [
        "IPAddress",
        "MachineName",
        "SSHUser",
        "SSHPort",
        "SSHKeyPath",
        "StorePath",
        "URL",
        "EnginePort",
        "InstanceId",
        "AccessKey",
        "DockerPort",
        "Region",
    ];
    const OPTIONS: [&str; 9] = [
        "ArbitraryFlags",
        "Env",
        "Labels",
        "InsecureRegistry",
        "RegistryMirror",
        "StorageDriver",
        "InstallURL",
        "Dns",
        "LogLevel",
    ];
    let fields = prop::collection::vec((prop::sample::select(&FIELDS[..]), odd.clone()), 0..8);
    let options = prop::collection::vec((prop::sample::select(&OPTIONS[..]), odd.clone()), 0..6);
    let top = prop::collection::vec((prop::sample::select(&["Driver", "HostOptions", "Name"][..]), odd), 0..2);
    (driver, fields, options, top, 2_u8..4).prop_map(|(driver, fields, options, top, version)| {
        let object = |pairs: Vec<(&str, Value)>| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>();
        let mut document = json!({
            "ConfigVersion": version, "DriverName": driver, "Driver": object(fields), "Name": "m",
            "HostOptions": { "EngineOptions": object(options), "AuthOptions": { "ServerCertSANs": ["a b", "ok"] } },
        });
        top.into_iter().for_each(|(key, value)| document[key] = value);
        document
    })
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let drivers: Vec<std::sync::Arc<dyn rmachine_provider_api::Driver>> = vec![
        std::sync::Arc::new(rmachine_provider_generic::Generic),
        std::sync::Arc::new(rmachine_provider_none::NoneDriver),
    ];
    let store = Store::at(directory.path()).with_drivers(&crate::drivers::Drivers::of(drivers));
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
    fn any_document_of_docker_machine_is_an_error_or_a_record(document in foreign()) {
        thread_local!(static STORE: (tempfile::TempDir, Store) = store());
        STORE.with(|(_, store)| {
            match load(store, document.to_string().as_bytes()) {
                Ok(record) => {
                    let fields = serde_json::Map::new();
                    let again = store.encode(&record, fields).unwrap();
                    assert_eq!(load(store, &again).unwrap().token, record.token);
                    let _ = (record.url(), record.endpoint(), record.published_address());
                    store.load_document("m").unwrap();
                }
                Err(error) => assert!(!error.to_string().is_empty()),
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
