//! The second round: a create killed at each call, its store wiped, and `gc` of its owner.

use std::sync::atomic::AtomicUsize;

use serde_json::Value;

use crate::{
    account::{Account, spread},
    api::{check_held, kill_at, points},
    report::Report,
};

/// The id of the store, which everything that it makes is tagged with.
fn owner(account: &Account) -> String {
    let text = std::fs::read_to_string(account.root().join("rmachine.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["Owner"].as_str().unwrap().to_owned()
}

#[test]
fn gc_after_a_kill_at_each_call_and_a_wiped_store() {
    let report = Report::start("create, SIGKILL at each EC2 call, store wiped, gc");
    let points = points();
    let held = AtomicUsize::new(0);
    spread(&points, 3, |account, before, point| {
        kill_at(account, point, &held);
        let owner = owner(account);
        std::fs::remove_dir_all(account.root()).unwrap();
        let what = format!("{point:?}");
        let ended = account.rmachine(&["gc", "--driver", "amazonec2", "--owner", &owner, "--yes"]);
        assert_eq!(ended.code, Some(0), "{what}: {ended:?}");
        account.assert_as_before(before, "m", &what);
    });
    report.end(points.len(), &check_held(&held, points.len()));
}
