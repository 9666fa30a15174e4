//! `config.json`: docker-machine's v3 document with our record in a section of its own.
//!
//! Field names and their order are those of docker-machine 0.16 (libmachine/host/host.go and the
//! types it embeds); scripts and GitLab Runner read them.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Record, bytes::to_json};
use crate::error::{Error, Kind, Result};

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
                "RegistryMirror": engine.registry_mirrors.iter().map(|s| without_user(s)).collect::<Vec<_>>(),
                "InstallURL": without_user(engine.install_url.as_deref().unwrap_or_default()),
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
    json!({
        "CertDir": display(&certs),
        "CaCertPath": display(&certs.join("ca.pem")),
        "CaPrivateKeyPath": display(&certs.join("ca-key.pem")),
        "CaCertRemotePath": "",
        "ServerCertPath": display(&machine.join("server.pem")),
        "ServerKeyPath": display(&machine.join("server-key.pem")),
        "ClientKeyPath": display(&certs.join("key.pem")),
        "ServerCertRemotePath": "",
        "ServerKeyRemotePath": "",
        "ClientCertPath": display(&certs.join("cert.pem")),
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
        if moved {
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

/// A URL without the user and password in it.
pub(super) fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            match rest[..end].rfind('@') {
                Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
                None => url.to_owned(),
            }
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_options_and_urls_are_hidden() {
        assert_eq!(redacted("HTTP_PROXY=http://u:p@h"), "HTTP_PROXY=<redacted>");
        assert_eq!(redacted("debug"), "debug");
        assert_eq!(without_user("https://u:p@mirror.example/x@y"), "https://mirror.example/x@y");
        assert_eq!(without_user("https://mirror.example/x@y"), "https://mirror.example/x@y");
    }
}
