//! A store in a temporary directory, an account in memory, and a core between them.

use std::sync::{Arc, Mutex};

use rmachine_core::{Builder, Core, MachineSpec, Talk};
use rmachine_model::{drivers::Drivers, error::Error};
use rmachine_provider_api::{Capabilities, Notify, Value, Values};
use rmachine_provider_fake::{Account, Effect, FakeDriver, Operation, When};
use rmachine_store::{Record, Store};
use tempfile::TempDir;

/// One user with one store and one account.
pub struct World {
    pub directory: TempDir,
    pub account: Account,
    pub said: Arc<Said>,
}

/// What was said, in order.
#[derive(Debug, Default)]
pub struct Said(Mutex<Vec<String>>);

impl Said {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Voice(String, Arc<Said>);

impl Notify for Voice {
    fn progress(&self, message: &str) {
        self.1.0.lock().unwrap().push(format!("{}: {message}", self.0));
    }

    fn warn(&self, message: &str) {
        self.1.0.lock().unwrap().push(format!("{}: warning: {message}", self.0));
    }
}

struct Listener(Arc<Said>);

impl Talk for Listener {
    fn about(&self, machine: &str) -> Arc<dyn Notify> {
        Arc::new(Voice(machine.to_owned(), self.0.clone()))
    }

    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }
}

impl World {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), account: Account::new(), said: Arc::default() }
    }

    pub fn store(&self) -> Store {
        Store::at(self.directory.path().join("store"))
    }

    /// Tells the scan of `tests/run` that secrets will be where rmachine does not put them.
    pub fn spoil(&self) {
        std::fs::write(self.directory.path().join("spoiled-on-purpose"), "by a test\n").unwrap();
    }

    /// A program run: a new core on the same store and account.
    pub fn core(&self) -> Core {
        self.core_with(Capabilities { ssh: false, engine: false, power: true, ingress: true })
    }

    pub fn core_with(&self, capabilities: Capabilities) -> Core {
        self.builder_with(capabilities).build()
    }

    /// What a core of it is made of.
    pub fn builder_with(&self, capabilities: Capabilities) -> Builder {
        let fake = FakeDriver::with(self.account.clone(), capabilities);
        let drivers: Vec<Arc<dyn rmachine_provider_api::Driver>> = vec![
            Arc::new(fake),
            Arc::new(rmachine_provider_none::NoneDriver::default()),
            Arc::new(rmachine_provider_generic::Generic),
        ];
        Core::builder(self.store()).drivers(Drivers::of(drivers)).talk(Arc::new(Listener(self.said.clone())))
    }

    pub fn record(&self, name: &str) -> Record {
        self.store().load(name).unwrap()
    }

    /// Nothing in the account, no record, nothing else in the machine's place.
    #[track_caller]
    pub fn assert_empty(&self, what: &str) {
        assert!(self.account.held().is_empty(), "{what}: the account holds {:?}", self.account.held());
        assert_eq!(self.store().names().unwrap(), Vec::<String>::new(), "{what}: the store has machines");
        let machines = self.store().root().join("machines");
        let left: Vec<_> = std::fs::read_dir(machines).into_iter().flatten().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "{what}: {left:?} is left");
    }
}

/// `create --driver fake NAME`.
pub fn options(name: &str) -> MachineSpec {
    with(name, &[])
}

/// `create --driver fake NAME` with these flags.
pub fn with(name: &str, flags: &[(&'static str, Value)]) -> MachineSpec {
    let mut values = Values::default();
    for (flag, value) in flags {
        values.set(flag, value.clone());
    }
    MachineSpec { flags: values, ..MachineSpec::new(name, "fake") }
}

/// `create --driver none --url URL NAME`.
pub fn none(name: &str, url: &str) -> MachineSpec {
    MachineSpec { driver: "none".to_owned(), ..with(name, &[("url", Value::Text(url.to_owned()))]) }
}

/// Runs a create that dies at this request.
pub async fn killed_at(world: &World, operation: Operation, call: usize, when: When) {
    let reached = Arc::new(tokio::sync::Notify::new());
    let tell = reached.clone();
    world.account.script(operation, call, when, Effect::hang(move || tell.notify_one()));
    let core = world.core();
    tokio::select! {
        result = core.create(options("m")) => panic!("{operation:?} hangs, yet {result:?}"),
        () = reached.notified() => {}
    }
    world.account.calm();
}

/// The whole text of an error, as one line each.
pub fn text(error: &Error) -> String {
    error.report()
}
