//! The `generic` driver: a host that runs already and lets us in over SSH.
//!
//! It makes and deletes nothing; `rm` forgets the host and leaves it as it is.

mod legacy;

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use rmachine_provider_api::{
    Addresses, Capabilities, Configured, CreateRequest, Cx, Driver, DriverInfo, Elsewhere, Error, Flag, HostAddress,
    HostTrust, Imported, Instance, InstanceId, LegacyFields, Login, LoginKey, MachineRef, MachineState, Malformed,
    Notify, Observed, Owner, Plan, PreflightRequest, Provider, Resource, Result, Secrets, StopMode, Values, Vetted,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn flags() -> Vec<Flag> {
    vec![
        Flag::text("generic-ip-address", "ADDRESS", "address or name of the host (required)")
            .env(&["GENERIC_IP_ADDRESS"]),
        Flag::text("generic-ssh-user", "USER", "login name; root, or one with passwordless sudo")
            .env(&["GENERIC_SSH_USER"])
            .default("root"),
        Flag::text("generic-ssh-key", "PATH", "private key to log in with; your default keys if not given")
            .env(&["GENERIC_SSH_KEY"]),
        Flag::integer("generic-ssh-port", "PORT", "port of sshd").env(&["GENERIC_SSH_PORT"]).default("22"),
        Flag::integer("generic-engine-port", "PORT", "port that the engine shall listen on")
            .env(&["GENERIC_ENGINE_PORT"])
            .default("2376"),
        Flag::text(
            "generic-ssh-host-key",
            "KEY",
            "the host's key or its fingerprint (SHA256:...); else your known_hosts decides",
        )
        .env(&["GENERIC_SSH_HOST_KEY"]),
    ]
}

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "generic".to_owned(),
    summary: "any Linux host that lets you in over SSH".to_owned(),
    flags: flags(),
    capabilities: Capabilities { ssh: true, engine: true, power: false, ingress: false },
});

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generic;

#[derive(Debug, Serialize, Deserialize)]
struct Config {
    address: HostAddress,
    user: String,
    key: Option<PathBuf>,
    port: u16,
    host_key: Option<String>,
}

impl Config {
    fn read(value: &Value) -> Result<Self> {
        Config::deserialize(value)
            .map_err(|e| Error::invalid("the saved config of the machine does not read").source(e))
    }
}

fn port(values: &Values, flag: &str) -> Result<u16> {
    let number = values.integer(flag).unwrap_or_default();
    u16::try_from(number)
        .ok()
        .filter(|p| *p > 0)
        .ok_or_else(|| Error::invalid(format!("--{flag} takes a port from 1 to 65535, not {number}")))
}

/// A name or address, without the brackets of an IPv6 literal.
fn check_address(address: &str) -> Result<HostAddress> {
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    plain.parse().map_err(|e: Malformed| Error::from(e).hint("give a name or an IP address only"))
}

/// Whether `text` has the form of a fingerprint or of a public key line; the SSH client reads it in full.
fn looks_like_host_key(text: &str) -> bool {
    // 32 bytes of SHA-256 in base64 without padding.
    let is_fingerprint = text.strip_prefix("SHA256:").is_some_and(|digest| digest.len() == 43);
    let is_key = ["ssh-ed25519 AAAA", "ssh-rsa AAAA", "ecdsa-sha2-nistp"].iter().any(|start| text.starts_with(start));
    is_fingerprint || is_key
}

#[async_trait]
impl Driver for Generic {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        let address = values.text("generic-ip-address").ok_or_else(|| {
            Error::invalid("the driver \"generic\" needs an address").hint("add --generic-ip-address HOST")
        })?;
        let address = check_address(address)?;
        let key = values.text("generic-ssh-key").map(PathBuf::from);
        let host_key = values.text("generic-ssh-host-key").map(str::to_owned);
        if let Some(key) = host_key.as_ref().filter(|key| !looks_like_host_key(key)) {
            return Err(Error::invalid(format!(
                "--generic-ssh-host-key takes a public key or its fingerprint, not {key:?}"
            ))
            .hint(
                "on the host, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows the fingerprint: SHA256:...",
            ));
        }
        let config = Config {
            address,
            user: values.text("generic-ssh-user").unwrap_or("root").to_owned(),
            key,
            port: port(values, "generic-ssh-port")?,
            host_key,
        };
        let config =
            serde_json::to_value(config).map_err(|e| Error::invalid("the config cannot be saved").source(e))?;
        Ok(Configured { config, secrets: Secrets::default(), engine_port: Some(port(values, "generic-engine-port")?) })
    }

    fn scope(&self, _: &Value) -> String {
        String::new()
    }

    async fn connect(&self, _: &Value, _: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(GenericProvider))
    }

    fn import_legacy(&self, fields: LegacyFields<'_>) -> Result<Imported> {
        legacy::import(fields)
    }

    fn vet(&self, said: &Elsewhere<'_>) -> Result<Vetted> {
        legacy::vet(said)
    }
}

#[derive(Debug)]
struct GenericProvider;

fn no_power(what: &str) -> Error {
    Error::unsupported(format!("the driver \"generic\" cannot {what} a host"))
        .hint("`rmachine restart` reboots it over SSH; power it on and off where it runs")
}

#[async_trait]
impl Provider for GenericProvider {
    async fn preflight(&self, spec: &PreflightRequest, _: &Cx<'_>) -> Result<Plan> {
        let config = Config::read(&spec.config)?;
        if let Some(path) = &config.key {
            std::fs::File::open(path).map_err(|e| {
                Error::invalid(format!("cannot read the SSH key {}", path.display()))
                    .source(e)
                    .hint("--generic-ssh-key takes the path of a private key")
            })?;
        }
        let login =
            Login { user: config.user, port: config.port, key: config.key.map_or(LoginKey::Default, LoginKey::File) };
        Ok(Plan {
            summary: vec![
                ("host".into(), config.address.to_string()),
                ("login".into(), format!("{} on port {}", login.user, login.port)),
            ],
            host_trust: config.host_key.map_or(HostTrust::KnownHosts, HostTrust::Given),
            ..Plan::of_existing(spec.config.clone(), login)
        })
    }

    async fn create(&self, request: &CreateRequest, _: &Cx<'_>) -> Result<Instance> {
        let config = Config::read(&request.plan.resolved)?;
        Ok(Instance {
            id: InstanceId::from(&config.address),
            addresses: Addresses {
                public: config.address.ip().into_iter().collect(),
                dial: Some(config.address),
                ..Addresses::default()
            },
            url: None,
            engine_port: None,
            details: Value::Null,
        })
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        let unknown = |id: &InstanceId| Observed {
            id: id.clone(),
            state: MachineState::Unknown,
            addresses: Addresses::default(),
            reason: None,
        };
        Ok(ids.iter().map(unknown).collect())
    }

    async fn start(&self, _: &InstanceId, _: &Cx<'_>) -> Result<Observed> {
        Err(no_power("start"))
    }

    async fn stop(&self, _: &InstanceId, mode: StopMode, _: &Cx<'_>) -> Result<()> {
        Err(no_power(if mode == StopMode::Force { "kill" } else { "stop" }))
    }

    async fn reboot(&self, _: &InstanceId, _: &Cx<'_>) -> Result<()> {
        Err(no_power("reboot"))
    }

    async fn find(&self, _: Option<&Owner>) -> Result<Vec<Resource>> {
        Ok(Vec::new())
    }

    async fn destroy(&self, _: &MachineRef<'_>, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
