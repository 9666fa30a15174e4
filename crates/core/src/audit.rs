//! The audit log: the one gate by which effects get into it, and how it is read.
//!
//! A line is written before the effect that it tells of, and what cannot be written down is not done. The exceptions are
//! removals and the undoing of a failed create, which end what costs money: they go on, with a warning.

use rmachine_certs as certs;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_ssh as ssh;
use rmachine_store::{
    Record, Store,
    audit::{Chain, Entry, Event, Key, Role},
};
use time::OffsetDateTime;

use super::Core;

/// Which lines of the log are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// About this machine; all when empty.
    pub machine: Option<String>,
    /// Written since then.
    pub since: Option<OffsetDateTime>,
}

/// The log, as far as it was asked for.
#[derive(Debug)]
pub struct Audited {
    /// The lines that were asked for.
    pub entries: Vec<Entry>,
    /// How many there are in all.
    pub count: usize,
    /// Numbers of the lines that were cut off when their writers were killed.
    pub torn: Vec<usize>,
    /// SHA-256 of the last line.
    pub head: String,
    /// The first line with which the chain does not hold.
    pub broken: Option<Error>,
}

/// Appends `events`, about `machine` where that is one, before they happen.
pub(super) fn write(store: &Store, machine: Option<&str>, events: &[Event]) -> Result<()> {
    store
        .audit(machine, events)
        .map_err(|e| e.context("what is about to be done cannot be written into the audit log, so it was not done"))
}

/// The event that the certificate `pem` is issued.
///
/// # Errors
///
/// When it does not read.
pub(super) fn certificate(role: Role, pem: &str) -> Result<Event> {
    let info = certs::inspect(pem)?;
    Ok(Event::CertificateIssued {
        role,
        serial: info.serial,
        subject: info.subject,
        names: info.sans.iter().map(ToString::to_string).collect(),
        until: info.not_after,
    })
}

/// The event that a key pair is made whose public half is the OpenSSH line `public`.
///
/// # Errors
///
/// When it does not read.
pub(super) fn key_made(key: Key, public: &str) -> Result<Event> {
    Ok(Event::KeyMade { key, fingerprint: ssh::fingerprint(public)? })
}

/// The event that a host is known by the OpenSSH line `public` from here on, for which `by` vouches.
///
/// # Errors
///
/// When it does not read.
pub(super) fn pinned(public: &str, by: &str) -> Result<Event> {
    Ok(Event::HostKeyPinned { fingerprint: ssh::fingerprint(public)?, by: by.to_owned() })
}

impl Core {
    /// Appends `events` about machine `name`, before they happen.
    pub(super) fn audit(&self, name: &str, events: &[Event]) -> Result<()> {
        write(&self.store, Some(name), events)
    }

    /// Appends `events` about machine `name`, which happen in any case.
    pub(super) fn audit_or_warn(&self, name: &str, events: &[Event]) {
        if let Err(error) = self.store.audit(Some(name), events) {
            let cause = error.causes().pop().map(|cause| format!(" ({cause})")).unwrap_or_default();
            self.talk.about(name).warn(&format!("it is not in the audit log: {error}{cause}; going on all the same"));
        }
    }

    /// Reads the audit log and checks its chain. A store without one has an empty one.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the file cannot be read; that a line is not good is in the answer.
    pub fn audited(&self, filter: &AuditFilter) -> Result<Audited> {
        let path = self.store.audit_log();
        let chain = Chain::read(&self.store.read_bytes(&path)?.unwrap_or_default());
        let wanted = |entry: &Entry| {
            filter.machine.as_ref().is_none_or(|name| entry.machine.as_ref() == Some(name))
                && filter.since.is_none_or(|since| entry.at >= since)
        };
        let broken = chain.broken.map(|broken| {
            Error::new(Kind::Store, format!("line {} of {} is not good: {}", broken.line, path.display(), broken.what))
                .hint("a line there or before it was changed, taken out or put in; compare the file with a backup")
        });
        let count = chain.entries.len();
        let entries = chain.entries.into_iter().map(|(_, entry)| entry).filter(wanted).collect();
        Ok(Audited { entries, count, torn: chain.torn, head: chain.head, broken })
    }
}

/// The provider's id of the instance of `record`; empty without one.
pub(super) fn instance_of(record: &Record) -> String {
    record.instance.as_ref().map(|instance| instance.id.to_string()).unwrap_or_default()
}
