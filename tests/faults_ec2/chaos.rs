//! An EC2 that throttles, resets, dawdles and loses answers: every create succeeds, with a bounded number of calls.

use serde_json::json;

use crate::{
    hosts::{PATIENCE, alone, assert_usable, create, start},
    report::{Report, full},
    support::{Store, lab, resources},
};

/// Creates at once.
const AT_ONCE: usize = 4;
/// Calls of one create, on average. Without faults it is about 12, and one in three is repeated.
const CALLS: usize = 60;

/// Takes all faults away when the test ends, however it ends.
struct Faults;

impl Faults {
    fn script() -> Self {
        lab("POST", "faults", Some(&json!({ "action": "*", "error": "RequestLimitExceeded", "rate": 0.3 })));
        lab("POST", "faults", Some(&json!({ "action": "*", "reset": true, "rate": 0.05 })));
        lab("POST", "faults", Some(&json!({ "action": "*", "drop_answer": true, "rate": 0.03 })));
        lab("POST", "faults", Some(&json!({ "action": "*", "delay": 2, "rate": 0.05 })));
        Self
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        lab("DELETE", "faults", None);
    }
}

#[test]
fn every_create_succeeds() {
    let _alone = alone();
    let report = Report::start("creates while EC2 throttles, resets, loses");
    let default = if full() { 20 } else { 4 };
    let count = std::env::var("RMACHINE_FAULTS_CREATES").map_or(default, |text| text.parse().unwrap());
    let before = resources();
    let store = Store::new();
    let names: Vec<String> = (0..count).map(|n| format!("chaos-{n}")).collect();
    lab("DELETE", "calls", None);
    let faults = Faults::script();
    let mut failed = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let creates: Vec<_> = some.iter().map(|name| (name, create(&store, &[], name))).collect();
        for (name, create) in creates {
            let ended = create.end(PATIENCE);
            if ended.code == Some(0) {
                assert_usable(&store, name);
            } else {
                failed.push(format!("{name}: {ended:?}"));
            }
        }
    }
    let calls = lab("GET", "calls", None).as_array().unwrap().clone();
    let refused = calls.iter().filter(|call| call["error"] == "RequestLimitExceeded").count();
    let share = refused * 100 / calls.len();
    let each = calls.len() / count;
    let figure = format!("{each} calls each, {share} % throttled");
    eprintln!("{figure}");
    assert!((15..=45).contains(&share), "{figure}");
    assert!(failed.is_empty(), "{} of {count} failed: {failed:#?}", failed.len());
    assert!(each <= CALLS, "{figure}");
    let mut rm = vec!["rm", "-y"];
    rm.extend(names.iter().map(String::as_str));
    // With the faults still on.
    start(&store, &rm).end(PATIENCE).ok();
    drop(faults);
    assert_eq!(resources(), before);
    report.end(count, &figure);
}
