//! `config.json`: docker-machine's v3 document with our record in a section of its own; written and read, in memory.
//!
//! Field names and their order are those of docker-machine 0.16 (libmachine/host/host.go and the
//! types it embeds); scripts and GitLab Runner read them.

use std::path::Path;

use rmachine_model::{
    EngineSpec,
    error::{Error, Kind, Result},
};
use rmachine_text::url::without_secrets;
use serde_json::{Map, Value, json};

use super::{
    Foreign, RECORD_VERSION, Record, Trust,
    bytes::{to_json, unreadable},
    file,
};

/// The section that holds our record.
pub const SECTION: &str = "Rmachine";

/// Makes the document of `record`; `driver_fields` are those that docker-machine's driver adds.
///
/// # Errors
///
/// When the record does not serialize.
pub fn render(record: &Record, root: &Path, driver_fields: Map<String, Value>) -> serde_json::Result<Value> {
    if let Some(foreign) = &record.foreign {
        return around(record, root, foreign.document.clone());
    }
    let machine = root.join("machines").join(&record.name);
    let key_path =
        if record.ssh.key_file.is_empty() { String::new() } else { display(&machine.join(&record.ssh.key_file)) };
    let mut driver = Map::new();
    driver.insert("IPAddress".into(), json!(record.address().unwrap_or_default()));
    driver.insert("MachineName".into(), json!(record.name));
    driver.insert("SSHUser".into(), json!(record.ssh.user));
    driver.insert("SSHPort".into(), json!(record.ssh.port));
    driver.insert("SSHKeyPath".into(), json!(key_path));
    driver.insert("StorePath".into(), json!(display(root)));
    driver.insert("SwarmMaster".into(), json!(false));
    driver.insert("SwarmHost".into(), json!(""));
    driver.insert("SwarmDiscovery".into(), json!(""));
    driver.extend(driver_fields);
    let engine = &record.engine;
    Ok(json!({
        "ConfigVersion": 3,
        "Driver": driver,
        "DriverName": record.driver,
        "HostOptions": {
            "Driver": "",
            "Memory": 0,
            "Disk": 0,
            "EngineOptions": {
                "ArbitraryFlags": engine.opts.iter().map(|s| redacted(s)).collect::<Vec<_>>(),
                "Dns": null,
                "GraphDir": "",
                "Env": engine.env.iter().map(|s| redacted(s)).collect::<Vec<_>>(),
                "Ipv6": false,
                "InsecureRegistry": engine.insecure_registries,
                "Labels": engine.labels,
                "LogLevel": "",
                "StorageDriver": engine.storage_driver.as_deref().unwrap_or_default(),
                "SelinuxEnabled": false,
                "TlsVerify": true,
                "RegistryMirror": engine.registry_mirrors.iter().map(|s| without_secrets(s)).collect::<Vec<_>>(),
                "InstallURL": without_secrets(engine.install_url.as_deref().unwrap_or_default()),
            },
            "SwarmOptions": {
                "IsSwarm": false,
                "Address": "",
                "Discovery": "",
                "Agent": false,
                "Master": false,
                "Host": "tcp://0.0.0.0:3376",
                "Image": "swarm:latest",
                "Strategy": "spread",
                "Heartbeat": 0,
                "Overcommit": 0,
                "ArbitraryFlags": [],
                "ArbitraryJoinFlags": [],
                "Env": null,
                "IsExperimental": false,
            },
            "AuthOptions": auth_options(record, root),
        },
        "Name": record.name,
        SECTION: serde_json::to_value(record)?,
    }))
}

fn auth_options(record: &Record, root: &Path) -> Value {
    let (machine, certs) = (root.join("machines").join(&record.name), root.join("certs"));
    // What scripts, and docker-machine itself, dial the engine with.
    let (of_clients, ca_key) = match record.trust {
        Trust::Own => (&machine, machine.join(file::AUTHORITY)),
        Trust::Store | Trust::Given => (&certs, certs.join(file::CA_KEY)),
    };
    json!({
        "CertDir": display(&certs),
        "CaCertPath": display(&of_clients.join(file::CA_CERT)),
        "CaPrivateKeyPath": display(&ca_key),
        "CaCertRemotePath": "",
        "ServerCertPath": display(&machine.join("server.pem")),
        "ServerKeyPath": display(&machine.join("server-key.pem")),
        "ClientKeyPath": display(&of_clients.join(file::CLIENT_KEY)),
        "ServerCertRemotePath": "",
        "ServerKeyRemotePath": "",
        "ClientCertPath": display(&of_clients.join(file::CLIENT_CERT)),
        "ServerCertSANs": record.extra_sans,
        "StorePath": display(&machine),
    })
}

/// docker-machine's own document with our section, and what of its fields we have changed: the address, and where it is
/// another one, the place of its files. Everything else stays as docker-machine wrote it, so that it can read it.
fn around(record: &Record, root: &Path, mut document: Map<String, Value>) -> serde_json::Result<Value> {
    let machine = root.join("machines").join(&record.name);
    if let Some(Value::Object(driver)) = document.get_mut("Driver") {
        if let Some(address) = record.address() {
            driver.insert("IPAddress".into(), json!(address));
        }
        driver.insert("MachineName".into(), json!(record.name));
        driver.insert("StorePath".into(), json!(display(root)));
        if !record.ssh.key_file.is_empty() {
            driver.insert("SSHKeyPath".into(), json!(display(&machine.join(&record.ssh.key_file))));
        }
    }
    if let Some(Value::Object(options)) = document.get_mut("HostOptions") {
        let moved = options.get("AuthOptions").is_none_or(|auth| auth["StorePath"] != json!(display(&machine)));
        if moved || record.trust == Trust::Own {
            options.insert("AuthOptions".into(), auth_options(record, root));
        }
    }
    document.insert("Name".into(), json!(record.name));
    document.insert(SECTION.into(), serde_json::to_value(record)?);
    Ok(Value::Object(document))
}

/// The text of [`render`]'s document.
pub(super) fn bytes(record: &Record, root: &Path, driver_fields: Map<String, Value>) -> Result<Vec<u8>> {
    let document = render(record, root, driver_fields)
        .map_err(|e| Error::new(Kind::Store, "the record cannot be written as JSON").source(e))?;
    to_json(&document)
}

/// What a `config.json` is.
#[derive(Debug)]
pub(super) enum Document {
    /// A record of ours.
    Ours(Box<Record>),
    /// docker-machine's, without a section of ours.
    Foreign(Map<String, Value>),
}

/// Reads the record of machine `name` from `bytes`, those of the file `path`. The engine's options are not in it.
///
/// # Errors
///
/// [`Kind::Store`] when it does not read, is not that machine's or newer than this program.
pub(super) fn read(bytes: &[u8], name: &str, path: &Path) -> Result<Document> {
    let broken = |e: serde_json::Error| unreadable(path, e).hint(without_record(name));
    let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(broken)?;
    let Some(section) = document.shift_remove(SECTION) else { return Ok(Document::Foreign(document)) };
    let version = section.get("Version").and_then(Value::as_u64).unwrap_or(0);
    if version > u64::from(RECORD_VERSION) {
        return Err(Error::new(Kind::Store, format!("the record of machine \"{name}\" is from a newer rmachine"))
            .hint(format!("it has format {version}, this program knows {RECORD_VERSION}: update rmachine")));
    }
    let mut record: Record = serde_json::from_value(section).map_err(broken)?;
    // What an older one lacks has its default.
    record.version = RECORD_VERSION;
    if record.renamed.take().is_some_and(|new| new == name) {
        name.clone_into(&mut record.name);
    }
    // What is done to a machine is done in the directory that its record names.
    if record.name != name {
        let other = <serde_json::Error as serde::de::Error>::custom(format!("it is of a machine {:?}", record.name));
        return Err(broken(other));
    }
    if record.imported {
        record.foreign = Some(Box::new(Foreign { document, ..Foreign::default() }));
    }
    Ok(Document::Ours(Box::new(record)))
}

/// Reads the engine's options of machine `name` from `bytes`, those of the file `path`.
///
/// # Errors
///
/// [`Kind::Store`] when they do not read.
pub(super) fn read_engine(bytes: &[u8], name: &str, path: &Path) -> Result<EngineSpec> {
    serde_json::from_slice(bytes).map_err(|e| unreadable(path, e).hint(without_record(name)))
}

/// What helps a machine whose record is gone.
pub(super) fn without_record(name: &str) -> String {
    format!(
        "`rmachine rm -f {name}` deletes what carries its tags and forgets it; `rmachine adopt` gives it a new record"
    )
}

fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `KEY=VALUE` with the value hidden: engine options and variables may hold secrets.
pub(super) fn redacted(option: &str) -> String {
    match option.split_once('=') {
        Some((key, _)) => format!("{key}=<redacted>"),
        None => option.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `record.json` is of the time when all machines had the store's CA.
    #[test]
    fn an_earlier_record_has_the_stores_trust_and_its_paths_lead_to_usable_files() {
        let bytes = include_bytes!("record.json");
        assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap()[SECTION]["Version"], 1);
        let Document::Ours(mut record) = read(bytes, "m", Path::new("config.json")).unwrap() else {
            panic!("it has our section")
        };
        assert_eq!((record.version, record.trust, record.ends_old_trust), (RECORD_VERSION, Trust::Store, false));
        let paths = |record: &Record| {
            let document = render(record, Path::new("/store"), Map::new()).unwrap();
            let auth = &document["HostOptions"]["AuthOptions"];
            ["CaCertPath", "CaPrivateKeyPath", "ClientCertPath", "ClientKeyPath"]
                .map(|field| auth[field].as_str().unwrap().trim_start_matches("/store/").to_owned())
        };
        assert_eq!(paths(&record), ["certs/ca.pem", "certs/ca-key.pem", "certs/cert.pem", "certs/key.pem"]);
        record.trust = Trust::Own;
        let own = ["ca.pem", "authority.pem", "cert.pem", "key.pem"].map(|file| format!("machines/m/{file}"));
        assert_eq!(paths(&record), own);
    }

    #[test]
    fn secrets_of_options_are_hidden() {
        assert_eq!(redacted("HTTP_PROXY=http://u:p@h"), "HTTP_PROXY=<redacted>");
        assert_eq!(redacted("debug"), "debug");
    }
}
