//! Start, stop, restart, kill; a start ends with an engine that answers, wherever the machine is now.

use std::time::{Duration, Instant};

use rmachine_provider_api::{Addresses, MachineState, Notify, Observed, StopMode};

use super::{
    Core,
    create::wants_engine,
    open::{CONNECT, Machine, Need},
    voice,
};
use crate::{
    bootstrap,
    error::{Error, Kind, Result},
    ssh::Session,
    store::{Power, Record},
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
        let id = instance_id(&machine.record)?;
        let provider = self.provider(&machine.record).await?;
        machine.notify.progress("starting");
        let observed = provider.start(&id, machine.notify()).await?;
        machine.commit(|record| {
            record.power = Power::Running;
            if let Some(instance) = &mut record.instance {
                instance.addresses = observed.addresses;
            }
        })?;
        let Machine { record, notify, .. } = &mut machine;
        self.come_back(record, None, voice(notify)).await
    }

    /// Stops machine `name`. Stopped already is success.
    ///
    /// # Errors
    ///
    /// [`Kind::Provider`] when it cannot or does not stop.
    pub async fn stop(&self, name: &str, mode: StopMode) -> Result<()> {
        let mut machine = self.open(name, Need::any()).await?;
        let id = instance_id(&machine.record)?;
        let provider = self.provider(&machine.record).await?;
        machine.notify.progress(if mode == StopMode::Force { "killing" } else { "stopping" });
        self.end_tunnel(name).await?;
        provider.stop(&id, mode, machine.notify()).await?;
        machine.commit(|record| record.power = Power::Stopped)
    }

    /// Reboots machine `name` and waits until the host has really booted anew; a stopped one is started.
    ///
    /// # Errors
    ///
    /// As [`Core::start`].
    pub async fn restart(&self, name: &str) -> Result<()> {
        let record = self.store.load(name)?;
        self.require_ready(&record)?;
        // It may have been stopped elsewhere.
        if record.power == Power::Stopped || self.is_in_state(name, MachineState::Stopped).await {
            return self.start(name).await;
        }
        let mut machine = self.open(name, Need::ready()).await?;
        let id = instance_id(&machine.record)?;
        let capabilities = self.driver(&machine.record)?.info().capabilities;
        if !capabilities.ssh {
            let provider = self.provider(&machine.record).await?;
            return provider.reboot(&id, machine.notify()).await.map_err(Error::from);
        }
        let session = machine.host(CONNECT).await?;
        let Machine { record, notify, .. } = &mut machine;
        let before = bootstrap::probe(&session).await?.boot_id;
        notify.progress("restarting");
        if capabilities.power {
            self.provider(record).await?.reboot(&id, voice(notify)).await?;
        } else {
            bootstrap::reboot(&session).await?;
        }
        session.close().await;
        self.come_back(record, Some(&before), voice(notify)).await
    }

    /// Waits for a host that boots, renews its certificate when it has moved, and waits for its engine.
    async fn come_back(&self, record: &mut Record, old_boot: Option<&str>, notify: &dyn Notify) -> Result<()> {
        if !self.driver(record)?.info().capabilities.ssh {
            return Ok(());
        }
        notify.progress("waiting for SSH");
        self.meet(record, BOOT).await?;
        let session = self.session_after_boot(record, old_boot, notify).await?;
        self.settle_host_key(record, &session)?;
        if !wants_engine(record) {
            session.close().await;
            return Ok(());
        }
        let authority = self.load_authority(record, false).await?;
        self.renew_if_needed(record, &session, &authority, false, notify).await?;
        session.close().await;
        notify.progress("waiting for the engine");
        self.await_engine(record, &authority).await?;
        self.finish_provision(record, authority).await
    }

    async fn session_after_boot(
        &self,
        record: &Record,
        old_boot: Option<&str>,
        notify: &dyn Notify,
    ) -> Result<Session> {
        let target = self.target(record)?;
        let deadline = Instant::now() + BOOT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let session = self.wait_for_ssh(record, &target, left, false, notify).await?;
            let Some(old) = old_boot else { return Ok(session) };
            match bootstrap::boot_id(&session).await {
                Ok(now) if now != old => return Ok(session),
                Ok(_) | Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(300)).await,
                Ok(_) => {
                    return Err(Error::new(Kind::Ssh, format!("machine \"{}\" did not reboot in time", record.name)));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records what an observation tells: state and addresses.
    pub(super) fn note(&self, record: &mut Record, observed: &Observed) -> Result<bool> {
        let power = match observed.state {
            MachineState::Running => Power::Running,
            MachineState::Stopped | MachineState::Stopping => Power::Stopped,
            _ => record.power,
        };
        let moved = observed.state == MachineState::Running
            && observed.addresses != Addresses::default()
            && record.instance.as_ref().is_some_and(|i| i.addresses != observed.addresses);
        if power == record.power && !moved {
            return Ok(false);
        }
        record.power = power;
        if let (true, Some(instance)) = (moved, &mut record.instance) {
            instance.addresses = observed.addresses.clone();
        }
        self.save(record)?;
        Ok(true)
    }
}

fn instance_id(record: &Record) -> Result<rmachine_provider_api::InstanceId> {
    record.instance.as_ref().map(|i| i.id.clone()).ok_or_else(|| {
        Error::new(Kind::Conflict, format!("machine \"{}\" has no instance", record.name))
            .hint(format!("remove what its create left with `rmachine rm -y {}`", record.name))
    })
}
