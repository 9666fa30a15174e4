//! Tunnels whose process, or whose starter, dies at each of its side effects: the next one opens, and one can be ended.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    child,
    share::assert_among,
    world::{KILL, STOP, World, each, finish},
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
    // One that a killed command had started may have come second; it ends by itself.
    wait_until(what, || world.processes().len() == 1);
    assert_closes(world, what);
}

/// Ended, nothing is left of it.
#[track_caller]
fn assert_closes(world: &World, what: &str) {
    world.run(CLOSE).succeeded(what);
    wait_until(what, || world.processes().is_empty());
    assert!(!listens(world), "{what}");
    assert!(!world.store().machine_file("m", rmachine_store::file::TUNNEL).exists(), "{what}");
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
        wait_until(point, || world.processes().is_empty() || world.store().is_tunnel_locked("m").unwrap());
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

/// The process of a tunnel that runs is killed: the next command opens it at the same place.
pub fn killed_while_it_runs() {
    let world = created();
    world.run(OPEN).succeeded("tunnel");
    let port = world.store().load("m").unwrap().tunnel_port;
    let serving = world.processes();
    kill_process(serving[0], Signal::KILL).unwrap();
    wait_until("it is gone", || !listens(&world));
    assert!(world.store().machine_file("m", rmachine_store::file::TUNNEL).exists(), "nobody has cleared up");
    let env = world.run(&["env", "m"]).succeeded("env");
    assert!(env.stderr.contains("opening the tunnel"), "{env:?}");
    assert_eq!(world.store().load("m").unwrap().tunnel_port, port);
    assert_opens_and_ends(&world, "after the kill");
}

/// One that has its lock and is not open yet is waited for, and ended.
pub fn ended_while_it_opens() {
    let world = created();
    let mut command = world.command(OPEN);
    command.env(child::AT, "1. before mark tunnel").env(child::SIGNAL, STOP).env(child::OF, "tunnel");
    let starter = command.spawn().unwrap();
    let stopped = |id: &Pid| {
        std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_pid())).is_ok_and(|line| line.contains(") T "))
    };
    wait_until("it has come to its mark", || world.processes().iter().any(stopped));
    let serving = world.processes()[0];
    let mut closing = world.command(CLOSE).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(closing.try_wait().unwrap().is_none(), "it waits");
    kill_process(serving, Signal::CONT).unwrap();
    assert!(finish(closing).succeeded("the end").stderr.contains("is closed"));
    finish(starter);
    assert_closes(&world, "after its end");
    assert_opens_and_ends(&world, "after its end");
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Another user's connections are not carried, and of the user's own 64 at once.
pub fn connections_have_an_owner_and_a_number() {
    const NOBODY: u32 = 65534;
    let world = created();
    world.run(OPEN).succeeded("open");
    let port = world.store().load("m").unwrap().tunnel_port.unwrap();
    let mut other = Command::new("bash");
    other.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port} && read -t 20 -u 3; echo $?")]).uid(NOBODY);
    let output = other.stdin(Stdio::null()).output().unwrap();
    // bash(1), read: 1 at the end of the file, more than 128 after the time.
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "it is closed at once: {output:?}");
    let open: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let log = world.store().machine_file("m", rmachine_store::file::TUNNEL_LOG);
    wait_until("64 are open", || std::fs::read_to_string(&log).unwrap().contains("64 connections are open at once"));
    drop(open);
    world.assert_usable("after them");
    assert_closes(&world, "in the end");
}
