//! Facts of a host, and small things done to it.

use std::net::IpAddr;

use rmachine_ssh::Session;
use time::OffsetDateTime;

use super::{Answer, Error, Result, answer, as_root, template};

/// How many addresses of a host are taken; those of containers' bridges are left out by the probe.
const MOST_ADDRESSES: usize = 64;

/// What a host says of itself.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// `ID` of os-release, such as `debian`.
    pub os_id: String,
    /// Whether there is a way to install an engine on it.
    pub known_os: bool,
    /// Whether systemd manages its services.
    pub systemd: bool,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// `PRETTY_NAME` of os-release.
    pub os_pretty: String,
    /// Architecture in Docker's words (`amd64`, `arm64`).
    pub arch: String,
    /// Its name.
    pub hostname: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Addresses of global scope, those of container bridges left out.
    pub addresses: Vec<IpAddr>,
    /// Who is logged in; empty means root.
    pub login_user: String,
    /// Whether IPv6 sockets can be had.
    pub ipv6: bool,
    /// Whether it is a swarm node.
    pub swarm: bool,
    /// Path of dockerd, where there is one.
    pub dockerd: Option<String>,
    /// `/etc/docker/daemon.json` as it stands; empty without.
    pub daemon_json: String,
    /// Seconds that its clock is ahead of ours.
    pub clock_skew: i64,
}

impl HostFacts {
    /// What the probe's answer says of a host that `user` is logged in to.
    pub(super) fn read(answer: &Answer, user: &str) -> Self {
        let os_pretty = match answer.get("os_pretty") {
            Some(pretty) if !pretty.is_empty() => pretty.to_owned(),
            _ => answer.get("kernel").unwrap_or("an unknown system").to_owned(),
        };
        let clock: i64 = answer.text("clock").parse().unwrap_or_default();
        Self {
            known_os: is_known_os(&answer.text("os_id"), &answer.text("os_like")),
            systemd: answer.is("systemd"),
            os_id: answer.text("os_id"),
            os_version: answer.text("os_version"),
            os_pretty,
            arch: docker_arch(&answer.text("machine")),
            hostname: answer.text("hostname"),
            boot_id: answer.text("boot_id"),
            addresses: answer.all("address").filter_map(|a| a.parse().ok()).take(MOST_ADDRESSES).collect(),
            login_user: if answer.get("uid") == Some("0") { String::new() } else { user.to_owned() },
            ipv6: answer.is("ipv6"),
            swarm: answer.is("swarm"),
            dockerd: answer.get("dockerd").map(str::to_owned),
            daemon_json: answer.decoded("daemon_json"),
            clock_skew: if clock == 0 { 0 } else { clock.saturating_sub(OffsetDateTime::now_utc().unix_timestamp()) },
        }
    }

    /// The command that reads a root script from its standard input.
    pub(super) fn shell(&self) -> String {
        if self.login_user.is_empty() { "sh -s".to_owned() } else { "sudo -n sh -s".to_owned() }
    }

    /// Refuses a host that no engine can be brought up on.
    pub(super) fn require_engine_host(&self) -> Result<()> {
        if !self.known_os {
            return Err(Error::UnsupportedOs(self.os_pretty.clone()));
        }
        if self.systemd { Ok(()) } else { Err(Error::NoSystemd) }
    }
}

/// Looks at the host.
///
/// # Errors
///
/// [`Error::NoRoot`]; [`Error::Script`] when it does not answer as a Linux host does.
pub async fn probe(session: &Session) -> Result<HostFacts> {
    let output = session.run("sh -s", template::PROBE.as_bytes()).await?;
    let answer = Answer::parse(&output.stdout);
    let user = session.user();
    match answer.get("sudo") {
        Some("yes") => {}
        Some("missing") => {
            return Err(Error::NoRoot { user: user.to_owned(), reason: "there is no sudo".to_owned() });
        }
        Some(refused) => {
            let reason = refused.trim_start_matches("refused: ").to_owned();
            return Err(Error::NoRoot { user: user.to_owned(), reason });
        }
        None => {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Error::Script(format!("the host gave no facts: {}", answer::last_words(&words))));
        }
    }
    let answer = answer.complete()?;
    Ok(HostFacts::read(&answer, user))
}

/// The systems that `templates/install.sh` has a way for. Debian 12 and 13 are run in the tests;
/// the others are written by their documentation.
fn is_known_os(id: &str, like: &str) -> bool {
    const KNOWN: [&str; 9] = ["debian", "ubuntu", "amzn", "fedora", "rhel", "rocky", "almalinux", "centos", "sles"];
    KNOWN.contains(&id)
        || id.starts_with("opensuse")
        || like.split_whitespace().any(|like| matches!(like, "debian" | "ubuntu"))
}

/// `uname -m` in the words of Docker and Go.
fn docker_arch(machine: &str) -> String {
    match machine {
        "x86_64" | "amd64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        "armv7l" => "arm",
        other => other,
    }
    .to_owned()
}

/// The kernel's boot id: it changes with every boot.
///
/// # Errors
///
/// When the session fails.
pub async fn boot_id(session: &Session) -> Result<String> {
    let output = session.run("cat /proc/sys/kernel/random/boot_id", b"").await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Reboots the host; the session breaks soon after.
///
/// # Errors
///
/// When the host refuses.
pub async fn reboot(session: &Session) -> Result<()> {
    let facts = probe(session).await?;
    as_root(session, &facts, template::REBOOT).await.map(|_| ())
}

/// First phase of the host key's rotation: answers the public half of the new key.
///
/// # Errors
///
/// When the host cannot make one.
pub async fn generate_host_key(session: &Session, facts: &HostFacts) -> Result<String> {
    let answer = as_root(session, facts, template::HOST_KEY_GENERATE).await?;
    answer
        .get("public")
        .filter(|key| key.starts_with("ssh-ed25519 "))
        .map(str::to_owned)
        .ok_or_else(|| Error::Script("the host made no host key".to_owned()))
}

/// Second phase: the new key takes the place of the seed. The caller has pinned both before.
///
/// # Errors
///
/// When the host does not take it.
pub async fn install_host_key(session: &Session, facts: &HostFacts) -> Result<()> {
    as_root(session, facts, template::HOST_KEY_INSTALL).await?.complete().map(|_| ())
}

/// Text of a base64 value; used by the unit facts.
pub(super) fn decode(text: &str) -> String {
    answer::decode(text)
}
