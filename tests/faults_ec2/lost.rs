//! Answers of EC2 that never come: one instance and one group at most, and none in the end, also when EC2 shows them late.

use std::time::Duration;

use serde_json::json;

use crate::{
    account::{Account, LAST, PATIENCE},
    report::Report,
};

/// Seconds for which a new instance is not shown.
const LATE: f64 = 4.0;

fn slow_account() -> (Account, Vec<String>) {
    let account = Account::new();
    account.lab("POST", "delays", Some(&json!({ "visible": LATE })));
    let before = account.furnish();
    (account, before)
}

/// How many instances there are or were besides `before`.
fn made(account: &Account, before: &[String]) -> usize {
    account.instances_ever().into_keys().filter(|id| !before.contains(&format!("instances/{id}"))).count()
}

#[test]
fn an_answer_that_is_lost_once_makes_one_of_each() {
    let report = Report::start("a lost answer: one instance, one group");
    let (account, before) = slow_account();
    let actions = ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RunInstances"];
    for action in actions {
        account.fault(json!({ "action": action, "drop_answer": true, "times": 1 }));
    }
    let mut create = account.create(&[], "m");
    create.until_said(LAST);
    let held = account.resources();
    for (kind, more) in [("instances/", 1), ("groups/", 1), ("volumes/", 1), ("interfaces/", 1)] {
        let count = |held: &[String]| held.iter().filter(|id| id.starts_with(kind)).count();
        assert_eq!(count(&held), count(&before) + more, "{kind}: {held:?}");
    }
    let calls = account.calls();
    for action in actions {
        assert!(calls.iter().filter(|call| *call == action).count() >= 2, "{action} was repeated: {calls:?}");
    }
    create.interrupt();
    create.end(PATIENCE).fails(130);
    assert_eq!(made(&account, &before), 1);
    account.assert_as_before(&before, "m", "after the roll-back");
    report.end(actions.len(), "");
}

#[test]
fn an_answer_that_never_comes_leaves_nothing() {
    let report = Report::start("RunInstances never answered: nothing left");
    let (account, before) = slow_account();
    account.fault(json!({ "action": "RunInstances", "drop_answer": true }));
    let create = account.create(&["--amazonec2-retries", "2"], "m");
    let ended = create.end(Duration::from_secs(300));
    assert!(!matches!(ended.code, Some(0 | 130) | None), "{ended:?}");
    let runs = account.calls().iter().filter(|call| *call == "RunInstances").count();
    assert!((2..=40).contains(&runs), "RunInstances was sent {runs} times");
    assert_eq!(made(&account, &before), 1, "however often it is sent, its token is the same");
    account.calm();
    if account.machine("m").exists() {
        assert!(ended.stderr.contains("rmachine rm -y m"), "what is left is said: {ended:?}");
        account.remove("m", "when EC2 answers again");
    }
    account.assert_as_before(&before, "m", "when EC2 answers again");
    report.end(1, &format!("RunInstances sent {runs} times"));
}

/// Killed when the instance's id is written down, and EC2 does not show it yet.
#[test]
fn an_instance_that_is_written_down_and_not_shown_yet_is_removed() {
    let report = Report::start("SIGKILL after RunInstances, instance shown late");
    let (account, before) = slow_account();
    account.fault(json!({ "action": "DescribeInstances", "hold": "before", "within": 100 }));
    let mut create = account.create(&[], "m");
    assert!(account.until_held(&mut create));
    create.kill();
    account.lab("POST", "release", Some(&json!({ "drop": true })));
    account.calm();
    account.remove("m", "shown late");
    account.assert_as_before(&before, "m", "shown late");
    report.end(1, "");
}

/// Killed before RunInstances came to EC2: what `rm` asks for again is a spot request of its own, which must go too.
#[test]
fn a_spot_request_that_rm_has_made_itself_is_cancelled() {
    let report = Report::start("SIGKILL before RunInstances, persistent spot");
    let (account, before) = slow_account();
    account.fault(json!({ "action": "RunInstances", "hold": "before", "within": 100 }));
    let mut create = account.create(&["--amazonec2-request-spot-instance", "--amazonec2-spot-type", "persistent"], "m");
    assert!(account.until_held(&mut create));
    create.kill();
    account.lab("POST", "release", Some(&json!({ "drop": true })));
    account.calm();
    account.remove("m", "spot");
    // Longer than it takes to start another instance for a request that is open.
    std::thread::sleep(Duration::from_secs(2));
    account.assert_as_before(&before, "m", "spot");
    report.end(1, "");
}

/// Killed while the answer of RunInstances is under way: `rm` does not wait for the instance to be shown.
#[test]
fn an_instance_that_nobody_is_shown_yet_is_removed() {
    let report = Report::start("SIGKILL at RunInstances, instance shown late");
    let (account, before) = slow_account();
    account.fault(json!({ "action": "RunInstances", "hold": "after", "within": 100 }));
    let mut create = account.create(&[], "m");
    assert!(account.until_held(&mut create));
    create.kill();
    account.calm();
    assert_eq!(made(&account, &before), 1);
    account.remove("m", "shown late");
    assert_eq!(made(&account, &before), 1);
    account.assert_as_before(&before, "m", "shown late");
    report.end(1, "");
}
