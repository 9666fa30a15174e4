//! First contact with hosts that docker-machine made: it pinned no host key, so somebody has to vouch for one.

use std::time::{Duration, Instant};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::HostTrust;
use rmachine_ssh as ssh;
use rmachine_store::Record;

use super::{
    Core, blocking,
    open::{CONNECT, Machine},
    shell::{known_hosts_files, no_address},
};

/// Pause between two tries with a host that boots.
const PAUSE: Duration = Duration::from_millis(500);

/// What is done at the first contact with a host that others made whose key no known_hosts file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FirstContact {
    /// Ask on a terminal; without one the machine waits, and the error says what lets it go on.
    #[default]
    Ask,
    /// Take the key that it shows, and say so: whoever answers at that address then is trusted from there on.
    Take,
    /// Take this one, an OpenSSH line or a fingerprint, and no other.
    Given(String),
}

/// The hints of an unknown host, in the words of the command that met it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Vouch<'a> {
    /// The key is given by this flag.
    Flag(&'a str),
    /// docker-machine's: its key is taken by `import`.
    Import,
}

impl Core {
    /// Whether no key is pinned yet for the host of a machine that docker-machine made.
    pub(super) fn is_unmet(&self, record: &Record) -> bool {
        let has_ssh = self.driver(record).is_ok_and(|driver| driver.info().capabilities.ssh);
        record.imported && record.ssh.host_keys.is_empty() && has_ssh
    }

    /// Before the first login to a machine that docker-machine made: pins its host key as [`Core::first_contact`] says.
    /// `patience` is for a host that boots.
    pub(super) async fn meet(&self, machine: &mut Machine<'_>, patience: Duration) -> Result<()> {
        if !self.is_unmet(machine) {
            return Ok(());
        }
        // At an address of long ago somebody else may answer by now.
        self.follow(machine).await?;
        self.trust_host(machine, Vouch::Import, patience).await?;
        if machine.ssh.host_keys.is_empty() { Ok(()) } else { machine.save() }
    }

    /// For hosts that we did not make: pins the key that a known_hosts file, a fingerprint or the
    /// user's word vouches for. Nothing is sent to a host before.
    pub(super) async fn trust_host(
        &self,
        machine: &mut Machine<'_>,
        vouch: Vouch<'_>,
        patience: Duration,
    ) -> Result<()> {
        let trusted_elsewhere =
            machine.plan.as_ref().is_some_and(|plan| !matches!(plan.host_trust, HostTrust::KnownHosts));
        if !machine.ssh.host_keys.is_empty() || trusted_elsewhere {
            return Ok(());
        }
        let host = machine.address().ok_or_else(|| no_address(machine))?.to_owned();
        let port = machine.ssh.port;
        let shown = self.shown_key(machine, &host, patience).await?;
        if ssh::known_hosts_knows(&known_hosts_files(), &host, port)? {
            return Ok(());
        }
        let fingerprint = ssh::fingerprint(&shown)?;
        if let FirstContact::Given(given) = &self.first_contact {
            if given.trim() != fingerprint && !ssh::same_key(given, &shown) {
                return Err(Error::new(Kind::Ssh, format!("the host {host} shows another key than was given"))
                    .hint(format!("it shows {fingerprint}")));
            }
            return self.pin(machine, &shown, "the user, by its fingerprint");
        }
        let otherwise = match vouch {
            Vouch::Flag(flag) => format!("where you know better, name the key with {flag} {fingerprint}"),
            Vouch::Import => format!(
                "where you know better, name it: `rmachine import --machine {} --host-key {fingerprint}`",
                machine.name
            ),
        };
        if self.console_vouches(machine, &fingerprint, &otherwise).await? {
            self.talk
                .about(&machine.name)
                .warn(&format!("its console names the key that its host shows: {fingerprint}"));
            return self.pin(machine, &shown, "the console of its instance");
        }
        if self.first_contact == FirstContact::Take {
            let why = match vouch {
                Vouch::Flag(_) => "no known_hosts file has the key of the host",
                Vouch::Import => "docker-machine pinned no host key",
            };
            self.talk
                .about(&machine.name)
                .warn(&format!("{why}; the key that {host} shows now is trusted from here on: {fingerprint}"));
            self.pin(machine, &shown, "nobody: it was the first that was shown")?;
            return Ok(());
        }
        let question = format!("the host {host} shows the key {fingerprint}, which no known_hosts file has; trust it?");
        // One question at a time, while other hosts are asked for their keys.
        let _turn = self.asking.lock().await;
        let talk = self.talk.clone();
        match blocking(move || Ok(talk.confirm(&question))).await? {
            Some(true) => {
                self.pin(machine, &shown, "the user's answer")?;
                Ok(())
            }
            Some(false) => Err(Error::new(Kind::Ssh, format!("the key of host {host} was not accepted"))),
            None => {
                let error = Error::new(Kind::Ssh, format!("the key of host {host} is not known"))
                    .hint(format!("it shows {fingerprint}; compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"));
                Err(match vouch {
                    Vouch::Flag(flag) => error.hint(format!("then give it with {flag}, or add it to ~/.ssh/known_hosts")),
                    Vouch::Import => error.hint(format!(
                        "docker-machine pinned none: on a terminal rmachine asks; `rmachine import --trust-on-first-use --machine {}` takes the one that is shown, and an entry of ~/.ssh/known_hosts is taken always",
                        machine.name
                    )),
                })
            }
        }
    }

    /// The key that `host` shows.
    async fn shown_key(&self, record: &Record, host: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            match ssh::scan_host_key(host, record.ssh.port, &self.route(record)?, CONNECT).await {
                Ok(shown) => return Ok(shown),
                Err(error) if !error.is_on_the_way() && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(self.no_session(record, error).await),
            }
        }
    }
}
