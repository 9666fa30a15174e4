//! Tombstones: what is kept of machines that `rm -f` forgot while something of them may be left.

use rmachine_model::error::{Error, Result};
use rmachine_store::{Tombstone, audit::Event};

use super::{Forgotten, GcReport, scan::Living};
use crate::{Core, audit::instance_of, machine_ref, voice};

impl Core {
    /// Finishes the removal of machines that were forgotten by force; without `delete` only lists them.
    pub(super) async fn settle_tombstones(&self, living: &Living, delete: bool, report: &mut GcReport) -> Result<()> {
        for tombstone in self.store.list_tombstones()? {
            if delete {
                match self.settle(&tombstone, living, report.failures.is_empty()).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => report.failures.push(error.context(format!(
                        "what is left of the forgotten machine \"{}\" could not be deleted",
                        tombstone.machine
                    ))),
                }
            }
            report
                .forgotten
                .push(Forgotten { machine: tombstone.machine.clone(), directory: tombstone.directory.clone() });
        }
        Ok(())
    }

    /// Deletes what is left of one machine, then its tombstone. One whose record does not read has nothing left
    /// when all places were looked at, `complete`.
    async fn settle(&self, tombstone: &Tombstone, living: &Living, complete: bool) -> Result<bool> {
        match self.store.load_tombstone(tombstone) {
            Ok(record) => {
                // It was adopted since: the tombstone is all that goes.
                if living.knows(&record.token) {
                    return self.store.remove_tombstone(tombstone).map(|()| true);
                }
                // Only its user knows what is left of it; the files wait for him.
                if record.lacks_driver() {
                    return Ok(false);
                }
                let notify = self.talk.about(&record.name);
                let secrets = self.store.tombstone_secrets(tombstone)?;
                let provider =
                    self.driver(&record)?.connect(&record.config, &secrets, self.talk.about(&record.name)).await?;
                let unanswered = self.unanswered_in(&record, &tombstone.directory)?;
                self.audit(&record.name, &[Event::RemovalBegun { instance: instance_of(&record) }])?;
                provider
                    .destroy(&machine_ref(&record, unanswered.as_ref()), &self.cx(voice(&notify)))
                    .await
                    .map_err(Error::from)?;
            }
            Err(error) if !complete => return Err(error),
            Err(error) => tracing::debug!("the tombstone {} does not read: {error}", tombstone.directory.display()),
        }
        self.store.remove_tombstone(tombstone)?;
        self.audit_or_warn(&tombstone.machine, &[Event::Removed]);
        Ok(true)
    }
}
