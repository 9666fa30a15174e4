//! `ls` and `status`: the truth about many machines, asked once a provider, not once a machine.

mod filter;
mod words;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::stream::{self, StreamExt};
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::{HostAddress, MachineState, Observed};
use rmachine_store::{Phase, Power, Record};
use serde::Serialize;

pub use self::{filter::Filter, words::StateWords};
use super::Core;

/// How many engines are asked at once.
const AT_ONCE: usize = 64;

/// State of a machine in the words of `ls` and `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Running.
    Running,
    /// On its way to running.
    Starting,
    /// Stopped; can be started.
    Stopped,
    /// On its way to stopped.
    Stopping,
    /// Suspended in memory.
    Paused,
    /// Suspended to disk.
    Saved,
    /// Its create has not ended.
    Creating,
    /// Its rm has not ended.
    Removing,
    /// The provider has no such instance any more.
    Missing,
    /// It does not answer, and nothing else can tell its state.
    Unreachable,
    /// The provider did not answer in time.
    Timeout,
    /// Something is wrong; the error says what.
    Error,
}

impl Status {
    const ALL: [Self; 12] = [
        Self::Running,
        Self::Starting,
        Self::Stopped,
        Self::Stopping,
        Self::Paused,
        Self::Saved,
        Self::Creating,
        Self::Removing,
        Self::Missing,
        Self::Unreachable,
        Self::Timeout,
        Self::Error,
    ];

    /// The word as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Starting => "Starting",
            Self::Stopped => "Stopped",
            Self::Stopping => "Stopping",
            Self::Paused => "Paused",
            Self::Saved => "Saved",
            Self::Creating => "Creating",
            Self::Removing => "Removing",
            Self::Missing => "Missing",
            Self::Unreachable => "Unreachable",
            Self::Timeout => "Timeout",
            Self::Error => "Error",
        }
    }
}

/// One line of `ls`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The machine's name.
    pub name: String,
    /// Whether `DOCKER_HOST` names it.
    pub active: bool,
    /// Name of its driver; empty when the record does not read.
    pub driver: String,
    /// Its state.
    pub state: Status,
    /// URL of its engine.
    pub url: Option<String>,
    /// Version of its engine, when it answered.
    pub docker: Option<String>,
    /// What is wrong.
    pub error: Option<String>,
    /// Whole days until a certificate of it ends, negative when that is past.
    pub cert_days: Option<i64>,
    /// Labels of the engine as asked for, `KEY=VALUE`.
    pub labels: Vec<String>,
    /// How long it took until all of that was known.
    #[serde(skip)]
    pub response_time: Duration,
    /// What is said where nothing is wrong yet.
    #[serde(skip)]
    warning: Option<String>,
    #[serde(skip)]
    record: Option<Record>,
}

impl Core {
    /// Whether the provider says that machine `name`, which is finished, is in `state`, and where the record says if it runs.
    /// What cannot be asked is not.
    pub async fn is_in_state(&self, name: &str, state: MachineState) -> bool {
        let asked = async {
            let record = self.store.load(name)?;
            self.require_ready(&record)?;
            let ids = record.instance.iter().map(|instance| instance.id.clone()).collect::<Vec<_>>();
            let observed = self.provider(&record).await?.observe(&ids).await?;
            Ok::<_, Error>((observed, record.address().map(str::to_owned)))
        };
        match asked.await {
            Ok((observed, known)) => observed.first().is_some_and(|observed| {
                let now = observed.addresses.dial.as_ref().map(HostAddress::as_str);
                observed.state == state && (state != MachineState::Running || now.is_none() || now == known.as_deref())
            }),
            Err(error) => {
                tracing::debug!(machine = name, "its state: {error}");
                false
            }
        }
    }
}

impl Core {
    /// The machines that `filter` admits, by their records alone (states are those last known).
    ///
    /// # Errors
    ///
    /// When the store cannot be read; one bad record is a line with an error, never hides the others.
    pub fn list_recorded(&self, filter: &Filter) -> Result<Vec<Listed>> {
        let docker_host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let names = self.store.names()?;
        let listed = names.into_iter().map(|name| self.recorded(name, &docker_host));
        Ok(listed.filter(|line| filter.admits_record(line)).collect())
    }

    /// The machines that `filter` admits, as their providers and engines see them now.
    ///
    /// # Errors
    ///
    /// As [`Core::list_recorded`]; what does not answer within `timeout` is a line that says so.
    pub async fn list(&self, filter: &Filter, timeout: Duration) -> Result<Vec<Listed>> {
        let started = Instant::now();
        let mut lines = self.list_recorded(filter)?;
        self.observe_lines(&mut lines, timeout).await;
        let probe = async |line: &mut Listed| {
            self.probe_engine(line, timeout).await;
            line.response_time = started.elapsed();
        };
        stream::iter(lines.iter_mut()).for_each_concurrent(AT_ONCE, probe).await;
        for line in &mut lines {
            // What has expired is why the engine refuses us.
            if line.error.is_none() || line.cert_days.is_some_and(|days| days < 0) {
                line.error = line.warning.take().or(line.error.take());
            }
        }
        self.in_words(&mut lines, timeout).await;
        lines.retain(|line| filter.admits_state(line.state));
        Ok(lines)
    }

    /// The states of machines `names`, asked once a provider.
    ///
    /// # Errors
    ///
    /// Per machine, when its record does not read.
    pub async fn status(&self, names: &[String], timeout: Duration) -> Vec<Result<Listed>> {
        let docker_host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let mut lines = Vec::new();
        let mut results: Vec<Result<usize>> = Vec::new();
        for name in names {
            match self.store.load(name) {
                Ok(_) => {
                    results.push(Ok(lines.len()));
                    lines.push(self.recorded(name.clone(), &docker_host));
                }
                Err(error) => results.push(Err(error)),
            }
        }
        self.observe_lines(&mut lines, timeout).await;
        for line in lines.iter_mut().filter(|line| line.state == Status::Unreachable) {
            self.probe_engine(line, timeout).await;
        }
        self.in_words(&mut lines, timeout).await;
        results.into_iter().map(|result| result.map(|index| lines[index].clone())).collect()
    }

    fn recorded(&self, name: String, docker_host: &str) -> Listed {
        match self.store.load(&name) {
            Ok(record) => {
                let url = record.url();
                let expiry = self.expiry(&record);
                let lacking = self.driver(&record).err();
                Listed {
                    active: !docker_host.is_empty() && url.as_deref() == Some(docker_host),
                    driver: record.driver.clone(),
                    // Nobody can be asked but its engine.
                    state: if lacking.is_some() { Status::Unreachable } else { recorded_state(&record) },
                    labels: record.engine.labels.clone(),
                    url,
                    docker: None,
                    response_time: Duration::ZERO,
                    cert_days: expiry.days,
                    error: lacking.map(|_| format!("the driver \"{}\" is not here", record.driver)),
                    warning: expiry.urgent().map(str::to_owned),
                    record: Some(record),
                    name,
                }
            }
            Err(error) => Listed {
                name,
                active: false,
                driver: String::new(),
                state: Status::Error,
                url: None,
                docker: None,
                cert_days: None,
                error: Some(error.to_string()),
                labels: Vec::new(),
                response_time: Duration::ZERO,
                warning: None,
                record: None,
            },
        }
    }

    /// Asks every provider once for all of its machines.
    async fn observe_lines(&self, lines: &mut [Listed], timeout: Duration) {
        let mut groups: BTreeMap<(String, String), Vec<&mut Listed>> = BTreeMap::new();
        for line in lines.iter_mut() {
            let Some(record) = &line.record else { continue };
            if record.instance.is_none() || record.phase != Phase::Ready {
                continue;
            }
            let Ok(driver) = self.driver(record) else { continue };
            groups.entry((record.driver.clone(), driver.scope(&record.config))).or_default().push(line);
        }
        let work = groups.into_values().map(|group| async move {
            match tokio::time::timeout(timeout, self.observe_group(&group)).await {
                Ok(Ok(observed)) => {
                    for (line, observed) in group.into_iter().zip(observed) {
                        Self::take_in(line, &observed);
                    }
                }
                Ok(Err(error)) => fail(group, Status::Error, &error.to_string()),
                Err(_) => fail(group, Status::Timeout, "the provider did not answer in time"),
            }
        });
        futures::future::join_all(work).await;
    }

    async fn observe_group(&self, group: &[&mut Listed]) -> Result<Vec<Observed>> {
        let records: Vec<&Record> = group.iter().filter_map(|line| line.record.as_ref()).collect();
        let Some(first) = records.first() else { return Ok(Vec::new()) };
        let ids: Vec<_> = records.iter().filter_map(|r| r.instance.as_ref()).map(|i| i.id.clone()).collect();
        Ok(self.provider(first).await?.observe(&ids).await?)
    }

    /// Takes an observation into a line. The record stays as it is: `start` and `regenerate-certs` follow a
    /// machine that has moved, under its lock.
    fn take_in(line: &mut Listed, observed: &Observed) {
        line.state = match observed.state {
            MachineState::Running => Status::Running,
            MachineState::Starting => Status::Starting,
            MachineState::Stopped => Status::Stopped,
            MachineState::Stopping => Status::Stopping,
            MachineState::Paused => Status::Paused,
            MachineState::Saved => Status::Saved,
            MachineState::Absent | MachineState::Terminated => Status::Missing,
            MachineState::Terminating => Status::Removing,
            MachineState::Unknown => Status::Unreachable,
            MachineState::Error => Status::Error,
        };
        line.error.clone_from(&observed.reason);
        if !matches!(line.state, Status::Running | Status::Unreachable) {
            line.url = None;
            line.active = false;
        }
        if line.state == Status::Missing && line.error.is_none() {
            line.error = Some(format!("the instance {} is gone", observed.id));
        }
        let known = line.record.as_ref().and_then(Record::address);
        let now = observed.addresses.dial.as_ref().map(HostAddress::as_str);
        if let (Status::Running, Some(now), true) = (line.state, now, known != now) {
            line.error = Some(format!("it is at {now} now; `rmachine start {}` follows it", line.name));
        }
    }

    /// Asks the engine of a running machine for its version.
    async fn probe_engine(&self, line: &mut Listed, timeout: Duration) {
        if !matches!(line.state, Status::Running | Status::Unreachable) {
            return;
        }
        let Some(record) = &line.record else { return };
        // One that has moved does not answer where the record says.
        let moved = line.state == Status::Running && line.error.is_some();
        if moved || !super::create::wants_engine(record) {
            return;
        }
        let result = match self.access(&line.name) {
            Ok(access) => self.check(&access, timeout).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(version) => {
                line.state = Status::Running;
                line.docker = Some(format!("v{}", version.version));
            }
            // Without its driver nothing says whether it should answer.
            Err(_) if line.error.is_some() => {}
            Err(error) => {
                let why = error.causes().into_iter().next().unwrap_or_else(|| error.to_string());
                line.error = Some(self.state_words.no_version(why));
            }
        }
    }
}

fn fail(group: Vec<&mut Listed>, state: Status, error: &str) {
    for line in group {
        line.state = state;
        line.error = Some(error.to_owned());
    }
}

fn recorded_state(record: &Record) -> Status {
    match record.phase {
        Phase::Reserved | Phase::Creating | Phase::Booting | Phase::Provisioning => Status::Creating,
        Phase::Removing => Status::Removing,
        Phase::Ready => match record.power {
            Power::Running => Status::Running,
            Power::Stopped => Status::Stopped,
        },
    }
}
