//! The record as a journal of side effects.

use std::sync::{Mutex, PoisonError};

use rmachine_provider_api::{self as api, Journal, Resource, ResourceKind};
use rmachine_store::Record;

use super::open::Machine;

/// Saves the record before and after each side effect of a provider.
pub(super) struct RecordJournal<'a, 'core> {
    machine: Mutex<&'a mut Machine<'core>>,
}

impl<'a, 'core> RecordJournal<'a, 'core> {
    pub(super) fn new(machine: &'a mut Machine<'core>) -> Self {
        Self { machine: Mutex::new(machine) }
    }

    fn change(&self, failed: &str, change: impl FnOnce(&mut Record)) -> api::Result<()> {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        // The core's own error is the source, and gives the kind and the hints back (`impl From<api::Error>`).
        machine.commit(change).map_err(|e| api::Error::new(api::Kind::Other, failed).source(e))
    }
}

impl Journal for RecordJournal<'_, '_> {
    fn intend(&self, what: &str) -> api::Result<()> {
        let failed = "cannot write down what is about to happen, so it was not done";
        self.change(failed, |record| record.intents.push(what.to_owned()))
    }

    fn refused(&self, what: &str) {
        let saved = self.change("cannot write down that it was refused", |record| {
            if let Some(at) = record.intents.iter().rposition(|intent| intent == what) {
                record.intents.remove(at);
            }
        });
        if let Err(error) = saved {
            tracing::warn!("{error}: {what}");
        }
    }

    fn made(&self, resource: &Resource) -> api::Result<()> {
        self.change("cannot write down what was made", |record| {
            record.answered |= resource.kind == ResourceKind::Instance;
            if !record.resources.iter().any(|known| known.kind == resource.kind && known.id == resource.id) {
                record.resources.push(resource.clone());
            }
        })
    }
}
