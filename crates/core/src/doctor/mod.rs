//! `doctor`: what is well and what is not, from the disk to the engines, and what mends it. Changes nothing.

mod accounts;
mod certificates;
mod machines;
mod shares;
mod store;
mod trust;

use std::{future::Future, time::Duration};

use futures::stream::{self, StreamExt};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::Finding;
use rmachine_store::{Record, Trust};
use serde::Serialize;
use time::OffsetDateTime;

use self::accounts::Account;
use super::{Core, blocking};

/// How many machines are looked at at once.
const AT_ONCE: usize = 32;

/// What part of the whole a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Files, permissions, locks, what killed processes left.
    Store,
    /// The CA, the client's certificate, those of the machines, and who they are shared with.
    Certificates,
    /// The clouds and engines that machines are made in.
    Accounts,
    /// Records, and whether each machine is where and how its record says.
    Machines,
}

impl Area {
    /// The word as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Certificates => "certificates",
            Self::Accounts => "accounts",
            Self::Machines => "machines",
        }
    }
}

/// One check of `doctor` and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What it belongs to.
    pub area: Area,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Core {
    /// Looks at the store, the certificates, the accounts and the machines `names` (all when empty), and
    /// answers what it found in this order. Nothing is changed, on disk or in a cloud. `timeout` bounds each
    /// question to a provider, a host or an engine; they are asked at the same time.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`] for a name that is not there; all else is a finding.
    pub async fn doctor(&self, names: &[String], timeout: Duration) -> Result<Vec<Checked>> {
        if let Some(unknown) = names.iter().find(|name| !self.store.exists(name)) {
            self.store.load(unknown)?;
        }
        let mut checked = Vec::new();
        let mut add = |area, findings: Vec<Finding>| {
            checked.extend(findings.into_iter().map(|finding| Checked { area, finding }));
        };
        let known = self.store.names();
        let copy = self.store.clone();
        add(Area::Store, blocking(move || Ok(store::check(&copy, OffsetDateTime::now_utc()))).await?);
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                // What is no directory was said.
                if !self.store.root().is_file() {
                    add(Area::Store, vec![failed("machines", &error)]);
                }
                Vec::new()
            }
        };
        let chosen = known.iter().filter(|name| names.is_empty() || names.contains(name));
        let records: Vec<(&str, Result<Record>)> = chosen.map(|name| (name.as_str(), self.store.load(name))).collect();
        let readable: Vec<&Record> = records.iter().filter_map(|(_, record)| record.as_ref().ok()).collect();

        let certificates = certificates::Certificates::read(&self.store, OffsetDateTime::now_utc());
        // What does not read may be of those.
        let of_the_store = |name: &String| self.store.load(name).map_or(true, |record| record.trust != Trust::Own);
        add(Area::Certificates, certificates.findings(known.iter().any(of_the_store)));
        for record in &readable {
            add(Area::Certificates, certificates.of_machine(self, record));
            add(Area::Certificates, self.look_at_shares(record, OffsetDateTime::now_utc()));
        }

        let accounts = self.accounts(&readable, timeout).await;
        for account in &accounts {
            add(Area::Accounts, account.findings.clone());
        }

        let looks = records.iter().map(|(name, record)| {
            let account = record.as_ref().ok().and_then(|record| accounts.iter().find(|account| account.has(record)));
            self.look_at(name, record, account, timeout)
        });
        // Made at once: a closure that is called while others wait keeps the whole from being `Send`.
        let looks: Vec<_> = looks.collect();
        let looked: Vec<Vec<Finding>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        for findings in looked {
            add(Area::Machines, findings);
        }
        Ok(checked)
    }

    async fn look_at(
        &self,
        name: &str,
        record: &Result<Record>,
        account: Option<&Account>,
        timeout: Duration,
    ) -> Vec<Finding> {
        match record {
            Ok(record) => Box::pin(self.look_at_machine(record, account, timeout)).await,
            Err(error) => vec![failed(name, error)],
        }
    }
}

/// Waits for `work`, and no longer than `timeout`.
async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Provider, format!("there was no answer in {} seconds", timeout.as_secs_f32()))
            .hint("check the network, or wait longer with --timeout SECONDS"))
    })
}

/// Something that does not work, as an error says it; its hints are the remedy.
fn failed(subject: &str, error: &Error) -> Finding {
    let remedy = match error.hints() {
        [] => "`rmachine --debug doctor` shows more".to_owned(),
        hints => hints.join("; "),
    };
    Finding::bad(subject, whole(error), remedy)
}

/// An error and its causes on one line.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.causes() {
        text = format!("{text}: {}", cause.replace('\n', " "));
    }
    text
}
