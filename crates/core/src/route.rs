//! The way to a machine's sshd, as it was asked for at `create` or `adopt`.

use rmachine_model::error::{Error, Result};
use rmachine_provider_api::Driver;
use rmachine_ssh::{HostKeys, Route, Target};
use rmachine_store::{Record, SshRecord};
use serde::{Deserialize, Serialize};

use super::{
    Core,
    open::Need,
    shell::{default_keys, known_hosts_files},
    tunnel,
};

/// How the SSH connection to a machine is had; by default straight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SshRoute {
    /// Jump hosts, `[USER@]HOST[:PORT]`, comma-separated.
    pub jump: Option<String>,
    /// A shell command instead, with OpenSSH's tokens %h, %p and %r.
    pub command: Option<String>,
}

/// One jump host.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    user: Option<String>,
    host: String,
    port: u16,
}

impl SshRoute {
    pub(super) fn of(record: &Record) -> Self {
        Self { jump: record.ssh.proxy_jump.clone(), command: record.ssh.proxy_command.clone() }
    }

    pub(super) fn in_record(&self) -> SshRecord {
        SshRecord { proxy_jump: self.jump.clone(), proxy_command: self.command.clone(), ..SshRecord::default() }
    }

    /// Refuses what cannot be a way to machines of `driver`.
    pub(super) fn validate(&self, driver: &dyn Driver) -> Result<()> {
        if let Some(jump) = &self.jump {
            tunnel::require_ssh(driver, "--ssh-proxy-jump")?;
            hops(jump)?;
        }
        if let Some(command) = &self.command {
            tunnel::require_ssh(driver, "--ssh-proxy-command")?;
            if command.trim().is_empty() || command.contains(['\n', '\r', '\0']) {
                return Err(Error::usage("--ssh-proxy-command takes a shell command of one line"));
            }
        }
        Ok(())
    }
}

impl Core {
    /// Changes the way to the sshd of machine `name`; it is not tried here.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`] when it cannot be a way, [`rmachine_model::error::Kind::Store`].
    pub async fn reroute(&self, name: &str, route: &SshRoute) -> Result<()> {
        let mut machine = self.open(name, Need::any()).await?;
        route.validate(self.driver(&machine)?.as_ref())?;
        machine.commit(|record| {
            record.ssh.proxy_jump.clone_from(&route.jump);
            record.ssh.proxy_command.clone_from(&route.command);
        })
    }

    /// The way to `record`'s sshd. Jump hosts are logged in to with the user's own keys and known by his known_hosts files.
    pub(super) fn route(&self, record: &Record) -> Result<Route> {
        if let Some(command) = &record.ssh.proxy_command {
            return Ok(Route::Command(command.clone()));
        }
        let mut route = Route::Direct;
        for hop in record.ssh.proxy_jump.as_deref().map(hops).transpose()?.into_iter().flatten() {
            route = Route::through(Target {
                user: hop.user.map_or_else(own_name, Ok)?,
                host: hop.host,
                port: hop.port,
                keys: default_keys(),
                keyring: self.keyring.clone(),
                offer_agent: true,
                host_keys: HostKeys::KnownHosts(known_hosts_files()),
                route,
                budgets: self.budgets,
            });
        }
        Ok(route)
    }
}

/// Reads `[USER@]HOST[:PORT][,…]`, as ssh(1) -J takes it.
fn hops(text: &str) -> Result<Vec<Hop>> {
    text.split(',').map(|hop| parse(hop.trim()).ok_or_else(|| refused(hop))).collect()
}

fn refused(hop: &str) -> Error {
    Error::usage(format!("{hop:?} is no jump host"))
        .hint("--ssh-proxy-jump takes [USER@]HOST[:PORT], or several with commas")
}

fn parse(hop: &str) -> Option<Hop> {
    let hop = hop.strip_prefix("ssh://").unwrap_or(hop);
    let (user, place) = match hop.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, hop),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
        // More than one colon without brackets is an IPv6 address.
        None => match place.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (place, None),
        },
    };
    let port = port.map_or(Ok(22), str::parse).ok().filter(|port| *port > 0)?;
    let word = |text: &str, more: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(good)
    };
    let good = word(host, ".-_:%") && user.is_none_or(|user| word(user, ".-_+@\\$"));
    good.then(|| Hop { user: user.map(str::to_owned), host: host.to_owned(), port })
}

/// The name of who runs this, which ssh(1) takes where none is given.
fn own_name() -> Result<String> {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let root = || rustix::process::getuid().is_root().then(|| "root".to_owned());
    named.or_else(root).ok_or_else(|| {
        Error::usage("the login name on the jump host is not known")
            .hint("give it: --ssh-proxy-jump USER@HOST, or set USER")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(user: Option<&str>, host: &str, port: u16) -> Hop {
        Hop { user: user.map(str::to_owned), host: host.to_owned(), port }
    }

    #[test]
    fn jump_hosts_are_read_as_ssh_reads_them() {
        for (text, expected) in [
            ("gate", vec![hop(None, "gate", 22)]),
            ("me@gate.example:2222", vec![hop(Some("me"), "gate.example", 2222)]),
            ("ssh://me@gate:22", vec![hop(Some("me"), "gate", 22)]),
            ("[2001:db8::1]:2222", vec![hop(None, "2001:db8::1", 2222)]),
            ("me@2001:db8::1", vec![hop(Some("me"), "2001:db8::1", 22)]),
            ("one, two@three:4", vec![hop(None, "one", 22), hop(Some("two"), "three", 4)]),
        ] {
            assert_eq!(hops(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "a,,b",
            "a:0",
            "a:65536",
            "a:b",
            "@a",
            "-oProxyCommand=x",
            "me@-x",
            "a b",
            "a;b",
            "[::1]22",
            "$(x)",
            "a\nb",
        ] {
            assert!(hops(text).is_err(), "{text:?}");
        }
    }
}
