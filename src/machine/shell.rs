//! Sessions: how a record becomes an SSH target, and what to say when the host does not answer.

use std::{path::PathBuf, time::Duration};

use rmachine_provider_api::{HostTrust, MachineState, Notify};

use super::{Core, machine_ref};
use crate::{
    error::{Error, Kind, Result},
    ssh::{self, HostKeys, Session, Target},
    store::{Phase, Record},
};

/// How long a host that should be up may take to answer.
const CONNECT: Duration = Duration::from_secs(15);
/// When the provider is first asked whether a host that boots still runs.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How often it is asked then.
const LATER_LOOKS: Duration = Duration::from_secs(15);

impl Core {
    /// Opens a session to machine `name` for the user.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when it is not usable, [`Kind::Ssh`] when it does not answer.
    pub async fn ssh(&self, name: &str) -> Result<Session> {
        let record = self.store.load(name)?;
        self.require_ssh(&record)?;
        if record.instance.is_none() {
            self.require_ready(&record)?;
        }
        let target = self.target(&record)?;
        let session = self.connect(&record, &target, CONNECT).await?;
        // The first login after the create: the seed is not trusted any more.
        if record.phase == Phase::Ready && record.ssh.host_keys.len() > 1 {
            let _lock = self.lock(name).await?;
            self.settle_host_key(&mut self.store.load(name)?, &session)?;
        }
        if self.expiry(&record).renewable {
            self.renew_by_the_way(name, &session).await;
        }
        Ok(session)
    }

    /// Refuses a machine whose driver has no way to log in.
    pub(super) fn require_ssh(&self, record: &Record) -> Result<()> {
        if self.driver(record)?.info().capabilities.ssh {
            return Ok(());
        }
        Err(Error::new(
            Kind::Failure,
            format!("the driver \"{}\" knows no way to log in to machine \"{}\"", record.driver, record.name),
        )
        .hint("rmachine only knows the URL of this engine; log in to its host by your own means"))
    }

    /// The SSH target of `record`.
    pub(super) fn target(&self, record: &Record) -> Result<Target> {
        let host = record.address().ok_or_else(|| no_address(record))?.to_owned();
        let keys = if record.ssh.key_file.is_empty() {
            default_keys()
        } else {
            vec![self.store.machine_file(&record.name, &record.ssh.key_file)]
        };
        let trust = record.plan.as_ref().map(|plan| &plan.host_trust);
        let host_keys = match trust {
            _ if !record.ssh.host_keys.is_empty() => HostKeys::Pinned(record.ssh.host_keys.clone()),
            Some(HostTrust::Given(key)) if key.starts_with("SHA256:") => HostKeys::Fingerprint(key.clone()),
            Some(HostTrust::Given(key)) => HostKeys::Pinned(vec![key.clone()]),
            Some(HostTrust::KnownHosts | HostTrust::Seeded) | None => HostKeys::KnownHosts(known_hosts_files()),
        };
        Ok(Target {
            host,
            port: record.ssh.port,
            user: record.ssh.user.clone(),
            offer_agent: record.ssh.key_file.is_empty(),
            keys,
            keyring: self.keyring.clone(),
            host_keys,
            route: self.route(record)?,
        })
    }

    /// Connects to a host that should be up; a time-out is explained by the provider where it can.
    pub(super) async fn connect(&self, record: &Record, target: &Target, timeout: Duration) -> Result<Session> {
        match Session::connect(target, timeout).await {
            Ok(session) => Ok(session),
            Err(error) => Err(self.no_session(record, error).await),
        }
    }

    /// Waits for a host that is booting.
    pub(super) async fn wait_for_ssh(
        &self,
        record: &Record,
        target: &Target,
        patience: Duration,
        booting: bool,
        notify: &dyn Notify,
    ) -> Result<Session> {
        let policy = ssh::WaitPolicy::new(patience, booting);
        let error = tokio::select! {
            result = Session::wait(target, &policy, notify) => match result {
                Ok(session) => return Ok(session),
                Err(error) if error.is_on_the_way() => return Err(Error::from(error)),
                Err(error) => Error::from(error).about(&record.name),
            },
            state = self.stops_running(record) => {
                Error::new(Kind::Provider, format!("machine \"{}\" {state} while it was booting", record.name))
            }
        };
        Err(self.explain(record, error).await)
    }

    /// Ends when the provider says that the machine runs no more: nobody waits for a host that is gone.
    async fn stops_running(&self, record: &Record) -> &'static str {
        let Some(instance) = &record.instance else { return std::future::pending().await };
        let ids = [instance.id.clone()];
        let mut pause = FIRST_LOOK;
        // EC2 is eventually consistent: one look that does not find it says nothing.
        let mut missing = 0;
        loop {
            tokio::time::sleep(pause).await;
            pause = LATER_LOOKS;
            let Ok(provider) = self.provider(record).await else { continue };
            // What cannot be asked now is asked again; the host itself is tried all the while.
            let Ok(observed) = provider.observe(&ids).await else { continue };
            match observed.first().map(|observed| observed.state) {
                Some(MachineState::Stopped | MachineState::Stopping) => return "stopped",
                Some(MachineState::Terminated | MachineState::Terminating) => return "was deleted",
                Some(MachineState::Error) => return "broke",
                Some(MachineState::Absent) if missing == 1 => return "disappeared",
                Some(MachineState::Absent) => missing += 1,
                _ => {}
            }
        }
    }

    /// The error for the user. The provider knows of the host, not of the way to it.
    async fn no_session(&self, record: &Record, error: ssh::Error) -> Error {
        if error.is_on_the_way() {
            return Error::from(error);
        }
        self.explain(record, Error::from(error).about(&record.name)).await
    }

    /// Adds what the provider knows of why a host does not answer.
    pub(super) async fn explain(&self, record: &Record, error: Error) -> Error {
        let provider = match self.provider(record).await {
            Ok(provider) => provider,
            Err(e) => return error.hint(format!("the provider could not be asked why: {e}")),
        };
        match provider.diagnose(&machine_ref(record, None)).await {
            Some((reason, hint)) => error.hint(format!("{reason}: {hint}")),
            None => error,
        }
    }

    /// For hosts that we did not make: pins the key that a known_hosts file, a fingerprint or the
    /// user's word vouches for. Nothing is sent to a host before. `flag` is the one that a key is given by.
    pub(super) async fn trust_host(&self, record: &mut Record, flag: &str) -> Result<()> {
        let trusted_elsewhere =
            record.plan.as_ref().is_some_and(|plan| !matches!(plan.host_trust, HostTrust::KnownHosts));
        if !record.ssh.host_keys.is_empty() || trusted_elsewhere {
            return Ok(());
        }
        let host = record.address().ok_or_else(|| no_address(record))?.to_owned();
        let port = record.ssh.port;
        let shown = match ssh::scan_host_key(&host, port, &self.route(record)?, CONNECT).await {
            Ok(shown) => shown,
            Err(error) => return Err(self.no_session(record, error).await),
        };
        if ssh::known_hosts_knows(&known_hosts_files(), &host, port)? {
            return Ok(());
        }
        let fingerprint = ssh::fingerprint(&shown)?;
        let question = format!("the host {host} shows the key {fingerprint}, which no known_hosts file has; trust it?");
        match self.talk.confirm(&question) {
            Some(true) => {
                record.ssh.host_keys = vec![shown];
                Ok(())
            }
            Some(false) => Err(Error::new(Kind::Ssh, format!("the key of host {host} was not accepted"))),
            None => Err(Error::new(Kind::Ssh, format!("the key of host {host} is not known"))
                .hint(format!("it shows {fingerprint}; compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"))
                .hint(format!("then give it with {flag}, or add it to ~/.ssh/known_hosts"))),
        }
    }
}

pub(super) fn no_address(record: &Record) -> Error {
    Error::new(Kind::Conflict, format!("machine \"{}\" has no address", record.name))
        .hint(format!("`rmachine status {0}` shows its state, `rmachine start {0}` starts it", record.name))
}

fn home_ssh() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".ssh"))
}

pub(super) fn default_keys() -> Vec<PathBuf> {
    let Some(directory) = home_ssh() else { return Vec::new() };
    ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| directory.join(name)).filter(|p| p.exists()).collect()
}

pub(super) fn known_hosts_files() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/ssh/ssh_known_hosts")];
    files.extend(home_ssh().map(|directory| directory.join("known_hosts")));
    files
}
