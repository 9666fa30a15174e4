//! `gc`: what carries rmachine's tags and has no record any more.
//!
//! The clouds are asked first and the records read after that: a create writes its record before its
//! first call, so whatever is found here without a record has lost it.

mod scan;
mod tombs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::{MachineRef, MachineState, MachineToken, Owner, Provider, Resource, ResourceKind, Values};
use rmachine_store::{Record, Store, audit::Event};
use serde::Serialize;
use time::OffsetDateTime;

use self::scan::{Living, Scanned};
use super::{Core, ENGINE_PORT, voice};

/// What `gc` is asked for.
#[derive(Debug, Clone, Default)]
pub struct GcOptions {
    /// Where to look: this driver with these flags; else wherever the store's machines are or were.
    pub driver: Option<(String, Values)>,
    /// These regions instead of the place's own.
    pub regions: Vec<String>,
    /// All regions of the account.
    pub all_regions: bool,
    /// Another store, whose things are to be deleted.
    pub owner: Option<Owner>,
    /// Leave alone what is younger.
    pub older_than: Option<Duration>,
    /// Delete; else only look.
    pub delete: bool,
}

/// Why something is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Of this store, and no record knows it.
    Orphan,
    /// Of the store that `--owner` names.
    Named,
    /// Of another store: never touched.
    Foreign,
    /// Younger than asked for.
    Young,
}

impl Standing {
    /// Whether `--yes` deletes it.
    pub fn is_deleted(self) -> bool {
        matches!(self, Self::Orphan | Self::Named)
    }
}

/// One thing without a record.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// Name of the driver.
    pub driver: String,
    /// Why it is listed.
    pub standing: Standing,
    /// Seconds since it was made, where that is known.
    pub age_seconds: Option<i64>,
    /// What it is.
    #[serde(flatten)]
    pub resource: Resource,
}

/// A machine that `rm -f` forgot.
#[derive(Debug, Clone, Serialize)]
pub struct Forgotten {
    /// Its name.
    pub machine: String,
    /// Directory of what was kept of it.
    pub directory: std::path::PathBuf,
}

/// What `gc` found, and what became of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcReport {
    /// The store's own id.
    pub owner: Option<Owner>,
    /// Where it looked, in the words of the drivers.
    pub places: Vec<String>,
    /// Everything without a record.
    pub found: Vec<Orphan>,
    /// Machines that were forgotten by force.
    pub forgotten: Vec<Forgotten>,
    /// How many things were deleted.
    pub deleted: usize,
    /// What could not be looked at or deleted.
    #[serde(skip)]
    pub failures: Vec<Error>,
}

impl GcReport {
    /// US dollars a month of what would be deleted, and whether all prices are known.
    pub fn monthly_usd(&self) -> (f64, bool) {
        let costs = self.found.iter().filter(|o| o.standing.is_deleted()).map(|o| o.resource.monthly_usd);
        costs.fold((0.0, true), |(sum, known), usd| (sum + usd.unwrap_or(0.0), known && usd.is_some()))
    }

    /// An error when something failed; the causes were reported one by one.
    ///
    /// # Errors
    ///
    /// [`Kind::Provider`], or the kind of the one failure.
    pub fn conclude(&mut self) -> Result<()> {
        let Some(last) = self.failures.pop() else { return Ok(()) };
        Err(last)
    }
}

impl Core {
    /// Looks for what carries our tags and has no record; with `delete`, deletes what is ours to delete.
    ///
    /// # Errors
    ///
    /// When there is no place to look at, or the store cannot be read. A place that cannot be looked at and a
    /// thing that would not go are failures of the report, and hide nothing else.
    pub async fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        let own = self.store.owner()?;
        let mut report = GcReport { owner: own.clone(), ..GcReport::default() };
        let notify = self.talk.about("gc");
        notify.progress("looking for what was left behind");
        let scanned = self.scan(options, &mut report).await?;
        if scanned.is_empty() && report.failures.is_empty() {
            return Err(nowhere(&self.store));
        }
        let living = Living::of(&self.store)?;
        let now = OffsetDateTime::now_utc();
        let mut doomed: BTreeMap<(usize, Owner, MachineToken), String> = BTreeMap::new();
        let mut seen: BTreeSet<(String, ResourceKind, String)> = BTreeSet::new();
        for (index, place) in scanned.iter().enumerate() {
            for resource in &place.resources {
                if living.holds(resource, &place.resources)
                    || !seen.insert((place.driver.clone(), resource.kind, resource.id.clone()))
                {
                    continue;
                }
                let standing = standing(options, own.as_ref(), resource, now);
                if standing == Standing::Foreign && options.owner.is_some() {
                    continue;
                }
                if let (true, Some(owner)) = (standing.is_deleted(), &resource.owner) {
                    let Some(token) = token_of(resource) else {
                        let text = format!("{} carries no token that rmachine gave it, so it stays", resource.id);
                        report.failures.push(Error::new(Kind::Provider, text).hint("delete it by hand"));
                        continue;
                    };
                    let name = resource.machine.clone().unwrap_or_else(|| token.to_string());
                    doomed.insert((index, owner.clone(), token), name);
                }
                report.found.push(Orphan {
                    driver: place.driver.clone(),
                    standing,
                    age_seconds: resource.created.map(|at| (now - at).whole_seconds()),
                    resource: resource.clone(),
                });
            }
        }
        report.found.sort_by(|a, b| {
            let key = |o: &Orphan| (o.standing, o.resource.owner.clone(), o.resource.machine.clone(), o.resource.kind);
            key(a).cmp(&key(b))
        });
        // A machine one of whose things is too young is left alone as a whole.
        doomed.retain(|(_, _, token), _| {
            !report.found.iter().any(|o| o.standing == Standing::Young && o.resource.token.as_ref() == Some(token))
        });
        if options.delete {
            self.delete_all(&scanned, doomed, &mut report).await;
        }
        // What a tombstone knows is not bound to regions and ages.
        let everywhere = options.regions.is_empty() && !options.all_regions && options.older_than.is_none();
        if options.driver.is_none() && options.owner.is_none() && everywhere {
            self.settle_tombstones(&living, options.delete, &mut report).await?;
        }
        Ok(report)
    }

    async fn delete_all(
        &self,
        scanned: &[Scanned],
        doomed: BTreeMap<(usize, Owner, MachineToken), String>,
        report: &mut GcReport,
    ) {
        let work = doomed.iter().map(|((index, owner, token), name)| async move {
            let notify = self.talk.about(name);
            let machine = bare(name, owner, token);
            // It may have been adopted meanwhile.
            if Living::of(&self.store)?.knows(token) {
                return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" has a record by now, so it stays")));
            }
            let of_it = scanned[*index].resources.iter().filter(|found| found.token.as_ref() == Some(token));
            let event = Event::Collected {
                driver: scanned[*index].driver.clone(),
                owner: owner.to_string(),
                token: token.to_string(),
                resources: of_it.map(|found| found.id.clone()).collect(),
            };
            self.audit(name, &[event])?;
            match scanned[*index].provider.destroy(&machine, &self.cx(voice(&notify))).await {
                Ok(()) => Ok(token),
                Err(error) => Err(Error::from(error)
                    .context(format!("what is left of machine \"{name}\" could not be deleted"))
                    .hint("repeat `rmachine gc`")),
            }
        });
        for result in futures::future::join_all(work).await {
            match result {
                Ok(token) => {
                    let of_token = |o: &&Orphan| {
                        o.standing.is_deleted()
                            && o.resource.token.as_ref().map_or("", |t| t.as_str()) == token.as_str()
                    };
                    report.deleted += report.found.iter().filter(of_token).count();
                }
                Err(error) => report.failures.push(error),
            }
        }
    }

    /// What the cloud holds for machine `name`, by its tags; for a look before `rm`.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Provider`].
    pub async fn holdings(&self, name: &str) -> Result<Vec<Resource>> {
        let record = self.store.load(name)?;
        if !record.phase.may_hold_resources() {
            return Ok(Vec::new());
        }
        let provider = self.provider(&record).await?;
        if record.imported {
            return untagged(&record, provider.as_ref()).await;
        }
        let found = provider.find(Some(&record.owner)).await?;
        Ok(found.into_iter().filter(|resource| resource.token.as_ref() == Some(&record.token)).collect())
    }

    /// Deletes all that carries our tag and the name of a machine whose record does not read.
    pub(super) async fn destroy_by_name(&self, name: &str) -> Result<usize> {
        let mut report = GcReport::default();
        let scanned = self.scan(&GcOptions::default(), &mut report).await?;
        if let Some(error) = report.failures.pop() {
            return Err(error);
        }
        let own = self.store.owner()?;
        let tokens = Living::of(&self.store)?;
        let notify = self.talk.about(name);
        let mut deleted = 0;
        for place in &scanned {
            let mine = |r: &&Resource| {
                r.owner.is_some() && r.owner == own && r.machine.as_deref() == Some(name) && !tokens.has_token(r)
            };
            let found: BTreeSet<&MachineToken> =
                place.resources.iter().filter(mine).filter_map(|r| r.token.as_ref()).collect();
            for token in found {
                let Some(owner) = &own else { continue };
                place.provider.destroy(&bare(name, owner, token), &self.cx(voice(&notify))).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

/// What docker-machine made for `record`, which has no tags: the instance where it is there still, and what the record names.
async fn untagged(record: &Record, provider: &dyn Provider) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    if let Some(instance) = &record.instance {
        let observed = provider.observe(std::slice::from_ref(&instance.id)).await?;
        let alive = |state| !matches!(state, MachineState::Absent | MachineState::Terminated | MachineState::Unknown);
        found.extend(observed.iter().filter(|seen| alive(seen.state)).map(|seen| Resource {
            kind: ResourceKind::Instance,
            id: seen.id.to_string(),
            owner: None,
            token: None,
            machine: Some(record.name.clone()),
            created: None,
            location: None,
            detail: Some("made by docker-machine".to_owned()),
            monthly_usd: None,
        }));
    }
    found.extend(record.resources.iter().cloned());
    Ok(found)
}

/// The token of a thing; what machines share has none, and gets one that no machine has.
fn token_of(resource: &Resource) -> Option<MachineToken> {
    let shared = || (resource.kind == ResourceKind::Network).then(|| MachineToken::from_bits(0));
    resource.token.clone().or_else(shared)
}

/// A machine of which only the tags are known.
fn bare<'a>(name: &'a str, owner: &'a Owner, token: &'a MachineToken) -> MachineRef<'a> {
    MachineRef {
        name,
        owner,
        token,
        instance: None,
        plan: None,
        engine_port: ENGINE_PORT,
        engine_through_ssh: false,
        made: &[],
        intents: &[],
        by_id: false,
        unanswered: None,
    }
}

fn standing(options: &GcOptions, own: Option<&Owner>, resource: &Resource, now: OffsetDateTime) -> Standing {
    let owner = resource.owner.as_ref();
    let standing = match &options.owner {
        Some(named) if owner == Some(named) => Standing::Named,
        None if own.is_some() && owner == own => Standing::Orphan,
        _ => return Standing::Foreign,
    };
    match (options.older_than, resource.created) {
        (Some(least), Some(created)) if now - created < least => Standing::Young,
        _ => standing,
    }
}

type Client = Arc<dyn Provider>;

/// There is no place to look.
fn nowhere(store: &Store) -> Error {
    Error::new(
        Kind::Usage,
        format!("the store {} has made no machine yet, so there is no place to look", store.root().display()),
    )
    .hint("name one: `rmachine gc --driver amazonec2 --amazonec2-region us-east-1`")
}
