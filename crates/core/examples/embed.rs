//! A program that has the core in it: it makes, watches and removes a machine of the fake cloud. It speaks with its own
//! voice, and no terminal is needed.
//!
//! ```sh
//! cargo run -p rmachine-core --example embed
//! ```

#![allow(clippy::print_stdout, reason = "it shows what is said")]

use std::{sync::Arc, time::Duration};

use rmachine_core::{Core, Filter, Follower, MachineEvent, MachineSpec, RemoveMode, Talk};
use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{Capabilities, Notify, StopMode};
use rmachine_provider_fake::{Account, FakeDriver};
use rmachine_store::Store;

/// Where what is said of one machine goes: here to a log, in your program wherever you like.
struct Log(String);

impl Notify for Log {
    fn progress(&self, message: &str) {
        println!("[{}] {message}", self.0);
    }

    fn warn(&self, message: &str) {
        println!("[{}] warning: {message}", self.0);
    }
}

struct Logs;

impl Talk for Logs {
    fn about(&self, machine: &str) -> Arc<dyn Notify> {
        Arc::new(Log(machine.to_owned()))
    }

    /// Nobody sits there: what needs a yes is refused.
    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }
}

/// Is told what has become of machines, once it is saved.
struct Watch;

impl Follower for Watch {
    fn follow(&self, machine: &str, event: &MachineEvent) {
        println!("[{machine}] event: {event:?}");
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let failed = |e| Error::new(Kind::Failure, "cannot make a directory for the store").source(e);
    let directory = tempfile::tempdir().map_err(failed)?;
    let account = Account::new();
    // A cloud whose machines have no sshd and no engine; with those of a real driver, `create` returns when docker works.
    let capabilities = Capabilities { ssh: false, engine: false, power: true, ingress: true };
    let core = Core::builder(Store::at(directory.path()))
        .drivers(Drivers::of(vec![Arc::new(FakeDriver::with(account.clone(), capabilities))]))
        .talk(Arc::new(Logs))
        .follower(Arc::new(Watch))
        .build();

    core.create(MachineSpec::new("build-1", "fake")).await?;
    for machine in core.list(&Filter::default(), Duration::from_secs(5)).await? {
        println!("[{}] {:?} at {}", machine.name, machine.state, machine.url.unwrap_or_default());
    }
    core.stop("build-1", StopMode::Graceful).await?;
    core.start("build-1").await?;
    core.remove("build-1", RemoveMode::Normal).await?;
    println!("the account holds {:?}", account.held());
    Ok(())
}
