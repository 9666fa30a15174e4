//! start, stop and regenerate-certs that die at each of their side effects: a repeat completes.

use rmachine_provider_api::{MachineState, ResourceKind};

use crate::world::{CREATE, KILL, World, each};

const START: &[&str] = &["start", "m"];
const STOP: &[&str] = &["stop", "m"];
const REGENERATE: &[&str] = &["regenerate-certs", "--force", "m"];

fn created() -> World {
    let world = World::of_hosts();
    world.run(CREATE).succeeded("create");
    world
}

fn state(world: &World) -> MachineState {
    world.made().iter().find(|held| held.resource.kind == ResourceKind::Instance).unwrap().state
}

fn assert_among(kinds: &[&str], points: &[String]) {
    for kind in kinds {
        assert!(points.iter().any(|point| point.contains(kind)), "no {kind:?} in {points:#?}");
    }
}

pub fn stop_killed_then_repeated() {
    let points = created().points(STOP);
    assert_among(&["before StopInstance", "after StopInstance", "after write config.json"], &points);
    each(&points, |point| {
        let world = created();
        world.run_with(STOP, point, KILL).was_killed(point);
        world.run(STOP).succeeded(point);
        assert_eq!(state(&world), MachineState::Stopped, "{point}");
        world.run(START).succeeded(point);
        world.assert_usable(point);
        world.assert_tidy(point);
    });
}

pub fn start_killed_then_repeated() {
    let stopped = || {
        let world = created();
        world.run(STOP).succeeded("stop");
        world
    };
    let points = stopped().points(START);
    let kinds = ["after StartInstance", "after log in as", "amid run sudo -n sh -s", "before write server.pem"];
    assert_among(&kinds, &points);
    each(&points, |point| {
        let world = stopped();
        world.run_with(START, point, KILL).was_killed(point);
        world.run(START).succeeded(point);
        assert_eq!(state(&world), MachineState::Running, "{point}");
        world.assert_usable(point);
        world.assert_tidy(point);
    });
}

pub fn regenerate_killed_then_repeated() {
    let points = created().points(REGENERATE);
    assert_among(&["after run sudo -n sh -s", "amid write server-key.pem", "after write server.pem"], &points);
    each(&points, |point| {
        let world = created();
        world.run_with(REGENERATE, point, KILL).was_killed(point);
        world.run(REGENERATE).succeeded(point);
        world.assert_usable(point);
        world.assert_tidy(point);
    });
}
