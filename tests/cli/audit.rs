//! `audit`: the log as a table and as JSON, and a chain that does not hold.

use crate::user::User;

#[test]
fn the_log_is_shown_and_checked() {
    let user = User::new();
    assert_eq!(user.run(&["audit"]).stdout, "", "no log, no lines");
    assert_eq!(user.run(&["audit", "--verify"]).code, 0);
    let user = User::with_machines();
    user.run(&["rm", "-y", "two"]);
    let shown = user.run(&["audit", "two"]);
    let events: Vec<&str> = shown.stdout.lines().skip(1).map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(events, ["creation-begun", "created", "removal-begun", "removed"], "{}", shown.stdout);
    let json = user.run(&["audit", "--json", "--since", "1h"]).stdout;
    let entries: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(entries.iter().any(|entry| entry["machine"] == "one" && entry["event"] == "created"), "{json}");
    assert_eq!(user.run(&["audit", "--since", "2999-01-01"]).stdout, "");
    assert_eq!(user.run(&["audit", "--since", "soon"]).code, 2);

    let verified = user.run(&["audit", "--verify"]);
    assert!(verified.stdout.starts_with(&format!("{} entries, none changed", entries.len())), "{}", verified.stdout);
    let path = user.store().join("audit.jsonl");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replacen("\"machine\":\"one\"", "\"machine\":\"six\"", 1)).unwrap();
    let line = good.lines().position(|line| line.contains("\"machine\":\"one\"")).unwrap() + 2;
    let broken = user.run(&["audit", "--verify"]);
    assert_eq!((broken.code, broken.stdout.as_str()), (9, ""), "{}", broken.stderr);
    assert!(
        broken.stderr.starts_with(&format!("Error: line {line} of STORE/audit.jsonl is not good")),
        "{}",
        broken.stderr
    );
    let json = user.run(&["audit", "--verify", "--json"]);
    assert!(json.code == 9 && json.stdout.contains("\"broken\": \"line"), "{}", json.stdout);
    assert!(user.run(&["audit", "two"]).stderr.contains("Warning: line"), "it is said without --verify, too");
}
