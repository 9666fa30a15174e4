//! `create` killed and interrupted before and after each of its calls of EC2, and `rm` killed at each of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::{
    account::{Account, LAST, PATIENCE, When, spread},
    report::{Report, full},
    running::Running,
};

/// Labs at once.
const WORKERS: usize = 3;
/// What is asked for besides the image, by name.
const SHAPES: [(&str, &[&str]); 2] = [
    ("on demand", &[]),
    ("spot, persistent", &["--amazonec2-request-spot-instance", "--amazonec2-spot-type", "persistent"]),
];

/// One moment in which the client ends.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub shape: usize,
    pub nth: usize,
    pub when: When,
}

impl Point {
    pub fn more(&self) -> &'static [&'static str] {
        SHAPES[self.shape].1
    }
}

/// Every call that a create makes until only SSH is waited for, before and after.
pub fn points() -> Vec<Point> {
    let shapes = if full() { SHAPES.len() } else { 1 };
    let mut points = Vec::new();
    for (shape, (_, more)) in SHAPES.iter().enumerate().take(shapes) {
        let account = Account::new();
        let before = account.furnish();
        let mut create = account.create(more, "m");
        create.until_said(LAST);
        let calls = account.calls();
        create.interrupt();
        assert_eq!(create.end(PATIENCE).code, Some(130));
        account.assert_as_before(&before, "m", "counting the calls");
        assert!(calls.len() >= 9, "{calls:?}");
        for nth in 1..=calls.len() {
            points.extend(When::BOTH.map(|when| Point { shape, nth, when }));
        }
    }
    points
}

/// Starts a create and holds it at `point`; counts in `held` whether the call came.
#[track_caller]
fn held_at(account: &Account, point: &Point, held: &AtomicUsize) -> Running {
    account.fault(json!({ "action": "*", "nth": point.nth, "hold": point.when.word(), "within": 100 }));
    let mut create = account.create(point.more(), "m");
    if account.until_held(&mut create) {
        held.fetch_add(1, Ordering::Relaxed);
    }
    create
}

/// Only polls may come to fewer than were counted.
#[track_caller]
pub fn check_held(held: &AtomicUsize, points: usize) -> String {
    let held = held.load(Ordering::Relaxed);
    assert!(held + 6 >= points && held > points / 2, "{held} of {points} calls were held");
    format!("{held} of the calls came")
}

/// Kills a create at `point`; a call that was held before it was carried out is never carried out.
pub fn kill_at(account: &Account, point: &Point, held: &AtomicUsize) {
    let ended = held_at(account, point, held).kill();
    assert_eq!(ended.code, None, "{point:?}: it was killed: {ended:?}");
    account.lab("POST", "release", Some(&json!({ "drop": point.when == When::Before })));
    account.calm();
}

#[test]
fn create_killed_before_and_after_each_call() {
    let report = Report::start("create, SIGKILL at each EC2 call, rm -y");
    let points = points();
    let held = AtomicUsize::new(0);
    // The same name each time: what one point leaves would be in the next one's way.
    spread(&points, WORKERS, |account, before, point| {
        kill_at(account, point, &held);
        account.remove("m", &format!("{point:?}"));
        account.assert_as_before(before, "m", &format!("{point:?}"));
    });
    report.end(points.len(), &check_held(&held, points.len()));
}

#[test]
fn create_interrupted_before_and_after_each_call() {
    let report = Report::start("create, SIGINT at each EC2 call, roll-back");
    let points = points();
    let held = AtomicUsize::new(0);
    spread(&points, WORKERS, |account, before, point| {
        let create = held_at(account, point, &held);
        create.interrupt();
        account.calm();
        let ended = create.end(PATIENCE);
        assert_eq!(ended.code, Some(130), "{point:?}: {ended:?}");
        account.assert_as_before(before, "m", &format!("{point:?}"));
    });
    report.end(points.len(), &check_held(&held, points.len()));
}

#[test]
fn rm_killed_before_and_after_each_call_is_repeated() {
    let report = Report::start("rm, SIGKILL at each EC2 call, rm -y again");
    let leave_a_machine = |account: &Account| {
        let mut create = account.create(&[], "m");
        create.until_said(LAST);
        create.kill();
        account.lab("DELETE", "calls", None);
    };
    let account = Account::new();
    leave_a_machine(&account);
    account.remove("m", "counting the calls");
    let calls = account.calls();
    drop(account);
    assert!(calls.iter().any(|call| call == "TerminateInstances"), "{calls:?}");
    // Most are polls of one kind: of each kind the first two and the last count.
    let mut numbers: Vec<usize> = (1..=calls.len()).collect();
    if !full() {
        let position = |nth: usize| calls[..nth].iter().filter(|call| **call == calls[nth - 1]).count();
        numbers.retain(|nth| position(*nth) <= 2 || *nth == calls.len());
    }
    let points: Vec<_> = numbers.into_iter().flat_map(|nth| When::BOTH.map(|when| (nth, when))).collect();
    spread(&points, WORKERS, |account, before, (nth, when)| {
        leave_a_machine(account);
        account.fault(json!({ "action": "*", "nth": nth, "hold": when.word(), "within": 100 }));
        let mut rm = Running::start(account.command(&["rm", "-y", "m"]));
        rm.until(PATIENCE, |_| account.lab("GET", "held", None) != json!([]));
        rm.kill();
        account.lab("POST", "release", Some(&json!({ "drop": *when == When::Before })));
        account.calm();
        // With fewer polls than were counted it may have come to its end.
        if account.machine("m").exists() {
            account.remove("m", &format!("rm, call {nth} {when:?}"));
        }
        account.assert_as_before(before, "m", &format!("rm, call {nth} {when:?}"));
    });
    report.end(points.len(), "");
}
