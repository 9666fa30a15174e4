//! Programs that embed the core may run its work on any thread of theirs.

use std::time::Duration;

use rmachine_core::{
    CopyOptions, Core, Filter, GcOptions, ImportOptions, Regenerate, RemoveMode, Rotate, RotateKeys, SshRoute,
};
use rmachine_provider_api::{MachineState, StopMode};

use crate::support::{World, options};

fn send<T: Send>(_: T) {}

/// Nothing of it is run: a future does nothing until it is polled.
#[test]
fn the_work_of_a_core_may_move_between_threads() {
    let core: Core = World::new().core();
    let core = &core;
    let second = Duration::from_secs(1);
    let copy = CopyOptions { sources: Vec::new(), destination: "m:".into(), recursive: false, progress: None };
    send(core.create(options("m")));
    send(core.remove("m", RemoveMode::Normal));
    send(core.list(&Filter::default(), second));
    send(core.status(&[], second));
    send(core.doctor(&[], second));
    send(core.start("m"));
    send(core.stop("m", StopMode::Graceful));
    send(core.restart("m"));
    send(core.provision("m"));
    send(core.upgrade("m"));
    send(core.regenerate_certificates("m", Regenerate::default()));
    send(core.rotate_ca(Rotate::Finish, &[]));
    send(core.rotate_keys("m", &RotateKeys::default()));
    send(core.allow("m", &[]));
    send(core.protect("m", true));
    send(core.rename("m", "n"));
    send(core.gc(&GcOptions::default()));
    send(core.holdings("m"));
    send(core.ssh("m"));
    send(core.ssh_config(&[]));
    send(core.import(&ImportOptions::default()));
    send(core.serve_tunnel("m", |_| Ok(())));
    send(core.ensure_tunnel("m"));
    send(core.end_tunnel("m"));
    send(core.unshare("m", None));
    send(core.start_swarm("m"));
    send(core.is_in_state("m", MachineState::Running));
    send(core.follow_ca("m"));
    send(core.follow_name("m"));
    send(core.reroute("m", &SshRoute::default()));
    send(core.copy(&copy));
    send(core.copy_delta(&copy));
}
