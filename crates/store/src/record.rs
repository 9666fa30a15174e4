//! What is known of one machine.

use std::net::IpAddr;

use rmachine_model::{Endpoint, EngineSpec};
use rmachine_provider_api::{AttemptToken, HostAddress, Instance, MachineToken, Owner, Plan, Resource};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Foreign, Phase};

/// Version of [`Record`] as written now. A newer one is refused, an older one migrated: 1 has no [`Record::trust`], as
/// all machines had the store's CA then.
pub const RECORD_VERSION: u32 = 2;

/// Where tunnels listen.
pub const LOOPBACK: &str = "127.0.0.1";

/// One machine: what was asked, what exists, how far it is. No secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// [`RECORD_VERSION`] of the writer.
    pub version: u32,
    /// The machine's name; also the directory's.
    pub name: String,
    /// Name of the driver.
    pub driver: String,
    /// When `create` began.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// The store's id.
    pub owner: Owner,
    /// The machine's token, on all that was made for it.
    pub token: MachineToken,
    /// How far it is.
    pub phase: Phase,
    /// Whether it was running when we last knew.
    pub power: Power,
    /// The driver's config.
    pub config: serde_json::Value,
    /// TCP port of the engine.
    pub engine_port: u16,
    /// Port on this computer's 127.0.0.1 where the engine is reached through SSH; `None`: it is dialled itself.
    #[serde(default)]
    pub tunnel_port: Option<u16>,
    /// What was asked of the engine. Values that may be secret are in a file of their own.
    #[serde(skip)]
    pub engine: EngineSpec,
    /// Names and addresses for the server certificate, from `--tls-san`.
    #[serde(default)]
    pub extra_sans: Vec<String>,
    /// The resolved request.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// Token of the last attempt to make the instance.
    #[serde(default)]
    pub attempt: Option<AttemptToken>,
    /// Whether that attempt was answered by an instance, which is in `resources` then.
    #[serde(default)]
    pub answered: bool,
    /// Side effects that were about to happen, in order. One that was refused for good is taken out again: what is
    /// here and is not among `resources` may have happened.
    #[serde(default)]
    pub intents: Vec<String>,
    /// What the provider made.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// The instance, once it exists.
    #[serde(default)]
    pub instance: Option<Instance>,
    /// SSH facts.
    #[serde(default)]
    pub ssh: SshRecord,
    /// What the host said of itself.
    #[serde(default)]
    pub host: Option<HostRecord>,
    /// Whose certificates its engine and its clients have.
    #[serde(default)]
    pub trust: Trust,
    /// Whether the CA before the present one is trusted no more, which its engine may not know yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_old_trust: bool,
    /// Whether `rm` refuses it.
    #[serde(default)]
    pub protected: bool,
    /// Whether docker-machine made it: nothing of it carries our tags, and its host key was pinned at our first contact.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The name that its directory is about to get: one that was given it by a rename that was killed is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<String>,
    /// docker-machine's own document of an imported one.
    #[serde(skip)]
    pub foreign: Option<Box<Foreign>>,
}

/// Whether a machine runs, as last known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Running, as far as we know.
    Running,
    /// Stopped by us, or seen stopped.
    Stopped,
}

/// Whose certificates a machine's engine and its clients have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Those of the store's CA: engines that rmachine does not manage, and machines of the time when all had them.
    #[default]
    Store,
    /// Those of a CA or a client that was given by `--tls-*`.
    Given,
    /// Those of a CA of its own.
    Own,
}

/// How to log in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SshRecord {
    /// Login name.
    pub user: String,
    /// TCP port.
    pub port: u16,
    /// Private key's file name in the machine's directory; empty: the user's default keys.
    pub key_file: String,
    /// Pinned OpenSSH public host keys.
    pub host_keys: Vec<String>,
    /// The host key of the first session, which stood in the first-boot data; until it is replaced and dropped.
    #[serde(default)]
    pub seed_key: Option<String>,
    /// Whether another store has the keys as well: they are replaced at the first session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
    /// Jump hosts on the way, `[USER@]HOST[:PORT]`, comma-separated, as ssh(1) -J takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_jump: Option<String>,
    /// Shell command whose input and output lead to sshd (ssh_config(5), ProxyCommand).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_command: Option<String>,
}

/// What the host said of itself when it was last provisioned or started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostRecord {
    /// Operating system's pretty name.
    pub os: String,
    /// Architecture in Docker's words.
    pub arch: String,
    /// Kernel's boot id: changes with every boot.
    pub boot_id: String,
    /// Version of the engine; empty without one.
    pub engine_version: String,
    /// Its own addresses, loopback and link-local left out.
    pub addresses: Vec<IpAddr>,
}

impl Record {
    /// Whether it is one of docker-machine's whose driver could not read it: what needs the driver cannot be done.
    pub fn lacks_driver(&self) -> bool {
        self.imported && self.config.is_null()
    }

    /// Whether its create has ended before anything was made: an intent is saved before each effect, and goes when
    /// that is refused.
    pub fn made_nothing(&self) -> bool {
        let has_begun = !self.intents.is_empty() || !self.resources.is_empty() || self.instance.is_some();
        self.phase == Phase::Creating && !has_begun
    }

    /// The address to dial, when there is one.
    pub fn address(&self) -> Option<&str> {
        self.instance.as_ref()?.addresses.dial.as_ref().map(HostAddress::as_str)
    }

    /// The address where ports answer that containers publish.
    pub fn published_address(&self) -> Option<String> {
        let addresses = &self.instance.as_ref()?.addresses;
        addresses
            .published
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| addresses.dial.as_ref().map(ToString::to_string))
    }

    /// Where to dial the engine, when it has an address.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let instance = self.instance.as_ref()?;
        let host = instance.addresses.dial.as_ref()?.to_string();
        if let Some(port) = self.tunnel_port {
            return Some(Endpoint { host: LOOPBACK.to_owned(), port });
        }
        Some(Endpoint { host, port: instance.engine_port.unwrap_or(self.engine_port) })
    }

    /// The URL of a machine that is nothing but a URL, where docker cannot dial it.
    pub fn undialable(&self) -> Option<String> {
        let url = self.instance.as_ref()?.url.clone();
        url.filter(|_| self.address().is_none())
    }

    /// The engine's URL, when there is one.
    pub fn url(&self) -> Option<String> {
        let other = self.instance.as_ref()?.url.clone();
        other.or_else(|| Some(self.endpoint()?.url()))
    }
}
