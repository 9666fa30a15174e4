//! The values that pass between the core and a provider.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{AttemptToken, HostAddress, InstanceId, MachineToken, Owner};

/// What `create` asks of [`crate::Provider::preflight`].
#[derive(Debug, Clone)]
pub struct PreflightRequest {
    /// The machine's name.
    pub name: String,
    /// The config that [`crate::Driver::configure`] made.
    pub config: serde_json::Value,
    /// TCP port of the engine that has to be reachable.
    pub engine_port: u16,
}

/// A checked request with all defaults resolved; saved before the first side effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The provider's own resolved values (image, zone, type, subnet, …).
    pub resolved: serde_json::Value,
    /// How to log in.
    pub login: Login,
    /// Whether and how the machine takes first-boot data; `None`: all work is done over SSH.
    pub boot_data: Option<BootData>,
    /// How the first host key is known.
    pub host_trust: HostTrust,
    /// Processor architecture as Docker names it (`amd64`, `arm64`), when known.
    pub arch: Option<String>,
    /// What was chosen, as (label, value) lines for the user.
    pub summary: Vec<(String, String)>,
    /// What to try next, in order, where the cloud has no room for `resolved`.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
}

/// The same request elsewhere: in another zone, of another type, on another market.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alternative {
    /// Fields of [`Plan::resolved`] that are other ones, as an object.
    pub changes: serde_json::Value,
    /// Takes the place of [`Plan::arch`], when it is known.
    pub arch: Option<String>,
    /// What is other about it, for the log, such as `t3.small in us-east-1b`.
    pub label: String,
}

impl Plan {
    /// Of a machine that is there already: nothing is asked for at its boot, and its host is known by known_hosts.
    pub fn of_existing(resolved: serde_json::Value, login: Login) -> Self {
        Self {
            resolved,
            login,
            boot_data: None,
            host_trust: HostTrust::KnownHosts,
            arch: None,
            summary: Vec::new(),
            alternatives: Vec::new(),
        }
    }

    /// Whether the first boot starts the engine's install.
    pub fn installs_at_boot(&self) -> bool {
        self.boot_data.as_ref().is_some_and(|boot| boot.form == BootForm::CloudInit)
    }
}

/// How to log in over SSH.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    /// Login name; needs root or passwordless sudo.
    pub user: String,
    /// TCP port of sshd.
    pub port: u16,
    /// Which private key.
    pub key: LoginKey,
}

/// Which private key logs in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginKey {
    /// The core makes one for this machine, and first-boot data brings it in.
    Generate,
    /// The user's own, copied into the machine's directory.
    File(PathBuf),
    /// The user's default keys (`~/.ssh/id_ed25519`, `id_ecdsa`, `id_rsa`), in this order.
    Default,
}

/// First-boot data as the provider takes it (EC2's user-data).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BootData {
    /// What reads it on the host.
    #[serde(default)]
    pub form: BootForm,
    /// Largest size in bytes, before any transport encoding.
    pub limit: usize,
    /// The user's own data that has to be kept, as read from disk.
    #[serde(skip)]
    pub user_supplied: Option<Vec<u8>>,
}

/// What reads the first-boot data on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootForm {
    /// cloud-init: a gzipped MIME archive, which also starts the engine's install.
    #[default]
    CloudInit,
    /// A POSIX shell script that runs as root before the init system starts; it installs nothing.
    Script,
}

/// How the first host key is known. Nothing is trusted on first use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostTrust {
    /// The core puts a seed key in the first-boot data.
    Seeded,
    /// The key with this fingerprint (`SHA256:…`) or this OpenSSH public key.
    Given(String),
    /// The user's known_hosts file, else a question on a terminal.
    KnownHosts,
}

/// What `create` carries out.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The machine's name; shown in the cloud's console.
    pub name: String,
    /// The store that owns it.
    pub owner: Owner,
    /// The machine that owns it.
    pub token: MachineToken,
    /// Idempotency of this attempt.
    pub attempt: AttemptToken,
    /// What [`crate::Provider::preflight`] answered.
    pub plan: Plan,
    /// The first-boot data, byte for byte as to be sent.
    pub user_data: Option<Vec<u8>>,
    /// Public half of the login key, one OpenSSH line.
    pub public_key: Option<String>,
    /// TCP port of the engine that has to be reachable.
    pub engine_port: u16,
    /// Whether the engine is reached through SSH: its port is not to be opened to anybody.
    pub engine_through_ssh: bool,
    /// Whether an earlier process may have sent it: what it made is looked for before it is sent again.
    pub sent_before: bool,
}

/// What exists, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The provider's id.
    pub id: InstanceId,
    /// Where it answers now.
    pub addresses: Addresses,
    /// URL of the engine when it is not `tcp://DIAL:PORT` with our certificates (driver `none`).
    #[serde(default)]
    pub url: Option<String>,
    /// Port to dial for the engine, where it is forwarded from another one than the engine listens on.
    #[serde(default)]
    pub engine_port: Option<u16>,
    /// The provider's own facts (ids of groups, spot request, …).
    #[serde(default)]
    pub details: serde_json::Value,
}

/// Addresses of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The one to dial for SSH and the engine.
    pub dial: Option<HostAddress>,
    /// The one where ports answer that containers publish, where that is another one than `dial`.
    #[serde(default)]
    pub published: Option<IpAddr>,
    /// Public addresses.
    #[serde(default)]
    pub public: Vec<IpAddr>,
    /// Private addresses.
    #[serde(default)]
    pub private: Vec<IpAddr>,
    /// DNS names that the provider gives it.
    #[serde(default)]
    pub names: Vec<HostAddress>,
}

/// State of an instance; the words that `ls` and `status` print are docker-machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineState {
    /// The provider does not know (yet, or any more) such an instance.
    Absent,
    /// On its way to running.
    Starting,
    /// Running.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Stopped; can be started.
    Stopped,
    /// Suspended in memory.
    Paused,
    /// Suspended to disk.
    Saved,
    /// Being deleted for good.
    Terminating,
    /// Deleted for good; the id may still be listed for a while.
    Terminated,
    /// There is no way to tell (no power interface, as `none`).
    Unknown,
    /// The provider says that it is broken.
    Error,
}

/// One instance as [`crate::Provider::observe`] saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Which.
    pub id: InstanceId,
    /// Its state.
    pub state: MachineState,
    /// Its addresses now.
    pub addresses: Addresses,
    /// Why it is in that state, in the provider's words.
    pub reason: Option<String>,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// As by the power button: the system shuts down.
    Graceful,
    /// As by pulling the plug.
    Force,
}

/// One machine of ours, as calls about it name it.
#[derive(Debug, Clone)]
pub struct MachineRef<'a> {
    /// The machine's name, for messages.
    pub name: &'a str,
    /// The store that owns it.
    pub owner: &'a Owner,
    /// The machine's token, on every resource of it.
    pub token: &'a MachineToken,
    /// The instance of the record, when there is one.
    pub instance: Option<&'a Instance>,
    /// The saved plan, when preflight was passed.
    pub plan: Option<&'a Plan>,
    /// TCP port of the engine.
    pub engine_port: u16,
    /// Whether the engine is reached through SSH: its port is not to be opened to anybody.
    pub engine_through_ssh: bool,
    /// What its create made, as told to [`crate::Journal::made`].
    pub made: &'a [Resource],
    /// Side effects that its create was about to have, as told to [`crate::Journal::intend`]; without those that were
    /// refused for good.
    pub intents: &'a [String],
    /// Whether docker-machine made it: nothing of it carries our tags, and its instance is known by its id alone.
    pub by_id: bool,
    /// The saved request of a create whose instance was never recorded: when it was sent, the same
    /// request answers the same instance.
    pub unanswered: Option<&'a CreateRequest>,
}

/// A kind of thing that costs money or blocks a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A virtual or real machine.
    Instance,
    /// A request for spot capacity.
    SpotRequest,
    /// A disk, or a volume of an engine.
    Volume,
    /// A network that machines share.
    Network,
    /// A network interface.
    NetworkInterface,
    /// A reserved public address.
    Address,
    /// A set of firewall rules.
    SecurityGroup,
    /// A registered login key.
    KeyPair,
}

/// Something in the cloud that carries our tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// The provider's id.
    pub id: String,
    /// The store that owns it.
    pub owner: Option<Owner>,
    /// The machine that it was made for.
    pub token: Option<MachineToken>,
    /// Name of that machine.
    pub machine: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339::option")]
    pub created: Option<OffsetDateTime>,
    /// Where it is (region or zone).
    pub location: Option<String>,
    /// What it is like, in a few words, such as `t3.micro, running`.
    #[serde(default)]
    pub detail: Option<String>,
    /// What it costs a month, in US dollars, as far as it can be told.
    #[serde(default, rename = "monthlyUsd")]
    pub monthly_usd: Option<f64>,
}

impl Resource {
    /// A resource that was made just now for the machine of `request`.
    pub fn made(kind: ResourceKind, id: &str, request: &CreateRequest, location: Option<&str>) -> Self {
        Self {
            kind,
            id: id.to_owned(),
            owner: Some(request.owner.clone()),
            token: Some(request.token.clone()),
            machine: Some(request.name.clone()),
            created: Some(OffsetDateTime::now_utc()),
            location: location.map(str::to_owned),
            detail: None,
            monthly_usd: None,
        }
    }
}

/// What an instance has written to its console, as its cloud shows it to those who may ask the account.
#[derive(Debug, Clone)]
pub struct Console {
    /// The newest of it; what runs there wrote it, so nothing in it is to be believed but by what root alone may write.
    pub text: String,
    /// When the cloud read it; `None`: it does not say.
    pub read: Option<OffsetDateTime>,
}

/// An instance of ours whose record was lost, as [`crate::Provider::examine`] found it.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Its tags and place.
    pub resource: Resource,
    /// Its state.
    pub state: MachineState,
    /// The request, as far as it can be read back.
    pub plan: Plan,
    /// The config that goes with it.
    pub config: serde_json::Value,
    /// What exists.
    pub instance: Instance,
}
