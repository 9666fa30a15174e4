//! Sessions: how a record becomes an SSH target, and what to say when the host does not answer.

use std::{path::PathBuf, time::Duration};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::{HostTrust, MachineState, Notify};
use rmachine_ssh::{self as ssh, HostKeys, Session, Target};
use rmachine_store::{Phase, Power, Record};

use super::{
    Core,
    access::require_running,
    machine_ref,
    open::{CONNECT, Need},
};

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
        self.ssh_as(name, None).await
    }

    /// The same as another user of it than the one that rmachine logs in as.
    pub(super) async fn ssh_as(&self, name: &str, user: Option<&str>) -> Result<Session> {
        let mut record = self.store.load(name)?;
        self.require_ssh(&record)?;
        if record.instance.is_none() {
            self.require_ready(&record)?;
        }
        if self.is_unmet(&record) {
            let mut machine = self.open(name, Need::any()).await?;
            self.meet(&mut machine, Duration::ZERO).await?;
            record = machine.into_record();
        }
        self.look_at_stopped(&mut record).await?;
        let mut target = self.target(&record)?;
        if let Some(user) = user {
            user.clone_into(&mut target.user);
        }
        let session = self.connect(&record, &target, CONNECT).await?;
        // What follows is done as the machine's own user.
        if target.user != record.ssh.user {
            return Ok(session);
        }
        // Only a create that was cut off leaves two pins, and those of earlier versions.
        if record.phase == Phase::Ready {
            self.settle_by_the_way(&record, &session)?;
        }
        if record.ssh.inherited {
            self.replace_inherited_by_the_way(name).await;
        }
        self.refresh_client(&record);
        if self.expiry(&record).renewable || self.is_to_move(&record) {
            self.renew_by_the_way(name, &session).await;
        }
        Ok(session)
    }

    /// Refuses a machine that is stopped, by its provider's word where the record says so: it may have been started elsewhere.
    async fn look_at_stopped(&self, record: &mut Record) -> Result<()> {
        if record.power != Power::Stopped {
            return Ok(());
        }
        let mut machine = self.open(&record.name, Need::any()).await?;
        self.look(&mut machine).await?;
        *record = machine.into_record();
        require_running(record).map_err(|error| {
            let known_as = format!("Error: Cannot run SSH command: Host \"{}\" is not running", record.name);
            error.known_as(known_as)
        })
    }

    /// Whether the machine is more to rmachine than the URL of an engine.
    pub fn has_host(&self, record: &Record) -> bool {
        self.driver(record).is_ok_and(|driver| driver.info().capabilities.ssh)
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
            budgets: self.budgets,
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
    pub(super) async fn no_session(&self, record: &Record, error: ssh::Error) -> Error {
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
