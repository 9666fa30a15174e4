//! `create` killed while it works on a real host; the commands on a machine killed in the middle and repeated.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    account::When,
    crowd::{check_client, contents_while},
    report::{Report, full},
    running::{Running, Seen},
    support::{PREBAKED, Store, lab, resources},
};

/// How long any command on a host may take, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The account of the lab with hosts, its faults and its calls belong to one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a create of an image with an engine.
pub fn create(store: &Store, more: &[&str], name: &str) -> Running {
    let mut command = store.command("rmachine");
    command.args(["create", "--driver", "amazonec2", "--amazonec2-ami-name", PREBAKED]).args(more).arg(name);
    Running::start(command)
}

/// Starts `rmachine ARGUMENTS`.
pub fn start(store: &Store, arguments: &[&str]) -> Running {
    let mut command = store.command("rmachine");
    command.args(arguments);
    Running::start(command)
}

/// The stock client reaches the machine's engine over TLS.
#[track_caller]
pub fn assert_usable(store: &Store, name: &str) {
    let version = store.sh(name, "docker version --format '{{.Server.Version}}'").ok();
    assert!(!version.is_empty());
}

/// Moments on the host's side of a create, seen from outside.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A line of progress.
    Said(&'static str),
    /// Some time after a line of progress, in milliseconds.
    After(&'static str, u64),
    /// So many host keys are pinned: two while the seed is being replaced by the host's own.
    HostKeys(usize),
}

const MOMENTS: [Moment; 5] = [
    Moment::Said("waiting for SSH"),
    Moment::Said("looking at the host"),
    Moment::HostKeys(2),
    Moment::Said("configuring the engine"),
    Moment::Said("checking the engine over TLS"),
];
/// What `--full` looks at besides.
const MORE_MOMENTS: [Moment; 5] = [
    Moment::After("waiting for SSH", 500),
    Moment::After("looking at the host", 40),
    Moment::After("configuring the engine", 150),
    Moment::After("configuring the engine", 600),
    Moment::After("checking the engine over TLS", 8),
];

fn host_keys(store: &Store, name: &str) -> usize {
    let text =
        std::fs::read_to_string(store.root().join("machines").join(name).join("config.json")).unwrap_or_default();
    let record: Value = serde_json::from_str(&text).unwrap_or_default();
    record["Rmachine"]["Ssh"]["HostKeys"].as_array().map_or(0, Vec::len)
}

/// Kills a create at `moment`, and removes what it left; whether it was still at work.
fn kill_at(moment: Moment, name: &str) -> bool {
    let store = Store::new();
    let mut create = create(&store, &[], name);
    match moment {
        Moment::Said(text) => create.until_said(text),
        Moment::After(text, milliseconds) => {
            create.until_said(text);
            std::thread::sleep(Duration::from_millis(milliseconds));
        }
        Moment::HostKeys(count) => {
            let seen = create.until(PATIENCE, |_| host_keys(&store, name) == count);
            assert_eq!(seen, Seen::Wanted, "{moment:?}: {:?}", create.said());
        }
    }
    let killed = create.kill();
    assert!(matches!(killed.code, None | Some(0)), "{moment:?}: {killed:?}");
    let ended = start(&store, &["rm", "-y", name]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "{moment:?}: {ended:?}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "{moment:?}");
    killed.code.is_none()
}

#[test]
fn create_killed_on_the_hosts_side() {
    let _alone = alone();
    let report = Report::start("create on hosts, SIGKILL on their side, rm -y");
    let before = resources();
    let moments: Vec<Moment> = MOMENTS.into_iter().chain(MORE_MOMENTS.into_iter().filter(|_| full())).collect();
    let mut in_the_middle = 0;
    for (round, some) in moments.chunks(3).enumerate() {
        in_the_middle += std::thread::scope(|scope| {
            let kill = |(number, moment): (usize, &Moment)| {
                let (moment, name) = (*moment, format!("killed-{round}-{number}"));
                scope.spawn(move || kill_at(moment, &name))
            };
            let killed: Vec<_> = some.iter().enumerate().map(kill).collect();
            killed.into_iter().map(|one| one.join().unwrap()).filter(|middle| *middle).count()
        });
    }
    assert_eq!(resources(), before);
    // The last ones are so near to the end that a create may get there before the signal does.
    assert!(in_the_middle + 2 >= moments.len(), "{in_the_middle} of {} were at work", moments.len());
    report.end(moments.len(), "");
}

#[test]
#[ignore = "with tests/run --full"]
fn eight_first_creates_at_once() {
    let _alone = alone();
    let report = Report::start("first creates at once, on hosts");
    let before = resources();
    let store = Store::new();
    let names: Vec<String> = (0..8).map(|n| format!("crowd-{n}")).collect();
    let (authorities, ()) = contents_while(&store.root().join("certs/ca.pem"), || {
        let creates: Vec<Running> = names.iter().map(|name| create(&store, &[], name)).collect();
        for create in creates {
            create.end(PATIENCE).ok();
        }
    });
    assert_eq!(authorities.len(), 1, "there was never another CA");
    check_client(&store.root().join("certs"));
    let mut authorities = std::collections::BTreeSet::new();
    for name in &names {
        let own = std::fs::read(store.root().join("machines").join(name).join("ca.pem")).unwrap();
        assert!(authorities.insert(own), "{name} has another one's CA");
        assert_usable(&store, name);
    }
    let mut rm = vec!["rm", "-y"];
    rm.extend(names.iter().map(String::as_str));
    start(&store, &rm).end(PATIENCE).ok();
    assert_eq!(resources(), before);
    report.end(names.len(), "all usable");
}

/// Kills `arguments` at each of its calls of EC2, and repeats it; answers how many points there were.
fn kill_at_each_call(store: &Store, arguments: &[&str], prepare: impl Fn(), check: impl Fn()) -> usize {
    let mut points = 0;
    for when in When::BOTH {
        for nth in 1..=12 {
            prepare();
            lab("POST", "faults", Some(&json!({ "action": "*", "nth": nth, "hold": when.word(), "within": 100 })));
            let mut running = start(store, arguments);
            let seen = running.until(PATIENCE, |_| lab("GET", "held", None) != json!([]));
            if seen == Seen::Ended {
                lab("DELETE", "faults", None);
                running.end(PATIENCE).ok();
                assert!(nth > 1, "{arguments:?} makes no call");
                check();
                break;
            }
            running.kill();
            lab("POST", "release", Some(&json!({ "drop": when == When::Before })));
            lab("DELETE", "faults", None);
            start(store, arguments).end(PATIENCE).ok();
            check();
            points += 1;
        }
    }
    points
}

#[test]
#[ignore = "with tests/run --full"]
fn stop_and_start_killed_at_each_call_are_repeated() {
    let _alone = alone();
    let report = Report::start("stop and start, SIGKILL at each EC2 call, again");
    let before = resources();
    let store = Store::new();
    create(&store, &[], "power").end(PATIENCE).ok();
    let run = |command: &str| start(&store, &[command, "power"]).end(PATIENCE).ok();
    let status = || store.rmachine(&["status", "power"]).ok();
    let stops =
        kill_at_each_call(&store, &["stop", "power"], || drop(run("start")), || assert_eq!(status(), "Stopped"));
    let starts =
        kill_at_each_call(&store, &["start", "power"], || drop(run("stop")), || assert_usable(&store, "power"));
    start(&store, &["rm", "-y", "power"]).end(PATIENCE).ok();
    assert_eq!(resources(), before);
    report.end(stops + starts, "");
}
