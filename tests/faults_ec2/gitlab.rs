//! GitLab Runner's docker+machine executor, played: what it calls, when it gives up, and what is left then.
//!
//! Its calls and limits: docs/migration.md, from helpers/docker/machine_command.go and executors/docker/machine.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;

use crate::{
    account::{Account, PATIENCE, When, spread},
    api::{Point, check_held, points},
    report::Report,
    running::{Ended, Running},
};

/// How often it tries to remove a machine before it forgets it.
const ATTEMPTS: usize = 30;

/// Makes a command of its arguments.
type Calls<'a> = Box<dyn Fn(&[&str]) -> Command + Sync + 'a>;

/// The executor in one account.
pub struct Executor<'a> {
    /// Makes a `docker-machine` command with the executor's flag before the arguments.
    pub docker_machine: Calls<'a>,
    /// The store's `machines` directory, which it reads by itself.
    pub machines: PathBuf,
    /// How long it waits for a call.
    pub patience: Duration,
}

impl Executor<'_> {
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Running::start_talking((self.docker_machine)(arguments)).end(self.patience)
    }

    /// Its list: every directory without a dot.
    pub fn list(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.machines).into_iter().flatten().map(Result::unwrap);
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// Its removal: asks whether it exists, stops it, removes it; again until that succeeds. Each removal that answers 0
    /// is checked by `left`, which says what is still there.
    #[track_caller]
    pub fn remove(&self, name: &str, left: &dyn Fn() -> Vec<String>) {
        for _ in 0..ATTEMPTS {
            if self.run(&["inspect", name]).code != Some(0) {
                assert_eq!(left(), Vec::<String>::new(), "{name}: `inspect` says that it does not exist");
                return;
            }
            // A failure is logged only.
            let _logged = self.run(&["stop", name]);
            if self.run(&["rm", "-y", name]).code == Some(0) {
                assert_eq!(left(), Vec::<String>::new(), "{name}: `rm -y` answers 0");
                return;
            }
        }
        panic!("{name}: not removed in {ATTEMPTS} attempts: {:?}", left());
    }
}

impl Account {
    pub fn executor(&self) -> Executor<'_> {
        Executor {
            docker_machine: Box::new(|arguments| self.docker_machine(arguments)),
            machines: self.root().join("machines"),
            patience: PATIENCE,
        }
    }

    /// What the account holds besides what it held `before`.
    pub fn left(&self, before: &[String]) -> Vec<String> {
        self.resources().into_iter().filter(|held| !before.contains(held)).collect()
    }
}

/// As the executor writes a machine's options: a switch with a value, and an empty value.
pub const OPTIONS: [&str; 4] = ["--driver", "amazonec2", "--amazonec2-monitoring=false", "--amazonec2-spot-price="];

#[test]
fn killed_at_each_call_its_own_removal_leaves_nothing() {
    let report = Report::start("GitLab: create killed at each EC2 call, its removal");
    let points = points();
    let held = AtomicUsize::new(0);
    spread(&points, 3, |account, before, point: &Point| {
        account.fault(json!({ "action": "*", "nth": point.nth, "hold": point.when.word(), "within": 100 }));
        let arguments = [
            &["create"][..],
            &OPTIONS,
            &["--amazonec2-ami", "resolve:ssm:/rmachine-lab/debian-13-docker"],
            point.more(),
            &["runner-m"],
        ]
        .concat();
        let mut create = Running::start_talking(account.docker_machine(&arguments));
        if account.until_held(&mut create) {
            held.fetch_add(1, Ordering::Relaxed);
        }
        // Its time-outs arrive as SIGKILL.
        create.kill();
        account.lab("POST", "release", Some(&json!({ "drop": point.when == When::Before })));
        account.calm();
        let executor = account.executor();
        if executor.list().is_empty() {
            assert_eq!(account.left(before), Vec::<String>::new(), "{point:?}: nothing is listed");
        }
        executor.remove("runner-m", &|| account.left(before));
        assert_eq!(executor.list(), Vec::<String>::new(), "{point:?}");
        account.assert_as_before(before, "runner-m", &format!("{point:?}"));
    });
    report.end(points.len(), &check_held(&held, points.len()));
}

#[test]
fn a_removal_that_the_cloud_refuses_is_no_success() {
    let report = Report::start("GitLab: the cloud refuses creates and removals");
    let account = Account::new();
    let before = account.furnish();
    let executor = account.executor();
    let image = "resolve:ssm:/rmachine-lab/debian-13-docker";
    let create = [&["create"][..], &OPTIONS, &["--amazonec2-ami", image, "runner-a"]].concat();

    // A create that is refused: the executor removes it, and there is nothing.
    account.fault(json!({ "action": "RunInstances", "error": "InsufficientInstanceCapacity", "status": 500 }));
    assert_eq!(executor.run(&create).code, Some(1));
    account.calm();
    executor.remove("runner-a", &|| account.left(&before));

    // A check that fails before the create has its own code.
    account.fault(json!({ "action": "DescribeImages", "error": "UnauthorizedOperation", "status": 403 }));
    assert_eq!(executor.run(&create).code, Some(3));
    account.calm();
    executor.remove("runner-a", &|| account.left(&before));

    // A machine that is there, and a cloud that does not let it go: not 0 as long as it is there.
    let mut running = Running::start_talking(account.docker_machine(&create));
    running.until_said(crate::account::LAST);
    running.kill();
    for error in ["UnauthorizedOperation", "OperationNotPermitted", "InternalError"] {
        account.fault(json!({ "action": "TerminateInstances", "error": error, "status": 403 }));
        assert_eq!(executor.run(&["rm", "-y", "runner-a"]).code, Some(1), "{error}");
        assert_eq!(executor.run(&["inspect", "runner-a"]).code, Some(0), "{error}: it is known still");
        assert!(!account.left(&before).is_empty());
        account.calm();
    }
    // At the end of its patience the executor clears its own state; what is left then is not forgotten.
    account.fault(json!({ "action": "TerminateInstances", "error": "UnauthorizedOperation", "status": 403 }));
    assert_eq!(executor.run(&["rm", "-f", "runner-a"]).code, Some(1), "what may be left is no success");
    assert_eq!(executor.list(), Vec::<String>::new());
    account.calm();
    assert!(!account.left(&before).is_empty());
    account.rmachine(&["gc", "--yes"]).ok();
    assert_eq!(account.resources(), before, "gc finishes what was forgotten");
    report.end(6, "");
}
