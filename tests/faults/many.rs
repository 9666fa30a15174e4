//! Many processes at once.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
};

use rmachine_provider_api::MachineState;
use rmachine_store::Phase;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::{
    one_ca,
    world::{CREATE, REMOVE, STOP, World, finish},
};

pub fn fifty_first_creates_at_once() {
    let world = World::of_api();
    let names: Vec<String> = (1..=50).map(|n| format!("m{n}")).collect();
    let start = |name: &String| world.command(&["create", "-d", "fake", name]).spawn().unwrap();
    let children: Vec<Child> = names.iter().map(start).collect();
    for (name, child) in names.iter().zip(children) {
        finish(child).succeeded(name);
    }
    one_ca::assert(&world.store(), &names);
    let owner = world.store().owner().unwrap().unwrap();
    for name in &names {
        let record = world.store().load(name).unwrap();
        assert_eq!((record.phase, &record.owner), (Phase::Ready, &owner), "{name}");
    }
    let made = world.made();
    assert_eq!(made.len(), 3 * names.len());
    assert!(made.iter().all(|held| held.resource.owner.as_ref() == Some(&owner)));
    world.assert_tidy("after all creates");
    world.run(&["rm", "-y", "m1", "m50"]).succeeded("rm of two");
    assert_eq!(world.made().len(), 3 * (names.len() - 2), "the others stay");
}

/// `first` stays in the middle, with the machine's lock; `second` says that it waits, and goes on when `first` has
/// ended. Answers how both ended.
fn one_after_the_other(world: &World, first: (&[&str], &str), second: &[&str]) -> [(Option<i32>, String); 2] {
    let mut holder = world.start_with(first.0, first.1, STOP);
    let id = Pid::from_child(&holder);
    let (_, status) = waitpid(Some(id), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{:?} has no {:?}", first.0, first.1);
    let mut waiter = world.command(second).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(waiter.stderr.take().unwrap());
    let mut words = String::new();
    while !words.contains("waiting for another rmachine process") {
        assert!(said.read_line(&mut words).unwrap() > 0, "{second:?} does not wait: {words}");
    }
    assert!(waiter.try_wait().unwrap().is_none());
    kill_process(id, Signal::CONT).unwrap();
    let code = holder.wait().unwrap().code();
    let mut first_words = String::new();
    holder.stderr.take().unwrap().read_to_string(&mut first_words).unwrap();
    said.read_to_string(&mut words).unwrap();
    [(code, first_words), (waiter.wait().unwrap().code(), words)]
}

pub fn rm_waits_for_start() {
    let world = World::of_api();
    world.run(CREATE).succeeded("create");
    world.run(&["stop", "m"]).succeeded("stop");
    let [start, rm] = one_after_the_other(&world, (&["start", "m"], "1. before StartInstance"), REMOVE);
    assert_eq!((start.0, rm.0), (Some(0), Some(0)), "{start:?} {rm:?}");
    world.assert_as_before("rm after start");
}

pub fn start_waits_for_rm() {
    let world = World::of_api();
    world.run(CREATE).succeeded("create");
    world.run(&["stop", "m"]).succeeded("stop");
    let [rm, start] = one_after_the_other(&world, (REMOVE, "1. before TerminateInstance"), &["start", "m"]);
    assert_eq!((rm.0, start.0), (Some(0), Some(4)), "{rm:?} {start:?}");
    assert!(start.1.contains("machine \"m\" does not exist"), "{start:?}");
    assert!(world.made().iter().all(|held| held.state != MachineState::Running));
    world.assert_as_before("start after rm");
}
