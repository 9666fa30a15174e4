//! Properties of the readers of the store and of what a user types.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;
use rmachine_certs::{Recipient, Sans};
use rmachine_model::{EngineSpec, drivers::Drivers, error::Result};
use rmachine_provider_api::{Driver, Owner, Secrets};
use rmachine_testkit::cases;
use serde_json::{Map, Value, json};

use super::{
    Record, check_name,
    document::{self, Document},
    legacy::{self, Origin},
};

static WHOLE: &[u8] = include_bytes!("record.json");
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(WHOLE).unwrap());
/// Where something stands in the document, those of our section first.
static PLACES: LazyLock<(Vec<String>, usize)> = LazyLock::new(|| {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        places.push(at.to_owned());
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), places)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{at}/{index}"), places));
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(&DOCUMENT[document::SECTION], "/Rmachine", &mut places);
    let ours = places.len();
    walk(&DOCUMENT, "", &mut places);
    (places, ours)
});

/// A record as an earlier run may have left it, some bytes of it changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..WHOLE.len(), any::<u8>()), 0..4);
    (changes, prop::option::of(0..WHOLE.len())).prop_map(|(changes, end)| {
        let mut bytes = WHOLE.to_vec();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(end.unwrap_or(bytes.len()));
        bytes
    })
}

/// A record with anything in the place of one or two of its parts.
fn replaced() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        3 => (0..VALUES.len()).prop_map(|index| VALUES[index].clone()),
        1 => cases::texts(0..8).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ];
    prop::collection::vec((any::<bool>(), any::<u16>(), value), 1..3).prop_map(|changes| {
        let (places, ours) = &*PLACES;
        // The rest is not read: mostly left out, for the time that it takes.
        let whole = changes.iter().all(|(whole, ..)| *whole);
        let mut document = if whole { DOCUMENT.clone() } else { json!({"Rmachine": DOCUMENT["Rmachine"]}) };
        for (_, place, value) in changes {
            let count = if whole { places.len() } else { *ours };
            // What the change before has replaced is not there any more.
            if let Some(part) = document.pointer_mut(&places[usize::from(place) % count]) {
                *part = value;
            }
        }
        serde_json::to_vec(&document).unwrap()
    })
}

static VALUES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let host =
        json!({"Os": "x", "Arch": "amd64", "BootId": "1", "EngineVersion": "", "Addresses": ["10.0.0.1", "fe80::1"]});
    let instance = json!({"id": "i", "addresses": {"dial": null, "public": [], "private": [], "names": ["a"]}});
    let resource = json!([{"kind": "instance", "id": "i-1"}]);
    let simple = json!([
        null, true, false, 0, -1, 1, 2, 22, 65536, u64::MAX, 1.5, "", "m", "../m", "n", "ready", "creating", "stopped", "127.0.0.1",
        "2026-11-25T10:36:57Z", "2026-11-25T23:59:60+23:59", [], {}, [[]], [""], ["a", "b"], {"a": 1}, [{}], [null]
    ]);
    let mut values = simple.as_array().unwrap().clone();
    values.extend([host, instance, resource, DOCUMENT.clone()]);
    values
});

/// Bytes, and what looks like JSON from afar.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"Rmachine\":",
        "\"Version\":1",
        "\"Name\":\"m\"",
        "null",
        "-",
        "1e999",
        "0.1",
        "\\u",
        "\\ud800",
        " ",
        "\n",
        "\u{feff}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];
    let tokens = prop::collection::vec(0..TOKENS.len(), 0..24)
        .prop_map(|picks| picks.into_iter().map(|pick| TOKENS[pick]).collect::<String>().into_bytes());
    prop_oneof![tokens, prop::collection::vec(any::<u8>(), 0..64)]
}

/// A document of version 3 as docker-machine may have written it, any of its fields missing, of another type or odd.
fn foreign() -> impl Strategy<Value = Value> {
    let odd = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        cases::texts(0..8).prop_map(Value::from),
        Just(json!("198.51.100.7")),
        Just(json!("../../x")),
        prop::collection::vec(cases::texts(0..5), 0..3).prop_map(Value::from),
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

static DRIVERS: LazyLock<Drivers> = LazyLock::new(|| {
    let drivers: [Arc<dyn Driver>; 2] =
        [Arc::new(rmachine_provider_generic::Generic), Arc::new(rmachine_provider_none::NoneDriver::default())];
    Drivers::of(drivers.into())
});

/// docker-machine's own document of machine `m`, as a record.
fn convert(document: Map<String, Value>) -> Result<Record> {
    let owner = "o".parse::<Owner>().unwrap();
    let (root, directory) = (Path::new("/nowhere"), Path::new("/nowhere/machines/m"));
    legacy::convert(document, Origin { name: "m", root, directory, drivers: &DRIVERS, owner })
}

/// Takes the document of others, whose record is said to be of `driver`: it is refused, or nothing of it that is not on the
/// list has come along.
fn take(bytes: &[u8], driver: &str) -> bool {
    let Ok(Value::Object(mut document)) = serde_json::from_slice::<Value>(bytes) else { return false };
    if let Some(Value::Object(section)) = document.get_mut(document::SECTION) {
        section.insert("Driver".into(), driver.into());
        if let Some(Value::Object(config)) = section.get_mut("Config") {
            config.insert("url".into(), json!("tcp://192.0.2.1:2376"));
        }
    }
    match Record::from_elsewhere(document, "m", &DRIVERS, EngineSpec::default(), &Secrets::default()) {
        Err(error) => {
            assert!(error.causes().iter().any(|cause| cause.contains(": ")), "it names the field: {error:?}");
            false
        }
        Ok((record, _)) => {
            let is_plain = |text: &str| !text.contains(|c: char| c.is_control() || c.is_whitespace());
            assert!(
                record.ssh.proxy_command.is_none() && record.ssh.proxy_jump.is_none() && is_plain(&record.ssh.user)
            );
            assert!(record.extra_sans.is_empty() && record.resources.is_empty() && record.intents.is_empty());
            assert!(record.attempt.is_none() && record.host.is_none() && record.engine.install_url.is_none());
            assert!(record.url().is_none_or(|url| url.starts_with("tcp://") && is_plain(&url)));
            assert!(record.address().is_none_or(is_plain));
            assert_eq!((record.name.as_str(), record.phase), ("m", super::Phase::Ready));
            true
        }
    }
}

/// Reads `bytes` as the record of machine `m`: an error that says something, or a record of `m` that is read back as it was
/// when it is written.
fn read(bytes: &[u8]) -> Option<Record> {
    let ours = |bytes: &[u8]| match document::read(bytes, "m", PATH.as_ref())? {
        Document::Ours(record) => Ok(*record),
        Document::Foreign(document) => convert(document),
    };
    match ours(bytes) {
        Ok(record) => {
            assert_eq!(record.name, "m");
            let written = document::bytes(&record, Path::new("/store"), Map::new()).unwrap();
            let mut again = ours(&written).unwrap();
            // What was docker-machine's has a section of ours now, and the engine's options in a file of their own.
            if record.foreign.as_ref().is_some_and(|foreign| foreign.untouched) {
                again.foreign.clone_from(&record.foreign);
                again.engine.clone_from(&record.engine);
            }
            // By all of its fields, those too that are not written.
            assert_eq!(format!("{again:?}"), format!("{record:?}"));
            let _ = (record.url(), record.published_address());
            Some(record)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.exit_code() != std::process::ExitCode::SUCCESS);
            None
        }
    }
}

const PATH: &str = "/store/machines/m/config.json";

#[test]
fn the_record_that_is_changed_here_reads() {
    assert!(read(WHOLE).is_some());
    assert!(take(WHOLE, "none") && take(WHOLE, "generic") && !take(WHOLE, "amazonec2"));
    let (places, ours) = &*PLACES;
    assert!(places.iter().all(|place| DOCUMENT.pointer(place).is_some()) && *ours > 40);
    let other = document::read(WHOLE, "n", Path::new("x")).unwrap_err();
    assert_eq!(other.to_string(), "x is damaged");
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn a_damaged_record_is_an_error_or_a_record(bytes in damaged()) {
        read(&bytes);
    }

    #[test]
    fn a_record_with_anything_in_it_is_an_error_or_a_record(bytes in replaced()) {
        read(&bytes);
    }

    #[test]
    fn any_document_of_docker_machine_is_an_error_or_a_record(document in foreign()) {
        if let Some(record) = read(document.to_string().as_bytes()) {
            prop_assert!(record.imported && record.foreign.is_some_and(|foreign| foreign.untouched));
        }
    }

    #[test]
    fn a_record_of_others_is_refused_or_built_anew(bytes in prop_oneof![replaced(), damaged(), bytes()], none in any::<bool>()) {
        take(&bytes, if none { "none" } else { "generic" });
    }

    #[test]
    fn any_bytes_as_a_record_are_an_error(bytes in bytes()) {
        prop_assert!(read(&bytes).is_none());
        let _ = document::read_engine(&bytes, "m", Path::new("x"));
    }

    #[test]
    fn names_of_machines_are_safe_as_paths_and_hosts(text in cases::texts(0..12), name in cases::of("aZ09.-", 0..80)) {
        for text in [text, name] {
            let good = (1..=63).contains(&text.len())
                && !text.starts_with(['.', '-'])
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
            prop_assert_eq!(check_name(&text).is_ok(), good);
        }
    }

    #[test]
    fn names_of_certificates_read_back(text in cases::texts(0..12), address in any::<std::net::IpAddr>()) {
        for text in [text, address.to_string()] {
            let Ok(sans) = Sans::parse([&text]) else { continue };
            let shown: Vec<String> = sans.iter().map(ToString::to_string).collect();
            prop_assert_eq!(shown.len(), 1);
            prop_assert_eq!(Sans::parse(&shown).unwrap(), sans);
        }
        prop_assert!(Sans::parse([address.to_string()]).is_ok());
    }

    #[test]
    fn recipients_of_a_share_never_panic(text in cases::text(), middle in cases::of("AaBMIGbQxyz019+/=\n", 0..40), kind in 0..3_usize) {
        let kind = ["PUBLIC KEY", "CERTIFICATE REQUEST", "PRIVATE KEY"][kind];
        for text in [text.as_str(), &format!("-----BEGIN {kind}-----\n{middle}\n-----END {kind}-----\n{text}")] {
            prop_assert!(Recipient::parse(text).is_err());
        }
    }
}
