//! Start, stop, restart, kill; a start ends with an engine that answers, wherever the machine is now.

use std::time::{Duration, Instant};

use rmachine_bootstrap as bootstrap;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::{Addresses, MachineState, Observed, StopMode};
use rmachine_ssh::Session;
use rmachine_store::{Power, Record};

use super::{
    Core,
    create::wants_engine,
    open::{CONNECT, Machine, Need},
    voice,
};

/// How long a host may take to come back after a start or reboot.
const BOOT: Duration = Duration::from_secs(300);

impl Core {
    /// Starts machine `name` and makes it usable: new addresses, new certificate where they changed.
    ///
    /// # Errors
    ///
    /// [`Kind::Provider`] when it does not start, [`Kind::Ssh`] and [`Kind::Engine`] when it does not answer.
    pub async fn start(&self, name: &str) -> Result<()> {
        let mut machine = self.open(name, Need::ready()).await?;
        self.start_opened(&mut machine).await
    }

    async fn start_opened(&self, machine: &mut Machine<'_>) -> Result<()> {
        let id = instance_id(machine)?;
        let provider = self.provider(machine).await?;
        machine.notify.progress("starting");
        let observed = provider.start(&id, &self.cx(voice(&machine.notify))).await?;
        machine.commit(|record| {
            record.power = Power::Running;
            if let Some(instance) = &mut record.instance {
                instance.addresses = observed.addresses;
            }
        })?;
        self.come_back(machine, None).await
    }

    /// Stops machine `name`. Stopped already is success.
    ///
    /// # Errors
    ///
    /// [`Kind::Provider`] when it cannot or does not stop.
    pub async fn stop(&self, name: &str, mode: StopMode) -> Result<()> {
        let mut machine = self.open(name, Need::any()).await?;
        let id = instance_id(&machine)?;
        let provider = self.provider(&machine).await?;
        machine.notify.progress(if mode == StopMode::Force { "killing" } else { "stopping" });
        self.end_tunnel(name).await?;
        provider.stop(&id, mode, &self.cx(voice(&machine.notify))).await?;
        machine.commit(|record| record.power = Power::Stopped)
    }

    /// Reboots machine `name` and waits until the host has really booted anew; a stopped one is started.
    ///
    /// # Errors
    ///
    /// As [`Core::start`].
    pub async fn restart(&self, name: &str) -> Result<()> {
        let mut machine = self.open(name, Need::ready()).await?;
        // It may have been stopped or started elsewhere.
        self.look(&mut machine).await?;
        if machine.power == Power::Stopped {
            return self.start_opened(&mut machine).await;
        }
        let id = instance_id(&machine)?;
        let capabilities = self.driver(&machine)?.info().capabilities;
        if !capabilities.ssh {
            let provider = self.provider(&machine).await?;
            return provider.reboot(&id, &self.cx(voice(&machine.notify))).await.map_err(Error::from);
        }
        let session = self.log_in_there(&mut machine, CONNECT).await?;
        let before = bootstrap::probe(&session).await?.boot_id;
        machine.notify.progress("restarting");
        if capabilities.power {
            self.provider(&machine).await?.reboot(&id, &self.cx(voice(&machine.notify))).await?;
        } else {
            bootstrap::reboot(&session).await?;
        }
        session.close().await;
        self.come_back(&mut machine, Some(&before)).await
    }

    /// Waits for a host that boots, renews its certificate when it has moved, and waits for its engine.
    async fn come_back(&self, machine: &mut Machine<'_>, old_boot: Option<&str>) -> Result<()> {
        if !self.driver(machine)?.info().capabilities.ssh {
            return Ok(());
        }
        machine.notify.progress("waiting for SSH");
        self.meet(machine, BOOT).await?;
        let session = self.session_after_boot(machine, old_boot).await?;
        self.settle_host_key(machine, &session)?;
        if !wants_engine(machine) {
            session.close().await;
            return Ok(());
        }
        let authority = self.load_authority(machine, false).await?;
        self.renew_if_needed(machine, &session, &authority, false).await?;
        session.close().await;
        machine.notify.progress("waiting for the engine");
        self.await_engine(machine, &authority).await?;
        self.finish_provision(machine, authority).await
    }

    async fn session_after_boot(&self, machine: &Machine<'_>, old_boot: Option<&str>) -> Result<Session> {
        let target = self.target(machine)?;
        let deadline = Instant::now() + BOOT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let session = self.wait_for_ssh(machine, &target, left, false, voice(&machine.notify)).await?;
            let Some(old) = old_boot else { return Ok(session) };
            match bootstrap::boot_id(&session).await {
                Ok(now) if now != old => return Ok(session),
                Ok(_) | Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(300)).await,
                Ok(_) => {
                    return Err(Error::new(Kind::Ssh, format!("machine \"{}\" did not reboot in time", machine.name)));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records what an observation tells: state and addresses.
    pub(super) fn note(&self, machine: &mut Machine<'_>, observed: &Observed) -> Result<bool> {
        let power = match observed.state {
            MachineState::Running => Power::Running,
            MachineState::Stopped | MachineState::Stopping => Power::Stopped,
            _ => machine.power,
        };
        let moved = observed.state == MachineState::Running
            && observed.addresses != Addresses::default()
            && machine.instance.as_ref().is_some_and(|i| i.addresses != observed.addresses);
        if power == machine.power && !moved {
            return Ok(false);
        }
        machine.power = power;
        if let (true, Some(instance)) = (moved, &mut machine.instance) {
            instance.addresses = observed.addresses.clone();
        }
        machine.save()?;
        Ok(true)
    }
}

fn instance_id(record: &Record) -> Result<rmachine_provider_api::InstanceId> {
    record.instance.as_ref().map(|i| i.id.clone()).ok_or_else(|| {
        Error::new(Kind::Conflict, format!("machine \"{}\" has no instance", record.name))
            .hint(format!("remove what its create left with `rmachine rm -y {}`", record.name))
    })
}
