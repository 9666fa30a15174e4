//! What a host must become: probe → plan → apply → verify, over one SSH session.
//!
//! All that is written to a host stands in `templates/`; here values are filled in and answers read.

mod answer;
mod daemon;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
mod host;
mod login_keys;
mod repository;
mod spec;
mod template;
mod unit;
mod upgrade;
mod userdata;

use std::fmt;

use rmachine_model::EngineSpec;
use rmachine_provider_api::Notify;
use rmachine_ssh::{Budget, Session, Stream};
use zeroize::Zeroizing;

use self::{answer::Answer, repository::Repository, unit::UnitFacts};
pub use self::{
    error::Error,
    host::{HostFacts, boot_id, generate_host_key, install_host_key, probe, reboot},
    login_keys::{AuthorizedLine, authorize_key, authorized_keys, remove_authorized_keys},
    spec::{check, warnings},
    upgrade::{Candidate, Change, find_upgrade, renew, upgrade},
    userdata::{BootSpec, user_data},
};

/// Result of this module's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the engine proves itself with; PEM texts.
#[derive(Clone, Copy)]
pub struct ServerTls<'a> {
    /// The CA that signs clients.
    pub ca_pem: &'a str,
    /// The engine's certificate.
    pub cert_pem: &'a str,
    /// Its key.
    pub key_pem: &'a str,
}

impl fmt::Debug for ServerTls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// What [`provision`] did.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// Where the engine came from: existing, docker, distro or url.
    pub source: String,
    /// Whether an engine that ran was restarted.
    pub restarted: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What [`replace_certificates`] did.
#[derive(Debug, Clone, Copy)]
pub struct Renewed {
    /// Whether the host had other certificates.
    pub changed: bool,
    /// Whether the engine was restarted.
    pub restarted: bool,
    /// Whether containers ran on meanwhile.
    pub containers_kept: bool,
    /// Whether the host is a swarm node, where they cannot.
    pub swarm: bool,
}

/// Installs the engine where it is missing, gives it certificates and options, and starts it once.
///
/// With `started_at_boot` the install runs already, and is waited for.
///
/// # Errors
///
/// [`Error::UnsupportedOs`] and [`Error::NoSystemd`] before anything is changed; [`Error::Install`] and
/// [`Error::Engine`] with the host's last words; an engine that ran before runs as before then.
pub async fn provision(
    session: &Session,
    facts: &HostFacts,
    spec: &EngineSpec,
    tls: &ServerTls<'_>,
    started_at_boot: bool,
    notify: &dyn Notify,
) -> Result<Provisioned> {
    facts.require_engine_host()?;
    let repository = Repository::for_engine(spec)?;
    let mut source = "existing".to_owned();
    let mut unit = None;
    if started_at_boot && spec::may_install_at_boot(spec, &repository) {
        let answer = run_unit_script(session, facts, true, notify).await?;
        match answer.get("install").and_then(|status| status.split_once(' ')) {
            Some(("done", used)) => {
                used.clone_into(&mut source);
                unit = Some(UnitFacts::read(&answer)?);
            }
            Some((_, message)) => return Err(Error::install(message, answer.decoded("log"))),
            None => notify.warn("the boot did not start the install, so it is done over SSH"),
        }
    }
    let unit = match unit {
        Some(unit) => unit,
        None => {
            source = install(session, facts, spec, &repository, notify).await?;
            UnitFacts::read(&run_unit_script(session, facts, false, notify).await?)?
        }
    };
    notify.progress("configuring the engine");
    let keep_running = !facts.swarm && unit.is_active;
    let files = daemon::files(spec, &unit, facts, keep_running)?;
    // A port on the loopback needs no opening in the host's firewall.
    let opened = if spec.on_loopback { 0 } else { spec.port };
    let answer = apply(session, facts, tls, &files, false, opened).await?;
    let mut warnings = unit.notes;
    warnings.extend(answer.all("warning").map(str::to_owned));
    let restarted = answer.is("restarted");
    if restarted && !answer.is("kept") {
        warnings.push("the engine was restarted with its containers".to_owned());
    }
    let skew = facts.clock_skew.abs();
    if skew > 60 {
        warnings.push(format!("the host's clock differs from this computer's by {skew} seconds"));
    }
    Ok(Provisioned { source, restarted, warnings })
}

/// Puts other certificates in place; containers keep running unless the host is a swarm node.
/// When the host has these already nothing is restarted, unless `force`.
///
/// # Errors
///
/// [`Error::Engine`] when the engine does not come back; the old ones are back then.
pub async fn replace_certificates(
    session: &Session,
    facts: &HostFacts,
    tls: &ServerTls<'_>,
    force: bool,
    notify: &dyn Notify,
) -> Result<Renewed> {
    notify.progress("replacing the certificate");
    let files = daemon::for_renewal(facts)?;
    let answer = apply(session, facts, tls, &files, force, 0).await?;
    for warning in answer.all("warning") {
        notify.warn(warning);
    }
    let restarted = answer.is("restarted");
    Ok(Renewed {
        changed: answer.is("certificates") || restarted,
        restarted,
        containers_kept: !restarted || answer.is("kept"),
        swarm: facts.swarm,
    })
}

async fn apply(
    session: &Session,
    facts: &HostFacts,
    tls: &ServerTls<'_>,
    files: &daemon::Files,
    force: bool,
    port: u16,
) -> Result<Answer> {
    let script = Zeroizing::new(template::render(
        template::APPLY,
        minijinja::context! {
            ca => tls.ca_pem.trim_end(),
            cert => tls.cert_pem.trim_end(),
            key => tls.key_pem.trim_end(),
            daemon_json => files.daemon_json.as_str(),
            daemon_json_live => files.daemon_json_live.as_str(),
            daemon_json_before => files.daemon_json_before.as_str(),
            drop_in => files.drop_in.as_str(),
            force => if force { "yes" } else { "no" },
            login_user => facts.login_user.as_str(),
            port => port.to_string(),
        },
    )?);
    let answer = as_root_within(session.budgets().restart, session, facts, &script).await?;
    match answer.get("error") {
        Some(error) => Err(Error::engine(error, answer.decoded("journal"))),
        None => Ok(answer.complete()?),
    }
}

/// Runs the install over SSH, telling its steps.
async fn install(
    session: &Session,
    facts: &HostFacts,
    spec: &EngineSpec,
    repository: &Repository,
    notify: &dyn Notify,
) -> Result<String> {
    let script = template::install(spec, repository)?;
    let (mut answer, mut errors) = (Answer::default(), String::new());
    let mut on_line = |stream: Stream, line: &str| match (stream, line.split_once('=')) {
        (Stream::Stdout, Some(("step", step))) => notify.progress(step),
        (Stream::Stdout, _) => answer.take(line),
        (Stream::Stderr, _) => answer::keep_last(&mut errors, line),
    };
    let exit = session.stream(session.budgets().install, &facts.shell(), script.as_bytes(), &mut on_line).await?;
    if let Some(source) = answer.get("done") {
        return Ok(source.to_owned());
    }
    let log = as_root(session, facts, template::LOG).await?.decoded("log");
    let message = match answer.get("failed") {
        Some(message) => message.to_owned(),
        None => format!("the install script ended with {exit} {errors}"),
    };
    Err(Error::install(&message, log))
}

async fn run_unit_script(session: &Session, facts: &HostFacts, wait: bool, notify: &dyn Notify) -> Result<Answer> {
    let command = format!("{}{}", facts.shell(), if wait { " wait" } else { "" });
    let (mut answer, mut errors) = (Answer::default(), String::new());
    let mut on_line = |stream: Stream, line: &str| match (stream, line.split_once('=')) {
        (Stream::Stdout, Some(("step", step))) => notify.progress(step),
        (Stream::Stdout, _) => answer.take(line),
        (Stream::Stderr, _) => answer::keep_last(&mut errors, line),
    };
    let exit = session.stream(session.budgets().install, &command, template::UNIT.as_bytes(), &mut on_line).await?;
    if !exit.is_success() {
        return Err(Error::Script(format!("it ended with {exit}: {errors}")));
    }
    Ok(answer)
}

/// Runs a script of `templates/` as root; everything in it goes by standard input, nothing by argv.
async fn as_root(session: &Session, facts: &HostFacts, script: &str) -> Result<Answer> {
    as_root_within(session.budgets().look, session, facts, script).await
}

/// The same with what the script may take.
async fn as_root_within(budget: Budget, session: &Session, facts: &HostFacts, script: &str) -> Result<Answer> {
    let output = session.run_within(budget, &facts.shell(), script.as_bytes()).await?;
    if !output.exit.is_success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Script(format!("it ended with {}: {}", output.exit, answer::last_words(&errors))));
    }
    Ok(Answer::parse(&output.stdout))
}

#[cfg(test)]
mod install_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod upgrade_tests;
