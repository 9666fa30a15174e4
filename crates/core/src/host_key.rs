//! The host's key: the seed is replaced by one of the host's own, which is proved before the seed is dropped.

use std::time::Duration;

use rmachine_bootstrap::{self as bootstrap, HostFacts};
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::Silent;
use rmachine_ssh::{HostKeys, Session, Target, WaitPolicy, fingerprint, same_key};
use rmachine_store::{
    Record,
    audit::{Event, Key},
};

use super::{Core, audit, open::Machine};

/// How long a host may take until it shows the key that it was given: sshd listens anew after its reload.
const RELOAD: Duration = Duration::from_secs(60);

impl Core {
    /// The host of `machine` is known by `key` from here on, for which `by` vouches; the caller saves that.
    pub(super) fn pin(&self, machine: &mut Machine<'_>, key: &str, by: &str) -> Result<()> {
        self.audit(&machine.name, &[audit::pinned(key, by)?])?;
        machine.ssh.host_keys = vec![key.to_owned()];
        Ok(())
    }

    /// Gives a host that shows the seed a key of its own, and answers that. There is never a moment when a crash would lock
    /// us out: both are pinned until [`Core::settle_on`].
    pub(super) async fn replace_seed(
        &self,
        machine: &mut Machine<'_>,
        session: &Session,
        facts: &HostFacts,
    ) -> Result<Option<String>> {
        if !machine.ssh.seed_key.as_deref().is_some_and(|seed| same_key(seed, session.host_key())) {
            machine.save()?;
            return Ok(None);
        }
        self.replace_host_key(machine, session, facts, "the host, over a session with its seed key").await.map(Some)
    }

    /// Gives the host another key, and answers that; both are pinned until [`Core::settle_on`].
    pub(super) async fn replace_host_key(
        &self,
        machine: &mut Machine<'_>,
        session: &Session,
        facts: &HostFacts,
        by: &str,
    ) -> Result<String> {
        let new = bootstrap::generate_host_key(session, facts).await?;
        self.audit(&machine.name, &[audit::key_made(Key::Host, &new)?, audit::pinned(&new, by)?])?;
        let shown = session.host_key();
        // What a known_hosts file or a fingerprint has vouched for until now.
        if !machine.ssh.host_keys.iter().any(|known| same_key(known, shown)) {
            machine.ssh.host_keys.push(shown.to_owned());
        }
        machine.ssh.host_keys.retain(|known| !same_key(known, &new));
        // The newest is the last one.
        machine.ssh.host_keys.push(new.clone());
        machine.save()?;
        bootstrap::install_host_key(session, facts).await?;
        Ok(new)
    }

    /// Logs in to a host that is known by the key `new` alone.
    pub(super) async fn prove_host_key(&self, record: &Record, new: &str) -> Result<()> {
        let target = Target { host_keys: HostKeys::Pinned(vec![new.to_owned()]), ..self.target(record)? };
        // For a moment after the reload the old key may be shown still, and be refused.
        match Session::wait(&target, &WaitPolicy::new(RELOAD, true), &Silent).await {
            Ok(session) => {
                session.close().await;
                Ok(())
            }
            Err(error) => Err(Error::from(error).about(&record.name).context(format!(
                "the host of machine \"{}\" cannot be reached by the key of its own that it was given",
                record.name
            ))),
        }
    }

    /// The key `new` was proved: no other one is trusted from here on.
    pub(super) fn settle_on(&self, machine: &mut Machine<'_>, new: String) -> Result<()> {
        let dropped = machine.ssh.host_keys.iter().filter(|known| !same_key(known, &new));
        let events: Vec<Event> = dropped
            .map(|known| Ok(Event::HostKeyDropped { fingerprint: fingerprint(known)? }))
            .collect::<Result<_>>()?;
        self.audit(&machine.name, &events)?;
        machine.ssh.host_keys = vec![new];
        machine.ssh.seed_key = None;
        machine.save()?;
        self.follow_known_hosts(machine)
    }

    /// After a login that showed the newest of several pinned keys, the others are not trusted any more.
    pub(super) fn settle_host_key(&self, machine: &mut Machine<'_>, session: &Session) -> Result<()> {
        if is_proof(machine, session) { self.settle_on(machine, session.host_key().to_owned()) } else { Ok(()) }
    }

    /// The same for a session whose command does not hold the machine's lock: where another one works on the machine,
    /// that one settles it.
    pub(super) fn settle_by_the_way(&self, record: &Record, session: &Session) -> Result<()> {
        if !is_proof(record, session) {
            return Ok(());
        }
        let Some(mut machine) = self.open_if_free(&record.name)? else { return Ok(()) };
        self.settle_host_key(&mut machine, session)
    }
}

/// Whether a session showed the newest of several pinned keys.
fn is_proof(record: &Record, session: &Session) -> bool {
    let keys = &record.ssh.host_keys;
    keys.len() > 1 && keys.last().is_some_and(|newest| same_key(newest, session.host_key()))
}
