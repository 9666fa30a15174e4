//! Where to look, and what is known to the records.

use std::collections::{BTreeMap, BTreeSet};

use rmachine_model::error::{Error, Result};
use rmachine_provider_api::{Kind as CloudKind, MachineToken, Owner, Resource, ResourceKind, Secrets};
use rmachine_store::Store;
use serde_json::Value;

use super::{Client, GcOptions, GcReport};
use crate::{Core, spec::configured};

/// One account and region that was looked at.
pub(super) struct Scanned {
    pub(super) driver: String,
    pub(super) provider: Client,
    pub(super) resources: Vec<Resource>,
}

/// One account and region to look at.
struct Place {
    driver: String,
    config: Value,
    secrets: Secrets,
}

/// What the readable records know, and the names of those that do not read.
pub(super) struct Living {
    tokens: BTreeSet<MachineToken>,
    owners: BTreeSet<Owner>,
    unreadable: BTreeSet<String>,
}

impl Living {
    pub(super) fn of(store: &Store) -> Result<Self> {
        let mut living = Self { tokens: BTreeSet::new(), owners: BTreeSet::new(), unreadable: BTreeSet::new() };
        for name in store.names()? {
            match store.load(&name) {
                Ok(record) => {
                    living.tokens.insert(record.token);
                    living.owners.insert(record.owner);
                }
                Err(_) => {
                    living.unreadable.insert(name);
                }
            }
        }
        Ok(living)
    }

    pub(super) fn knows(&self, token: &MachineToken) -> bool {
        self.tokens.contains(token)
    }

    pub(super) fn has_token(&self, resource: &Resource) -> bool {
        resource.token.as_ref().is_some_and(|token| self.knows(token))
    }

    /// Whether a record stands for `resource`: its machine's, or one that does not read and has its name. What
    /// machines share is held by any of them; `beside` is what else was found in the same place.
    pub(super) fn holds(&self, resource: &Resource, beside: &[Resource]) -> bool {
        if resource.kind == ResourceKind::Network && resource.token.is_none() {
            return beside.iter().any(|r| r.owner == resource.owner && r.token.is_some() && self.holds(r, &[]));
        }
        self.has_token(resource) || resource.machine.as_ref().is_some_and(|name| self.unreadable.contains(name))
    }
}

impl Core {
    /// Asks every place for all that carries our tags, whoever's it is. Places that cannot be asked are failures
    /// of the report.
    pub(super) async fn scan(&self, options: &GcOptions, report: &mut GcReport) -> Result<Vec<Scanned>> {
        let places = self.places(options, report).await?;
        let asked = places.into_values().map(|place| async move {
            let notify = self.talk.about("gc");
            let ask = async {
                let driver = self.drivers.get(&place.driver)?;
                let provider = driver.connect(&place.config, &place.secrets, notify).await?;
                let resources = provider.find(None).await?;
                Ok::<_, Error>(Scanned { driver: place.driver.clone(), provider, resources })
            };
            let place_name =
                self.drivers.get(&place.driver).map(|driver| driver.place(&place.config)).unwrap_or_default();
            let words = format!("{} {place_name}", place.driver).trim_end().to_owned();
            (words, ask.await)
        });
        let mut scanned = Vec::new();
        for (words, result) in futures::future::join_all(asked).await {
            match result {
                Ok(found) => {
                    report.places.push(words);
                    scanned.push(found);
                }
                Err(error) => report.failures.push(error.context(format!("{words} could not be looked at"))),
            }
        }
        Ok(scanned)
    }

    /// The places to ask, by driver and scope.
    async fn places(&self, options: &GcOptions, report: &mut GcReport) -> Result<BTreeMap<(String, String), Place>> {
        let mut known: Vec<Place> = Vec::new();
        match &options.driver {
            Some((name, values)) => {
                let driver = self.drivers.get(name)?;
                // Before its flags are asked for.
                match driver.places(&Value::Null, &[]) {
                    Err(error) if error.kind() == CloudKind::Unsupported => return Err(error.into()),
                    _ => {}
                }
                let configured = configured(driver.as_ref(), values)?;
                known.push(Place { driver: name.clone(), config: configured.config, secrets: configured.secrets });
            }
            None => {
                for name in self.store.names()? {
                    // What does not read says nothing of its place; the places that were written down do.
                    let Ok(record) = self.store.load(&name) else { continue };
                    // Nothing of it carries our tags, and nobody could be asked.
                    if record.lacks_driver() {
                        continue;
                    }
                    match self.store.load_secrets(&name) {
                        Ok(secrets) => known.push(Place { driver: record.driver, config: record.config, secrets }),
                        Err(error) => report.failures.push(error),
                    }
                }
                let remembered = self.store.places().unwrap_or_else(|error| {
                    report.failures.push(error);
                    Vec::new()
                });
                for place in remembered {
                    known.push(Place { driver: place.driver, config: place.config, secrets: Secrets::default() });
                }
            }
        }
        let mut places = BTreeMap::new();
        for place in known {
            let Ok(driver) = self.drivers.get(&place.driver) else {
                let what = format!("the driver \"{}\" is not in this build, so it was not asked", place.driver);
                report.failures.push(Error::new(rmachine_model::error::Kind::Failure, what));
                continue;
            };
            let regions = match self.regions_of(options, &place).await {
                Ok(regions) => regions,
                Err(error) => {
                    report.failures.push(error);
                    continue;
                }
            };
            match driver.places(&place.config, &regions) {
                Ok(configs) => {
                    for config in configs {
                        let key = (place.driver.clone(), driver.scope(&config));
                        let secrets = place.secrets.clone();
                        places.entry(key).or_insert(Place { driver: place.driver.clone(), config, secrets });
                    }
                }
                // A driver that makes nothing has nothing to look for.
                Err(error) if error.kind() == CloudKind::Unsupported && options.driver.is_none() => {}
                Err(error) if options.driver.is_some() => return Err(error.into()),
                Err(error) => report.failures.push(error.into()),
            }
        }
        Ok(places)
    }

    async fn regions_of(&self, options: &GcOptions, place: &Place) -> Result<Vec<String>> {
        if !options.all_regions {
            return Ok(options.regions.clone());
        }
        let driver = self.drivers.get(&place.driver)?;
        let provider = driver.connect(&place.config, &place.secrets, self.talk.about("gc")).await?;
        match provider.regions().await {
            Ok(regions) => Ok(regions),
            Err(error) if error.kind() == CloudKind::Unsupported => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
