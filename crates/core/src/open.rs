//! One opened machine: its lock, its record, and the way to a host that is up.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Notify;
use rmachine_ssh::Session;
use rmachine_store::{Lock, Phase, Record};

use super::{Core, MachineEvent, access::require_running, events::Seen};

/// How long a host that is up may take to answer.
pub(super) const CONNECT: Duration = Duration::from_secs(15);
/// The same for a command that takes minutes anyhow.
pub(super) const CONNECT_PATIENTLY: Duration = Duration::from_secs(30);

/// How long the provider may take to say where a machine is, where its record has an answer as well.
const LOOK: Duration = Duration::from_secs(10);

/// What an operation needs of a machine; it is checked before anything is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// The verb for the refusal ("upgrade"), where rmachine has to manage the engine.
    managed: Option<&'static str>,
    ready: bool,
    unfinished: bool,
}

impl Need {
    /// Any machine, in whatever phase.
    pub(super) const fn any() -> Self {
        Self { managed: None, ready: false, unfinished: false }
    }

    /// A machine whose create has ended and whose removal has not begun.
    pub(super) const fn ready() -> Self {
        Self { ready: true, ..Self::any() }
    }

    /// A ready one whose engine rmachine manages; `what` is done to it.
    pub(super) const fn managed(what: &'static str) -> Self {
        Self { managed: Some(what), ..Self::ready() }
    }

    /// Also one whose create got as far as its host.
    pub(super) const fn or_unfinished(self) -> Self {
        Self { unfinished: true, ..self }
    }
}

/// A machine that this process alone works on, until it is dropped. It is the record that was read when it was locked;
/// nothing else saves one, so that nobody saves what another process has changed.
pub(super) struct Machine<'core> {
    core: &'core Core,
    record: Record,
    /// What was saved last, as events see it.
    saved: Seen,
    /// Where its progress and warnings go.
    pub notify: Arc<dyn Notify>,
    _lock: Lock,
}

impl Deref for Machine<'_> {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// A change is saved by [`Machine::save`].
impl DerefMut for Machine<'_> {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.record
    }
}

impl Core {
    /// Opens machine `name`: takes its lock, reads its record, and checks what the operation needs of it.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Store`]; [`Kind::Conflict`] where it does not have what is needed, or another
    /// process does not let go of it.
    pub(super) async fn open(&self, name: &str, need: Need) -> Result<Machine<'_>> {
        let lock = self.lock(name).await?;
        let record = self.store.load(name)?;
        if let Some(what) = need.managed {
            self.require_managed(&record, what)?;
        }
        let is_unfinished = matches!(record.phase, Phase::Booting | Phase::Provisioning);
        if need.ready && !(need.unfinished && is_unfinished) {
            self.require_ready(&record)?;
        }
        Ok(self.hold(record, lock))
    }

    /// Opens machine `name` for what is done by the way; `None`: another process works on it, and nobody waits for that.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Store`].
    pub(super) fn open_if_free(&self, name: &str) -> Result<Option<Machine<'_>>> {
        match self.lock_at_once(name) {
            Err(error) if error.kind() == Kind::Conflict => Ok(None),
            lock => lock.and_then(|lock| Ok(Some(self.hold(self.store.load(name)?, lock)))),
        }
    }

    /// The machine of `record`, whose lock is `lock`: one that is made, or that was read under it.
    pub(super) fn hold(&self, record: Record, lock: Lock) -> Machine<'_> {
        let notify = self.talk.about(&record.name);
        Machine { core: self, saved: Seen::of(&record), record, notify, _lock: lock }
    }

    /// A session with the host of `machine`, which answers `within` that time: where it is now is asked for, its key is
    /// vouched for before anything is sent, and of several pinned keys the one that is proved stays. One that is stopped is
    /// refused.
    pub(super) async fn log_in(&self, machine: &mut Machine<'_>, within: Duration) -> Result<Session> {
        self.look(machine).await?;
        self.log_in_there(machine, within).await
    }

    /// [`Core::log_in`] where the provider was asked just now.
    pub(super) async fn log_in_there(&self, machine: &mut Machine<'_>, within: Duration) -> Result<Session> {
        require_running(machine)?;
        self.meet(machine, Duration::ZERO).await?;
        let target = self.target(machine)?;
        let session = self.connect(machine, &target, within).await?;
        self.settle_host_key(machine, &session)?;
        Ok(session)
    }

    /// Asks the provider where a machine is now, and whether it runs. Where nobody can be asked, that is said, and the
    /// record counts.
    pub(super) async fn look(&self, machine: &mut Machine<'_>) -> Result<()> {
        let asked = tokio::time::timeout(LOOK, self.follow(machine)).await;
        let why = match asked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.kind() == Kind::Store => return Err(error),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} seconds", LOOK.as_secs()),
        };
        machine.notify.warn(&format!("where it is now could not be asked ({why}); what its record says is taken"));
        Ok(())
    }
}

impl Machine<'_> {
    /// Saves the record with the fields that docker-machine's driver of that name has, and tells followers what of it is new.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; nobody is told anything then.
    pub(super) fn save(&mut self) -> Result<()> {
        self.core.store.save(&self.record, self.core.legacy_fields(&self.record))?;
        let now = Seen::of(&self.record);
        let events = self.saved.until(&now);
        self.saved = now;
        events.iter().for_each(|event| self.tell(event));
        Ok(())
    }

    /// Tells followers what became of it besides its record.
    pub(super) fn tell(&self, event: &MachineEvent) {
        self.core.followers.iter().for_each(|follower| follower.follow(&self.record.name, event));
    }

    /// Changes the record, and saves it.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; the record in memory is changed all the same.
    pub(super) fn commit(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        change(&mut self.record);
        self.save()
    }

    /// Moves it to `phase`, and saves that.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] where the phase does not follow on the present one; [`Kind::Store`].
    pub(super) fn enter(&mut self, phase: Phase) -> Result<()> {
        if !self.phase.may_become(phase) {
            return Err(Error::new(
                Kind::Conflict,
                format!("machine \"{}\" is {} and cannot become {}", self.name, self.phase.word(), phase.word()),
            ));
        }
        self.commit(|record| record.phase = phase)
    }

    /// The record, when the work is done; the lock is given back.
    pub(super) fn into_record(self) -> Record {
        self.record
    }
}
