//! Each machine: is its record whole, does the provider have it, do its engine and its host answer.

use std::{fs::File, time::Duration};

use rmachine_bootstrap::{self as bootstrap, HostFacts};
use rmachine_engine::EngineVersion;
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::{Finding, HostAddress, MachineState, Observed};
use rmachine_ssh::{self as ssh, Session};
use rmachine_store::{Phase, Power, Record};

use super::{accounts::Account, failed, whole, within};
use crate::{Core, create::wants_engine, machine_ref, shell::known_hosts_files};

/// Seconds that clocks may differ: certificates are backdated by more, but tokens and logs are not.
const CLOCKS: i64 = 60;

impl Core {
    pub(super) async fn look_at_machine(
        &self,
        record: &Record,
        account: Option<&Account>,
        timeout: Duration,
    ) -> Vec<Finding> {
        let name = record.name.as_str();
        if let Err(error) = self.driver(record) {
            let missing = failed(name, &error);
            // docker-machine's stays docker-machine's: nothing is broken.
            return vec![match (record.lacks_driver(), missing.remedy.clone()) {
                (true, Some(remedy)) => Finding::warning(name, missing.text, remedy),
                _ => missing,
            }];
        }
        let busy = self.is_locked(name);
        let mut findings = match self.unfinished(record, busy) {
            Some((finding, true)) => return vec![finding],
            Some((finding, false)) => vec![finding],
            None => Vec::new(),
        };
        findings.extend(self.login_key(record));
        let observed = account.and_then(|account| account.observed.get(name));
        if let Some(finding) = state(record, observed) {
            findings.push(finding);
            return findings;
        }
        findings.extend(self.reach(record, account, timeout).await);
        findings
    }

    /// A create, provision or rm that did not end; with whether there is nothing else to look at.
    fn unfinished(&self, record: &Record, busy: bool) -> Option<(Finding, bool)> {
        let (name, phase) = (record.name.as_str(), record.phase.word());
        if busy && record.phase != Phase::Ready {
            let text = format!("another rmachine process is working on it ({phase})");
            return Some((Finding::good(name, text), true));
        }
        match record.phase {
            Phase::Ready => None,
            Phase::Removing => {
                let text = "its rm did not end, and something of it may be left";
                Some((Finding::bad(name, text, format!("`rmachine rm -y {name}` finishes it")), true))
            }
            Phase::Provisioning => {
                let text = "its create did not end; the host was reached";
                Some((Finding::bad(name, text, format!("`rmachine provision {name}` goes on with it")), false))
            }
            Phase::Reserved => {
                let text = "its create did not end; it had made nothing yet";
                let remedy = format!("the same `rmachine create` goes on with it, `rmachine rm -y {name}` forgets it");
                Some((Finding::bad(name, text, remedy), true))
            }
            Phase::Creating | Phase::Booting => {
                let text = format!("its create did not end ({phase}); what it made may cost money");
                let remedy =
                    format!("the same `rmachine create` goes on with it, `rmachine rm -y {name}` removes what it made");
                Some((Finding::bad(name, text, remedy), true))
            }
        }
    }

    /// Whether another process works on the machine now. The lock's file is never made here.
    pub(super) fn is_locked(&self, name: &str) -> bool {
        let path = self.store.root().join("locks").join(format!("machine-{name}.lock"));
        // Without a lock's file nobody holds it; that locks cannot be had at all is the store's finding.
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }

    fn login_key(&self, record: &Record) -> Option<Finding> {
        if record.ssh.key_file.is_empty() {
            return None;
        }
        let path = self.store.machine_file(&record.name, &record.ssh.key_file);
        let error = Error::from(ssh::public_half(&path).err()?);
        Some(Finding::bad(
            record.name.as_str(),
            whole(&error),
            "restore it from a backup; without it nobody can log in to the machine",
        ))
    }

    /// Tries the engine and the host, and lets the provider say why they do not answer.
    async fn reach(&self, record: &Record, account: Option<&Account>, timeout: Duration) -> Vec<Finding> {
        let name = record.name.as_str();
        let (engine, host) =
            tokio::join!(Box::pin(self.engine_answers(record, timeout)), Box::pin(self.host_answers(record, timeout)));
        let mut findings = Vec::new();
        if self.waits_for_contact(record) {
            let text = "its host key is not pinned yet: docker-machine pinned none";
            findings.push(Finding::warning(
                name,
                text,
                format!("`rmachine ssh {name}` on a terminal asks whether to trust it"),
            ));
        }
        let mut answers = Vec::new();
        let mut errors = Vec::new();
        match engine {
            Ok(Some(version)) => answers.push(format!("engine {}", version.version)),
            Ok(None) => {}
            Err(error) => errors.push(("its engine", error)),
        }
        match host {
            Ok(Some(facts)) => {
                answers.push("SSH".to_owned());
                findings.extend(clock(name, facts.clock_skew));
            }
            Ok(None) => {}
            Err(error) => errors.push(("SSH", error)),
        }
        if errors.is_empty() {
            let text = match answers.as_slice() {
                [] => "it is there".to_owned(),
                answers => format!("it answers: {}", answers.join(", ")),
            };
            findings.insert(0, Finding::good(name, text));
            return findings;
        }
        let why = self.why(record, account, timeout).await;
        findings.extend(errors.into_iter().map(|(what, error)| {
            let mut finding = failed(name, &error);
            finding.text = format!("{what}: {}", finding.text);
            if let Some((reason, hint)) = &why {
                finding.text = format!("{}; {reason}", finding.text);
                finding.remedy = Some(hint.clone());
            }
            finding
        }));
        findings
    }

    /// Whether nobody vouches for the host's key so far.
    fn waits_for_contact(&self, record: &Record) -> bool {
        let known = |host: &str| ssh::known_hosts_knows(&known_hosts_files(), host, record.ssh.port).unwrap_or(false);
        self.is_unmet(record) && !record.address().is_some_and(known)
    }

    async fn why(&self, record: &Record, account: Option<&Account>, timeout: Duration) -> Option<(String, String)> {
        let provider = account?.provider.as_ref()?;
        match within(timeout, async { Ok(provider.diagnose(&machine_ref(record, None)).await) }).await {
            Ok(why) => why,
            Err(error) => {
                tracing::debug!(machine = record.name, "no diagnosis: {error}");
                None
            }
        }
    }

    async fn engine_answers(&self, record: &Record, timeout: Duration) -> Result<Option<EngineVersion>> {
        if !wants_engine(record) {
            return Ok(None);
        }
        self.check(&self.access(&record.name)?, timeout).await.map(Some)
    }

    async fn host_answers(&self, record: &Record, timeout: Duration) -> Result<Option<HostFacts>> {
        if !self.driver(record)?.info().capabilities.ssh || self.waits_for_contact(record) {
            return Ok(None);
        }
        let about = |error: ssh::Error| Error::from(error).about(&record.name);
        let session = Session::connect(&self.target(record)?, timeout).await.map_err(about)?;
        let facts = within(timeout, async { Ok(bootstrap::probe(&session).await?) }).await;
        session.close().await;
        Ok(Some(facts?))
    }
}

/// What is to be said where a machine is not to be reached at all, or elsewhere; `None`: try to reach it.
fn state(record: &Record, observed: Option<&Observed>) -> Option<Finding> {
    let name = record.name.as_str();
    let start = format!("`rmachine start {name}`");
    let Some(observed) = observed else {
        return (record.power == Power::Stopped).then(|| {
            let text = "it was last seen stopped, and nobody could say whether it still is";
            Finding::warning(name, text, format!("`rmachine status {name}` asks again"))
        });
    };
    let reason = observed.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let known = record.address();
    match observed.state {
        MachineState::Running => match observed.addresses.dial.as_ref().map(HostAddress::as_str) {
            Some(now) if known != Some(now) => Some(Finding::bad(
                name,
                format!("it is at {now} now, and the record says {}", known.unwrap_or("nothing")),
                format!("{start} follows it"),
            )),
            _ if record.power == Power::Stopped => {
                let text = "it runs, and the record says that it is stopped, so that clients are refused";
                Some(Finding::bad(name, text, format!("{start} takes that over")))
            }
            _ => None,
        },
        MachineState::Unknown => None,
        MachineState::Stopped | MachineState::Saved => Some(Finding::good(name, format!("it is stopped{reason}"))),
        MachineState::Paused => Some(Finding::warning(name, format!("it is paused{reason}"), start)),
        MachineState::Starting | MachineState::Stopping => {
            let doing = if observed.state == MachineState::Starting { "starting" } else { "stopping" };
            Some(Finding::warning(name, format!("it is {doing}{reason}"), "look again in a while"))
        }
        MachineState::Absent | MachineState::Terminated | MachineState::Terminating => Some(Finding::bad(
            name,
            format!("the instance {} is gone{reason}", observed.id),
            format!("`rmachine rm {name}` removes its record and the rest"),
        )),
        MachineState::Error => Some(Finding::bad(name, format!("the provider says that it is broken{reason}"), start)),
    }
}

fn clock(name: &str, skew: i64) -> Option<Finding> {
    (skew.abs() > CLOCKS).then(|| {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        Finding::warning(
            name,
            format!("its clock is {} seconds {way} this computer's", skew.abs()),
            format!("`rmachine ssh {name} sudo timedatectl set-ntp true`, or set this computer's clock"),
        )
    })
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Health;

    use super::clock;

    #[test]
    fn a_clock_that_is_off_is_said_with_its_direction() {
        assert_eq!(clock("m", 60), None);
        assert_eq!(clock("m", -60), None);
        let behind = clock("m", -61).unwrap();
        assert_eq!(
            (behind.health, behind.text.as_str()),
            (Health::Warning, "its clock is 61 seconds behind this computer's")
        );
        assert!(clock("m", 3600).unwrap().text.contains("3600 seconds ahead of"));
    }
}
