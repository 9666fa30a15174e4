//! `rm`: ends with nothing, or says what is left and stays repeatable.

use rmachine_provider_api::{CreateRequest, Notify};

use super::{Core, machine_ref, voice};
use crate::{
    error::{Error, Kind, Result},
    store::{Phase, Record},
};

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveMode {
    /// The record goes when everything else is gone.
    Normal,
    /// The record goes also when the provider cannot be asked; what may be left is said.
    Force,
}

impl Core {
    /// Deletes machine `name`: instance, disks, firewall group, then the record.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Provider`] when something is left: repeat it.
    pub async fn remove(&self, name: &str, mode: RemoveMode) -> Result<()> {
        if !self.store.exists(name) {
            return Err(self
                .store
                .load(name)
                .err()
                .unwrap_or_else(|| Error::new(Kind::NoSuchMachine, format!("machine \"{name}\" does not exist"))));
        }
        let _lock = self.lock(name).await?;
        let notify = self.talk.about(name);
        let mut record = match self.store.load(name) {
            Ok(record) => record,
            Err(error) if mode == RemoveMode::Force => return self.forget_unreadable(name, error, voice(&notify)),
            Err(error) if error.kind() == Kind::NoSuchMachine => return Ok(()),
            Err(error) => {
                return Err(error.hint(format!("`rmachine rm -f {name}` forgets it, without asking the cloud")));
            }
        };
        notify.progress("removing");
        match self.destroy(&mut record, voice(&notify)).await {
            Ok(()) => Ok(()),
            Err(error) if mode == RemoveMode::Force => self.forget_with_remains(&record, error),
            Err(error) => Err(error
                .context(format!("machine \"{name}\" is not removed completely"))
                .hint(format!("repeat `rmachine rm -y {name}`; the record stays until nothing is left"))),
        }
    }

    /// Deletes everything and then the record; the caller holds the lock.
    pub(super) async fn destroy(&self, record: &mut Record, notify: &dyn Notify) -> Result<()> {
        if record.phase.may_hold_resources() {
            if record.phase != Phase::Removing {
                self.enter(record, Phase::Removing)?;
            }
            let provider = self.provider(record).await?;
            let unanswered = self.unanswered(record)?;
            provider.destroy(&machine_ref(record, unanswered.as_ref()), notify).await?;
        }
        self.store.remove(&record.name)
    }

    /// The request of an attempt that was never answered, as it was saved.
    fn unanswered(&self, record: &Record) -> Result<Option<CreateRequest>> {
        if record.instance.is_some() || record.answered { Ok(None) } else { self.saved_request(record) }
    }

    fn forget_unreadable(&self, name: &str, error: Error, notify: &dyn Notify) -> Result<()> {
        notify.warn("its record cannot be read, so the cloud was not asked; what it made may still be there");
        self.keep_remains(name)?;
        Err(error
            .without_hints()
            .context(format!("machine \"{name}\" is forgotten, but what it made may still be there"))
            .hint(format!("its files are kept in {}", self.store.tombstones().display())))
    }

    fn forget_with_remains(&self, record: &Record, error: Error) -> Result<()> {
        let name = &record.name;
        self.keep_remains(name)?;
        Err(error
            .context(format!("machine \"{name}\" is forgotten, but what it made may still be there"))
            .hint(format!("it carries the tag rmachine:token={}", record.token)))
    }

    /// Moves the machine's directory aside, so that what is left can still be found and removed.
    fn keep_remains(&self, name: &str) -> Result<()> {
        self.store.entomb(name)
    }
}
