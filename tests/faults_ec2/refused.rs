//! Calls that EC2 refuses for good: what a create asked for is not asked again, and nothing stays.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::{
    account::{Account, LAST, PATIENCE, spread},
    report::{Report, full},
    running::Seen,
};

/// Labs at once.
const WORKERS: usize = 2;
/// Calls that make or change something.
const MAKERS: [&str; 3] = ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RunInstances"];
/// Calls that only the roll-back makes.
const ROLL_BACK: [&str; 4] =
    ["TerminateInstances", "DeleteSecurityGroup", "DescribeVolumes", "DescribeNetworkInterfaces"];
/// Refusals: a permission, a subscription, a value, a quota.
const CODES: [&str; 4] = ["UnauthorizedOperation", "OptInRequired", "InvalidParameterValue", "VcpuLimitExceeded"];

/// A fault that refuses as EC2 does, in its words.
fn refusal(action: &str, code: &str) -> Value {
    let message = format!(
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ci is not authorized \
         to perform: ec2:{action} on resource: arn:aws:ec2:us-east-1:123456789012:*/* because no identity-based policy \
         allows the ec2:{action} action. Encoded authorization failure message: 5KG81Iyk2viNTSxv9D56pBVUzrj"
    );
    let message = if code == CODES[0] { message } else { "by order of the test".to_owned() };
    json!({ "action": action, "error": code, "status": 400, "message": message })
}

/// The calls of a create until only SSH is waited for.
fn calls_of_a_create() -> Vec<String> {
    let account = Account::new();
    let before = account.furnish();
    account.lab("DELETE", "calls", None);
    let mut create = account.create(&[], "m");
    create.until_said(LAST);
    let calls = account.calls();
    create.interrupt();
    assert_eq!(create.end(PATIENCE).code, Some(130));
    account.assert_as_before(&before, "m", "counting the calls");
    calls
}

/// Makes a machine until SSH is waited for or the create fails; answers what it said when it failed.
fn fails(account: &Account) -> Option<String> {
    let mut create = account.create(&[], "m");
    if create.until(PATIENCE, |create| create.has_said(LAST)) == Seen::Wanted {
        create.interrupt();
        assert_eq!(create.end(PATIENCE).code, Some(130));
        return None;
    }
    let ended = create.end(PATIENCE);
    assert!(!matches!(ended.code, Some(0) | None), "{ended:?}");
    Some(ended.stderr)
}

/// No call that makes something was sent twice.
fn assert_sent_once(account: &Account, what: &str) {
    let calls = account.calls();
    for maker in MAKERS {
        let count = calls.iter().filter(|call| *call == maker).count();
        assert!(count <= 1, "{what}: {maker} was sent {count} times: {calls:?}");
    }
}

#[test]
fn each_call_of_a_create_refused_once() {
    let report = Report::start("create, each EC2 call refused once");
    let calls = calls_of_a_create();
    assert!(calls.len() >= 9, "{calls:?}");
    let codes = |nth: usize| match full() || MAKERS.contains(&calls[nth].as_str()) {
        true => CODES.to_vec(),
        false => vec![CODES[nth % CODES.len()]],
    };
    let points: Vec<_> = (0..calls.len()).flat_map(|nth| codes(nth).into_iter().map(move |code| (nth, code))).collect();
    let failed = AtomicUsize::new(0);
    spread(&points, WORKERS, |account, before, (nth, code)| {
        let (action, what) = (&calls[*nth], format!("{} {code}", calls[*nth]));
        // A quota is one type's and market's: the plan's next attempt is another request.
        let elsewhere = action == "RunInstances" && *code == CODES[3];
        let position = calls[..=*nth].iter().filter(|call| *call == action).count();
        let mut fault = refusal(action, code);
        fault["nth"] = json!(position);
        fault["times"] = json!(1);
        account.lab("DELETE", "calls", None);
        account.fault(fault);
        let said = fails(account);
        account.calm();
        if let Some(said) = &said {
            failed.fetch_add(1, Ordering::Relaxed);
            assert!(said.contains(code), "{what}: {said}");
            if *code == CODES[0] {
                let named =
                    format!("the AWS credentials may not ec2:{action} on arn:aws:ec2:us-east-1:123456789012:*/*");
                assert!(said.contains(&named) && !said.contains("5KG81"), "{what}: {said}");
            }
        } else {
            assert!(elsewhere || !MAKERS.contains(&action.as_str()), "{what}: the create went on");
        }
        account.assert_as_before(before, "m", &what);
        if !elsewhere {
            assert_sent_once(account, &what);
        }
    });
    let failed = failed.load(Ordering::Relaxed);
    assert!(failed > points.len() / 2, "{failed} of {} failed", points.len());
    report.end(points.len(), &format!("{failed} creates failed, the others could do without the answer"));
}

/// A permission that is missing for good, in the create or in its roll-back: what is left is in a record, and `rm` takes
/// it away without asking for an instance.
#[test]
fn a_permission_that_is_missing() {
    let report = Report::start("create without a permission, rm when it is there");
    let mut actions: BTreeSet<String> = calls_of_a_create().into_iter().collect();
    actions.extend(ROLL_BACK.map(str::to_owned));
    let actions: Vec<String> = actions.into_iter().collect();
    let left = AtomicUsize::new(0);
    spread(&actions, WORKERS, |account, before, action| {
        account.lab("DELETE", "calls", None);
        account.fault(refusal(action, CODES[0]));
        let needs_roll_back = ROLL_BACK.contains(&action.as_str()) && action != "TerminateInstances";
        if needs_roll_back {
            account.fault(refusal("RunInstances", CODES[1]));
        }
        if action == "TerminateInstances" {
            account.fault(json!({ "action": "@launch", "error": "Server.InternalError", "delay": 2 }));
        }
        let said = fails(account);
        account.calm();
        if account.machine("m").exists() {
            left.fetch_add(1, Ordering::Relaxed);
            assert!(said.is_some_and(|said| said.contains("`rmachine rm -y m`")), "{action}: what is left is said");
            account.remove("m", action);
        }
        account.assert_as_before(before, "m", action);
        assert_sent_once(account, action);
    });
    report.end(actions.len(), &format!("{} left a record", left.load(Ordering::Relaxed)));
}
