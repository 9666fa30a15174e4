//! The accounts: one client each, what it says of itself, and one look at all of its machines.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rmachine_provider_api::{Finding, InstanceId, Observed, Provider};
use rmachine_store::{Phase, Record};

use super::{failed, within};
use crate::Core;

/// One account and place, and what was found in it.
pub(super) struct Account {
    driver: String,
    scope: String,
    machines: Vec<String>,
    /// `None`: it cannot be connected to.
    pub(super) provider: Option<Arc<dyn Provider>>,
    /// Machines by name, as far as they could be looked at.
    pub(super) observed: BTreeMap<String, Observed>,
    pub(super) findings: Vec<Finding>,
}

impl Account {
    pub(super) fn has(&self, record: &Record) -> bool {
        self.driver == record.driver && self.machines.contains(&record.name)
    }
}

impl Core {
    /// Looks at the accounts of `records`, all at once. A record whose driver is not here has none.
    pub(super) async fn accounts(&self, records: &[&Record], timeout: Duration) -> Vec<Account> {
        let mut groups: BTreeMap<(String, String), Vec<&Record>> = BTreeMap::new();
        for record in records {
            if let Ok(driver) = self.driver(record) {
                groups.entry((record.driver.clone(), driver.scope(&record.config))).or_default().push(record);
            }
        }
        let work =
            groups.into_iter().map(|((driver, scope), group)| Box::pin(self.account(driver, scope, group, timeout)));
        futures::future::join_all(work).await
    }

    async fn account(&self, driver: String, scope: String, group: Vec<&Record>, timeout: Duration) -> Account {
        let mut account = Account {
            machines: group.iter().map(|record| record.name.clone()).collect(),
            provider: None,
            observed: BTreeMap::new(),
            findings: Vec::new(),
            driver,
            scope,
        };
        let Some(first) = group.first() else { return account };
        let provider = match within(timeout, self.provider(first)).await {
            Ok(provider) => provider,
            Err(error) => {
                let error = error.context(format!("{} cannot be used", account.title()));
                account.findings.push(failed(&account.driver, &error));
                return account;
            }
        };
        let there: Vec<(&str, InstanceId)> = group
            .iter()
            .filter(|record| matches!(record.phase, Phase::Ready | Phase::Provisioning))
            .filter_map(|record| Some((record.name.as_str(), record.instance.as_ref()?.id.clone())))
            .collect();
        let ids: Vec<InstanceId> = there.iter().map(|(_, id)| id.clone()).collect();
        let observe =
            within(timeout, async { if ids.is_empty() { Ok(Vec::new()) } else { Ok(provider.observe(&ids).await?) } });
        let checkup = within(timeout, async { Ok(provider.checkup().await) });
        let (observed, checkup) = tokio::join!(observe, checkup);
        let driver = account.driver.clone();
        match checkup {
            Ok(findings) => account.findings.extend(findings.into_iter().map(|finding| {
                let subject = format!("{driver} {}", finding.subject);
                Finding { subject, ..finding }
            })),
            Err(error) => account.findings.push(failed(&driver, &error)),
        }
        match observed {
            Ok(observed) => {
                account.observed = there.iter().map(|(name, _)| (*name).to_owned()).zip(observed).collect();
            }
            Err(error) => {
                let error = error.context(format!("{} cannot be asked for its machines", account.title()));
                account.findings.push(failed(&driver, &error));
            }
        }
        account.provider = Some(provider);
        account
    }
}

impl Account {
    fn title(&self) -> String {
        format!("{} {}", self.driver, self.scope).trim_end().to_owned()
    }
}
