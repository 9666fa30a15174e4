//! One opened machine: its lock, its record, and the one way to its host.

use std::{sync::Arc, time::Duration};

use rmachine_provider_api::Notify;

use super::{Core, access::require_running, voice};
use crate::{
    error::{Kind, Result},
    ssh::Session,
    store::{Lock, Phase, Record},
};

/// What an operation needs of a machine; it is checked before anything is done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Need {
    /// What is done, where only a machine will do whose engine rmachine manages, as a verb ("upgrade").
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

/// How long a host that is up may take to answer.
pub(super) const CONNECT: Duration = Duration::from_secs(15);
/// The same for a command that takes minutes anyhow.
pub(super) const CONNECT_PATIENTLY: Duration = Duration::from_secs(30);

/// A machine that this process alone works on, until it is dropped.
pub(super) struct Machine<'core> {
    core: &'core Core,
    /// What is known of it.
    pub record: Record,
    /// Where its progress and warnings go.
    pub notify: Arc<dyn Notify>,
    _lock: Lock,
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
        self.opened(name, need, lock)
    }

    /// The same where nobody waits: another process that works on it is a [`Kind::Conflict`].
    pub(super) fn open_at_once(&self, name: &str, need: Need) -> Result<Machine<'_>> {
        let lock = self.lock_at_once(name)?;
        self.opened(name, need, lock)
    }

    fn opened(&self, name: &str, need: Need, lock: Lock) -> Result<Machine<'_>> {
        let record = self.store.load(name)?;
        if let Some(what) = need.managed {
            self.require_managed(&record, what)?;
        }
        let is_unfinished = matches!(record.phase, Phase::Booting | Phase::Provisioning);
        if need.ready && !(need.unfinished && is_unfinished) {
            self.require_ready(&record)?;
        }
        Ok(Machine { core: self, record, notify: self.talk.about(name), _lock: lock })
    }

    /// A session with the host of `record`, for a command that holds the machine's lock: where it is now is asked for, its
    /// key is vouched for before anything is sent, and of several pinned keys the one that is proved stays. One that is
    /// stopped is refused.
    pub(super) async fn log_in(&self, record: &mut Record, within: Duration) -> Result<Session> {
        self.look(record).await?;
        require_running(record)?;
        self.meet(record, Duration::ZERO).await?;
        let target = self.target(record)?;
        let session = self.connect(record, &target, within).await?;
        self.settle_host_key(record, &session)?;
        Ok(session)
    }

    /// Asks the provider where a machine is now. Where nobody can be asked, the record counts.
    pub(super) async fn look(&self, record: &mut Record) -> Result<()> {
        match self.follow(record).await {
            Err(error) if error.kind() == Kind::Store => Err(error),
            Err(error) => {
                tracing::debug!(machine = record.name, "where it is: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Machine<'_> {
    /// A session with its host, which answers `within` that time.
    ///
    /// # Errors
    ///
    /// [`Kind::Ssh`] when it does not answer or nobody vouches for its key.
    pub(super) async fn host(&mut self, within: Duration) -> Result<Session> {
        self.core.log_in(&mut self.record, within).await
    }

    /// Changes the record, and saves it.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; the record in memory is changed all the same.
    pub(super) fn commit(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        change(&mut self.record);
        self.core.save(&self.record)
    }

    /// Its voice.
    pub(super) fn notify(&self) -> &dyn Notify {
        voice(&self.notify)
    }
}
