//! The engine's newest version, from where the engine came.

use rmachine_model::{EngineSource, EngineSpec};
use rmachine_provider_api::Notify;
use rmachine_ssh::Session;

use super::{Answer, Error, HostFacts, Result, answer, as_root, install, repository::Repository, template};

/// A package that has a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub package: String,
    /// The version that the host has.
    pub from: String,
    /// The newest one.
    pub to: String,
}

/// What an upgrade would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The version of the engine's program, as dockerd says it.
    pub version: String,
    /// Whether the engine still runs a program that was replaced since.
    pub stale: bool,
    /// Packages with a newer version; empty for a script of the user's, of which nobody knows before.
    pub changes: Vec<Change>,
    /// How many containers run.
    pub containers: usize,
    /// Whether the engine leaves them running when it restarts.
    pub live_restore: bool,
}

/// Looks for newer packages of the engine; changes nothing but the package lists.
///
/// # Errors
///
/// [`Error::Upgrade`] where the engine is of no package, or the lists cannot be read.
pub async fn find_upgrade(
    session: &Session,
    facts: &HostFacts,
    spec: &EngineSpec,
    notify: &dyn Notify,
) -> Result<Candidate> {
    facts.require_engine_host()?;
    notify.progress("looking for a newer engine");
    let answer = run(session, facts, spec, "look").await?;
    Ok(read(&answer, &facts.daemon_json))
}

fn read(answer: &Answer, daemon_json: &str) -> Candidate {
    let change = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Change { package: words.next()?, from: words.next()?, to: words.next()? })
    };
    let daemon: serde_json::Value = serde_json::from_str(daemon_json).unwrap_or_default();
    Candidate {
        version: answer.text("version"),
        stale: answer.is("stale"),
        changes: answer.all("change").filter_map(change).collect(),
        containers: answer.text("containers").parse().unwrap_or_default(),
        live_restore: daemon.get("live-restore").and_then(serde_json::Value::as_bool).unwrap_or_default(),
    }
}

/// Installs what [`find_upgrade`] found, or runs the user's install script again.
///
/// # Errors
///
/// [`Error::Upgrade`] and [`Error::Install`] with the host's last words.
pub async fn upgrade(session: &Session, facts: &HostFacts, spec: &EngineSpec, notify: &dyn Notify) -> Result<()> {
    if spec.source == EngineSource::Url {
        install(session, facts, spec, &Repository::for_engine(spec)?, notify).await?;
    } else {
        notify.progress("installing the newer engine");
    }
    run(session, facts, spec, "install").await.map(|_| ())
}

/// Restarts an engine whose program was replaced under it, or that does not run: what [`upgrade`] ends with.
///
/// # Errors
///
/// [`Error::Upgrade`] with the host's last words.
pub async fn renew(session: &Session, facts: &HostFacts, spec: &EngineSpec) -> Result<()> {
    run(session, facts, spec, "renew").await.map(|_| ())
}

async fn run(session: &Session, facts: &HostFacts, spec: &EngineSpec, what: &str) -> Result<Answer> {
    let script = template::upgrade(spec)?;
    let output =
        session.run_within(session.budgets().install, &format!("{} {what}", facts.shell()), script.as_bytes()).await?;
    let answer = Answer::parse(&output.stdout);
    let message = match answer.get("failed") {
        Some(message) => message.to_owned(),
        None if output.exit.is_success() => return answer.complete(),
        None => {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("the script ended with {} {}", output.exit, answer::last_words(&said))
        }
    };
    let log = as_root(session, facts, template::LOG).await?.decoded("log");
    Err(Error::upgrade(message.trim_end(), log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = Answer::parse(b"version=28.0.1\ncontainers=2\nchange=docker-ce 5:1 5:2\nchange=broken\nend=yes\n");
        let found = read(&answer, r#"{"live-restore": true}"#);
        let change = Change { package: "docker-ce".into(), from: "5:1".into(), to: "5:2".into() };
        let changes = vec![change];
        let expected = Candidate { version: "28.0.1".into(), stale: false, changes, containers: 2, live_restore: true };
        assert_eq!(found, expected);
        assert!(read(&Answer::parse(b"version=1\nstale=yes\nend=yes\n"), "").stale);
        assert!(!read(&answer, "").live_restore && !read(&answer, "{").live_restore);
    }
}
