//! Tunnels whose process, or whose starter, dies at each of its side effects: the next one opens, and one can be ended.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    child,
    share::assert_among,
    world::{KILL, World, each, finish},
};

const CREATE: &[&str] = &["create", "--driver", "fake", "--ssh-tunnel", "m"];
const OPEN: &[&str] = &["tunnel", "m"];
const SERVE: &[&str] = &["tunnel", "--foreground", "m"];
const CLOSE: &[&str] = &["tunnel", "--stop", "m"];

fn created() -> World {
    let world = World::of_hosts();
    world.run(CREATE).succeeded("create");
    world
}

fn listens(world: &World) -> bool {
    TcpStream::connect(("127.0.0.1", world.store().load("m").unwrap().tunnel_port.unwrap())).is_ok()
}

/// It opens, leads to the engine, is one process, and is gone when it is ended.
#[track_caller]
fn assert_opens_and_ends(world: &World, what: &str) {
    world.run(OPEN).succeeded(what);
    assert!(listens(world), "{what}");
    world.assert_usable(what);
    let serving = world.processes();
    assert_eq!(serving.len(), 1, "{what}: {serving:?}");
    assert_closes(world, what);
}

/// Ended, nothing is left of it.
#[track_caller]
fn assert_closes(world: &World, what: &str) {
    world.run(CLOSE).succeeded(what);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !world.processes().is_empty() {
        assert!(Instant::now() < deadline, "{what}: {:?} stay", world.processes());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!listens(world), "{what}");
    assert!(!world.store().machine_file("m", rmachine::store::file::TUNNEL).exists(), "{what}");
    world.assert_usable(what);
    world.assert_tidy(what);
}

/// The command that starts the tunnel dies; what it has started may go on.
pub fn starter_killed_then_repeated() {
    let world = created();
    let points = world.points(OPEN);
    assert_closes(&world, "the tunnel that counts");
    assert_among(&["after mark tunnel.log", "after start tunnel"], &points);
    each(&points, |point| {
        let world = created();
        world.run_with(OPEN, point, KILL).was_killed(point);
        assert_opens_and_ends(&world, point);
    });
    each(&points, |point| {
        let world = created();
        world.run_with(OPEN, point, KILL).was_killed(point);
        // What it had just started is no tunnel before it has the lock.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !world.processes().is_empty() && !world.store().is_tunnel_locked("m").unwrap() {
            assert!(Instant::now() < deadline, "{point}");
        }
        assert_closes(&world, point);
        assert_opens_and_ends(&world, point);
    });
}

/// The process that serves it dies: whoever waits for it says so.
pub fn killed_then_repeated() {
    let world = created();
    let trace = world.path("trace");
    let mut command = world.command(SERVE);
    command.env(child::TRACE, &trace).env(child::OF, "tunnel").stdout(Stdio::piped());
    let mut serving = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("tcp://127.0.0.1:"), "{line}");
    let points: Vec<String> = std::fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect();
    world.run(CLOSE).succeeded("the end of the tunnel that counts");
    finish(serving).succeeded("the tunnel that counts");
    assert_among(&["after lock tunnel-m.lock", "after log in as fake", "amid mark tunnel"], &points);
    each(&points, |point| {
        let world = created();
        let mut command = world.command(OPEN);
        let starter = command.env(child::AT, point).env(child::SIGNAL, KILL).env(child::OF, "tunnel").spawn().unwrap();
        let started = finish(starter);
        assert_eq!(started.status.code(), Some(7), "{point}: {started:?}");
        assert!(started.stderr.contains("Error: the tunnel to machine \"m\" does not open"), "{point}: {started:?}");
        assert!(world.processes().is_empty() && !listens(&world), "{point}");
        assert_opens_and_ends(&world, point);
    });
}

pub fn stop_killed_then_repeated() {
    let open = || {
        let world = created();
        world.run(OPEN).succeeded("tunnel");
        world
    };
    let points = open().points(CLOSE);
    assert_among(&["before delete tunnel"], &points);
    each(&points, |point| {
        let world = open();
        world.run_with(CLOSE, point, KILL).was_killed(point);
        assert_closes(&world, point);
        assert_opens_and_ends(&world, point);
    });
}
