//! The life of machines: the only caller of store, providers, SSH, bootstrap, certificates and engine.
//!
//! Every operation follows one pattern: open the machine (`open.rs`: its lock, its record, what was checked of it), do one
//! thing, save it before and after each side effect. Nothing but an opened machine saves a record.

mod access;
mod adopt;
mod allow;
mod archive;
mod audit;
mod authority;
mod builder;
mod certificates;
mod console;
mod contact;
mod copy;
mod create;
mod doctor;
pub mod env;
mod events;
mod expiry;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
mod gc;
mod host_key;
mod import;
mod interrupt;
mod journal;
mod list;
mod mount;
mod open;
mod peer;
mod power;
mod protect;
mod provision;
mod remove;
mod rename;
mod request;
mod rotate;
mod rotate_keys;
mod route;
mod share;
mod shell;
mod spec;
mod ssh_config;
mod stock;
mod swarm;
mod talk;
mod trust;
mod tunnel;
mod upgrade;

use std::{
    collections::HashMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{CreateRequest, Cx, Driver, MachineRef, Notify, Provider};
use rmachine_ssh::{Budgets, Keyring};
use rmachine_store::{Lock, Phase, Record, Store};

pub use self::{
    access::Access,
    adopt::AdoptOptions,
    archive::{ArchiveOptions, Exported, Opener, Sealer},
    audit::{AuditFilter, Audited},
    builder::Builder,
    certificates::{Regenerate, Regenerated},
    contact::FirstContact,
    copy::{Copied, CopyOptions, amount},
    create::Created,
    doctor::{Area, Checked},
    events::{Follower, MachineEvent},
    expiry::Expiry,
    gc::{Forgotten, GcOptions, GcReport, Orphan, Standing},
    import::{Consent, ImportOptions, ImportReport, Outcome, Taken, TakenAuthority},
    interrupt::Interrupt,
    list::{Filter, Listed, StateWords, Status},
    mount::MountOptions,
    remove::RemoveMode,
    rotate::Rotate,
    rotate_keys::{Others, Part, RotateKeys, RotatedKeys},
    route::SshRoute,
    share::{Given, Share, ShareState},
    spec::MachineSpec,
    talk::{Ask, Quiet, Talk},
    trust::CLIENT_LIFE,
    upgrade::Upgraded,
};

/// Port of the engine unless a driver's flag says otherwise (IANA: docker-s).
pub const ENGINE_PORT: u16 = 2376;

type Providers = HashMap<(String, String), Arc<dyn Provider>>;

/// Store, drivers and voice of one program run; made by [`Core::builder`].
pub struct Core {
    store: Store,
    drivers: Drivers,
    talk: Arc<dyn Talk>,
    program: Option<PathBuf>,
    interrupt: Interrupt,
    first_contact: FirstContact,
    state_words: StateWords,
    client_life: time::Duration,
    budgets: Budgets,
    followers: Vec<Arc<dyn Follower>>,
    /// Held while somebody is asked.
    asking: tokio::sync::Mutex<()>,
    keyring: Arc<Keyring>,
    providers: Mutex<Providers>,
}

impl Core {
    /// What a core on `store` is made of.
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The drivers.
    pub fn drivers(&self) -> &Drivers {
        &self.drivers
    }

    /// Where progress, warnings and questions go.
    pub fn talk(&self) -> &Arc<dyn Talk> {
        &self.talk
    }

    /// What ends the work of this core.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Changes what is done with hosts that others made and nobody vouches for.
    pub fn set_first_contact(&mut self, first_contact: FirstContact) {
        self.first_contact = first_contact;
    }

    /// The driver of `record`.
    fn driver(&self, record: &Record) -> Result<&Arc<dyn Driver>> {
        if record.lacks_driver() {
            let text = format!(
                "machine \"{}\" needs docker-machine's driver \"{}\", which rmachine does not have",
                record.name, record.driver
            );
            return Err(Error::new(Kind::Failure, text).hint(format!(
                "manage it with docker-machine, or where it was made; `rmachine env {0}` works all the same, and `rmachine rm -f {0}` forgets it here",
                record.name
            )));
        }
        self.drivers.get(&record.driver).map_err(|e| {
            e.with_kind(Kind::Failure).context(format!("machine \"{}\" needs a driver that is not here", record.name))
        })
    }

    /// The client for the account of `record`; machines of one account and place share one.
    async fn provider(&self, record: &Record) -> Result<Arc<dyn Provider>> {
        let driver = self.driver(record)?;
        // docker-machine's own record, of which this program has written nothing yet.
        if record.foreign.as_ref().is_some_and(|foreign| foreign.untouched) {
            let hint = format!(
                "`rmachine import --yes --machine {} {}` agrees with it",
                record.name,
                self.store.root().display()
            );
            self.check_endpoint(record, &hint)?;
        }
        let secrets = self.store.load_secrets(&record.name)?;
        let key = (record.driver.clone(), driver.scope(&record.config));
        if let Some(provider) = self.providers().get(&key) {
            return Ok(provider.clone());
        }
        let provider = driver.connect(&record.config, &secrets, self.talk.about(&record.name)).await?;
        Ok(self.providers().entry(key).or_insert(provider).clone())
    }

    fn providers(&self) -> std::sync::MutexGuard<'_, Providers> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a provider's call is given: it speaks by `notify`, and ends when the user interrupts.
    fn cx<'a>(&'a self, notify: &'a dyn Notify) -> Cx<'a> {
        Cx::new(notify).cancel(self.interrupt.token())
    }

    /// Takes the lock of machine `name` without blocking the runtime.
    async fn lock(&self, name: &str) -> Result<Lock> {
        let (store, notify, name) = (self.store.clone(), self.talk.about(name), name.to_owned());
        blocking(move || {
            store.lock_machine(&name, || notify.progress("waiting for another rmachine process to finish with it"))
        })
        .await
    }

    /// Takes the lock of machine `name`, or says that another process works on it.
    fn lock_at_once(&self, name: &str) -> Result<Lock> {
        self.store.try_lock_machine(name)
    }

    fn legacy_fields(&self, record: &Record) -> serde_json::Map<String, serde_json::Value> {
        let driver = self.drivers.get(&record.driver);
        driver
            .map(|d| d.legacy_fields(&record.config, record.plan.as_ref(), record.instance.as_ref()))
            .unwrap_or_default()
    }

    /// Refuses a machine whose create or rm did not end.
    fn require_ready(&self, record: &Record) -> Result<()> {
        let name = &record.name;
        match record.phase {
            Phase::Ready => Ok(()),
            Phase::Removing => Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is being removed"))
                .hint(format!("finish it with `rmachine rm -y {name}`"))),
            Phase::Reserved | Phase::Creating | Phase::Booting | Phase::Provisioning => {
                Err(Error::new(Kind::Conflict, format!("the create of machine \"{name}\" did not end")).hint(format!(
                    "go on with it by the same `rmachine create … {name}`, or remove what it left with `rmachine rm -y {name}`"
                )))
            }
        }
    }
}

/// The machine of `record` as provider calls name it; `unanswered` is for [`Provider::destroy`].
fn machine_ref<'a>(record: &'a Record, unanswered: Option<&'a CreateRequest>) -> MachineRef<'a> {
    MachineRef {
        name: &record.name,
        owner: &record.owner,
        token: &record.token,
        instance: record.instance.as_ref(),
        plan: record.plan.as_ref(),
        engine_port: record.engine_port,
        engine_through_ssh: record.tunnel_port.is_some(),
        made: &record.resources,
        intents: &record.intents,
        by_id: record.imported,
        unanswered,
    }
}

/// Runs `work` on a thread where blocking is fine.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(Kind::Failure, "a worker thread ended early").source(e))?
}

/// Runs `work` for every name at once and answers the results in the order of the names; hints name the machine.
pub async fn for_each<'a, T, F: Future<Output = Result<T>>>(
    names: &'a [String],
    work: impl Fn(&'a str) -> F,
) -> Vec<(&'a str, Result<T>)> {
    let named = |name: &'a str| {
        let work = work(name);
        async move { work.await.map_err(|error| error.about(name)) }
    };
    let results = futures::future::join_all(names.iter().map(|name| named(name))).await;
    names.iter().map(String::as_str).zip(results).collect()
}

/// What a provider has to say, under another voice; keeps `Arc` out of signatures.
fn voice(notify: &Arc<dyn Notify>) -> &dyn Notify {
    notify.as_ref()
}
