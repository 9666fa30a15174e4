//! EC2 without capacity: a clear error and nothing left, or the next zone and type where there is a list.

use serde_json::{Value, json};

use crate::{
    account::{Account, LAST, PATIENCE},
    report::Report,
};

const NONE_LEFT: &str = "InsufficientInstanceCapacity";

/// The parameters of all RunInstances calls.
fn runs(account: &Account) -> Vec<Value> {
    let calls = account.lab("GET", "calls", None);
    let runs = calls.as_array().unwrap().iter().filter(|call| call["action"] == "RunInstances");
    runs.map(|call| call["parameters"].clone()).collect()
}

#[test]
fn without_capacity_nothing_is_left() {
    let report = Report::start("no capacity: a clear error, nothing left");
    let account = Account::new();
    let before = account.furnish();
    let refused = json!({ "action": "RunInstances", "error": NONE_LEFT });
    // Refused at once, or given up while it is pending.
    let given_up = json!({ "action": "@launch", "error": "Server.InsufficientInstanceCapacity" });
    for fault in [refused, given_up] {
        account.fault(fault.clone());
        let error = account.create(&["--amazonec2-zone", "a"], "m").end(PATIENCE).fails(6);
        assert!(error.contains(NONE_LEFT) && error.contains("\nHint: "), "{fault}: {error}");
        account.calm();
        account.assert_as_before(&before, "m", &fault.to_string());
    }
    report.end(2, "");
}

/// With a list the next one is taken, and the log says so.
fn falls_back(flags: &[&str], names: [&str; 2], used: impl Fn(&Value, &Account) -> String) {
    let account = Account::new();
    let before = account.furnish();
    account.fault(json!({ "action": "RunInstances", "error": NONE_LEFT, "times": 1 }));
    let mut create = account.create(flags, "m");
    create.until_said(LAST);
    let said = create.said();
    assert!(said.iter().any(|line| line.contains(NONE_LEFT) && line.contains(names[1])), "{said:?}");
    let tried: Vec<String> = runs(&account).iter().map(|run| used(run, &account)).collect();
    assert_eq!(tried, names, "{said:?}");
    create.interrupt();
    create.end(PATIENCE).fails(130);
    account.assert_as_before(&before, "m", flags[0]);
}

/// The zone of the subnet of a RunInstances call.
fn zone(run: &Value, account: &Account) -> String {
    let subnet = run["SubnetId"].as_str().or(run["NetworkInterface.1.SubnetId"].as_str()).unwrap();
    let filter = format!("Filters=[dict(Name='subnet-id', Values=['{subnet}'])]");
    account.boto(&format!("ec2.describe_subnets({filter})['Subnets'][0]['AvailabilityZone']"))
}

#[test]
fn the_next_zone_is_taken() {
    let report = Report::start("no capacity: the next zone");
    falls_back(&["--amazonec2-zone", "b,c"], ["us-east-1b", "us-east-1c"], zone);
    report.end(1, "");
}

#[test]
fn the_next_type_is_taken() {
    let report = Report::start("no capacity: the next type");
    let used = |run: &Value, _: &Account| run["InstanceType"].as_str().unwrap().to_owned();
    // In one zone: with more of them, the first type is tried in each.
    let flags = ["--amazonec2-zone", "a", "--amazonec2-instance-type", "t3.micro,t3.small"];
    falls_back(&flags, ["t3.micro", "t3.small"], used);
    report.end(1, "");
}
