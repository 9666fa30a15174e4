//! `upgrade`: the engine's newest version, from where the engine came.

use rmachine_bootstrap::{self as bootstrap, Candidate};
use rmachine_model::{
    EngineSource,
    error::{Error, Kind, Result},
};
use rmachine_store::Record;

use super::{
    Core,
    open::{CONNECT_PATIENTLY, Need},
    voice,
};

/// What an upgrade did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The engine's version before.
    pub from: String,
    /// The version that answers now.
    pub to: String,
    /// Whether anything was newer.
    pub changed: bool,
    /// Whether nothing was, but an earlier upgrade had not ended, and has now.
    pub finished: bool,
}

impl Core {
    /// Upgrades the engine of machine `name`, restarts it, and asks it for its version over TLS. Certificates and options
    /// stay. Nothing newer is success, and changes nothing, but that it finishes an upgrade that was cut off.
    ///
    /// # Errors
    ///
    /// [`Kind::Failure`] for an engine that rmachine did not install or that has no newer version to be had;
    /// [`Kind::Ssh`], [`Kind::Engine`].
    pub async fn upgrade(&self, name: &str) -> Result<Upgraded> {
        let mut machine = self.open(name, Need::managed("upgrade")).await?;
        require_own(&machine)?;
        let session = self.log_in(&mut machine, CONNECT_PATIENTLY).await?;
        let authority = self.load_authority(&mut machine, false).await?;
        let notify = machine.notify.clone();
        let facts = bootstrap::probe(&session).await?;
        let found = bootstrap::find_upgrade(&session, &facts, &machine.engine, voice(&notify))
            .await
            .map_err(|e| about(e, name))?;
        let by_script = machine.engine.source == EngineSource::Url;
        let changed = by_script || !found.changes.is_empty();
        let recorded = machine.host.as_ref().map(|host| host.engine_version.as_str());
        if !changed && !is_unfinished(&found, recorded) {
            // It may have been found at another address.
            if self.good_server(&machine, &authority)?.is_none() {
                self.renew_if_needed(&mut machine, &session, &authority, false).await?;
                self.await_engine(&machine, &authority).await?;
                self.finish_provision(&mut machine, authority).await?;
            }
            session.close().await;
            return Ok(Upgraded { to: found.version.clone(), from: found.version, changed, finished: false });
        }
        // Before it is done: it may matter to what runs there.
        if changed || found.stale {
            notify.warn(&what_restarts(&found, facts.swarm));
        }
        let done = if changed {
            bootstrap::upgrade(&session, &facts, &machine.engine, voice(&notify)).await
        } else {
            bootstrap::renew(&session, &facts, &machine.engine).await
        };
        done.map_err(|e| about(e, name))?;
        // The new unit may start dockerd in another way; this fits our settings to it, and asks over TLS.
        self.provision_over(&mut machine, &session, &authority).await?;
        session.close().await;
        self.finish_provision(&mut machine, authority).await?;
        let to = machine.host.as_ref().map(|host| host.engine_version.clone()).unwrap_or_default();
        Ok(Upgraded { changed, from: found.version, to, finished: !changed })
    }
}

/// Whether the packages are the newest, and what follows them was not done: the restart, our settings, the record. The
/// record has no version while our settings are being fitted.
fn is_unfinished(found: &Candidate, recorded: Option<&str>) -> bool {
    found.stale || recorded != Some(found.version.as_str())
}

fn about(error: bootstrap::Error, name: &str) -> Error {
    Error::from(error).about(name)
}

/// Refuses an engine that is somebody else's.
fn require_own(record: &Record) -> Result<()> {
    let name = &record.name;
    match record.engine.source {
        EngineSource::Auto | EngineSource::Docker | EngineSource::Distro | EngineSource::Url => Ok(()),
        EngineSource::Existing => Err(Error::new(
            Kind::Failure,
            format!("the engine of machine \"{name}\" was there before (--engine-source existing), and is not rmachine's to upgrade"),
        )
        .hint(format!("upgrade it on its host as it was installed, then `rmachine provision {name}`"))),
        EngineSource::None => {
            Err(Error::new(Kind::Failure, format!("machine \"{name}\" was made without an engine (--engine-source none)"))
                .hint(format!("`rmachine ssh {name}` gets you in to install one")))
        }
    }
}

fn what_restarts(found: &Candidate, swarm: bool) -> String {
    let what: Vec<String> =
        found.changes.iter().map(|change| format!("{} {} → {}", change.package, change.from, change.to)).collect();
    let what = match (what.is_empty(), found.stale) {
        (false, _) => what.join(", "),
        (true, true) => format!("{} is installed, and an older engine runs still", found.version),
        (true, false) => "the install script is run again".to_owned(),
    };
    let containers = match (found.containers, found.live_restore) {
        (0, _) => "no container runs".to_owned(),
        (count, true) => format!("{count} running, which live-restore keeps where the new version can"),
        (count, false) => format!("{count} running, which end with it; those with a restart policy come back"),
    };
    let swarm = if swarm { "; the swarm moves its services away meanwhile" } else { "" };
    format!("{what}: the engine restarts (containers: {containers}{swarm})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_restarts_is_said() {
        let mut found =
            Candidate { version: "1".into(), stale: false, changes: vec![], containers: 2, live_restore: false };
        let script = what_restarts(&found, false);
        assert!(
            script
                .starts_with("the install script is run again: the engine restarts (containers: 2 running, which end")
        );
        found.changes = vec![bootstrap::Change { package: "docker-ce".into(), from: "1".into(), to: "2".into() }];
        found.live_restore = true;
        assert!(what_restarts(&found, true).starts_with("docker-ce 1 → 2: the engine restarts"));
        assert!(what_restarts(&found, true).contains("live-restore keeps"));
        found.containers = 0;
        assert!(what_restarts(&found, false).ends_with("(containers: no container runs)"));
        found = Candidate { changes: vec![], stale: true, ..found };
        let said = what_restarts(&found, false);
        assert!(said.starts_with("1 is installed, and an older engine runs still: the engine restarts"), "{said}");
    }

    #[test]
    fn an_upgrade_that_was_cut_off_shows() {
        let mut found =
            Candidate { version: "2".into(), stale: false, changes: vec![], containers: 0, live_restore: false };
        for (recorded, unfinished) in [(Some("2"), false), (Some("1"), true), (Some(""), true), (None, true)] {
            assert_eq!(is_unfinished(&found, recorded), unfinished, "{recorded:?}");
        }
        found.stale = true;
        assert!(is_unfinished(&found, Some("2")), "it was not restarted");
    }
}
