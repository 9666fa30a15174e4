//! `observe` and `find`.

use super::harness::{Harness, destroyed, made};
use crate::{Finding, Health, InstanceId, MachineState, Owner};

/// `observe` answers one entry for each id, in that order; a missing one is a value, not an error.
pub async fn observe_answers_for_each(harness: &dyn Harness) {
    let provider = harness.provider();
    assert_eq!(provider.observe(&[]).await.expect("no ids are no error").len(), 0, "no ids, no entries");
    let (request, instance) = made(harness, "look").await;
    // A well-formed id that no account has, in the shape of the one just made.
    let missing = missing_like(&instance.id);
    let ids = [missing.clone(), instance.id.clone(), missing];
    let observed = provider.observe(&ids).await.expect("a missing instance is no error");
    let answered: Vec<&InstanceId> = observed.iter().map(|o| &o.id).collect();
    assert_eq!(answered, ids.iter().collect::<Vec<_>>(), "one entry for each id, in that order");
    if harness.support().makes {
        assert_eq!(observed[0].state, MachineState::Absent, "a missing instance is absent");
        assert_eq!(observed[1].state, MachineState::Running, "a running instance is running");
        assert_eq!(observed[1].addresses, instance.addresses, "observe and create tell the same addresses");
    } else {
        assert!(observed.iter().all(|o| o.state == MachineState::Unknown), "what cannot be told is unknown");
    }
    destroyed(harness, &request, Some(&instance)).await;
}

/// `checkup` finds nothing bad where machines can be made.
pub async fn checkup_of_a_good_account(harness: &dyn Harness) {
    let findings = harness.provider().checkup().await;
    let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.health == Health::Bad).collect();
    assert!(bad.is_empty(), "an account that machines are made in is not bad: {bad:?}");
    let silent = |finding: &&Finding| finding.health != Health::Good && finding.remedy.is_none();
    assert_eq!(findings.iter().find(silent), None, "what is not good has a remedy");
}

/// `find` answers for one owner or for all of them.
pub async fn find_tells_owners_apart(harness: &dyn Harness) {
    let (request, instance) = made(harness, "owners").await;
    let provider = harness.provider();
    let stranger = format!("{}-stranger", harness.owner()).parse::<Owner>().expect("an owner");
    assert_eq!(provider.find(Some(&stranger)).await.expect("find answers"), [], "a stranger owns nothing of ours");
    if harness.support().makes {
        let all = provider.find(None).await.expect("find answers for all owners");
        assert!(all.iter().any(|r| r.id == instance.id.as_str()), "find without an owner finds every owner's things");
        let named = |r: &crate::Resource| r.machine.as_deref() == Some(&request.name);
        assert!(all.iter().any(named), "a resource tells the name of its machine");
    }
    destroyed(harness, &request, Some(&instance)).await;
}

/// An id of the same length and prefix as `id`, all zeros behind it.
pub(super) fn missing_like(id: &InstanceId) -> InstanceId {
    let (prefix, rest) = id.as_str().rsplit_once('-').map_or(("", id.as_str()), |(p, r)| (p, r));
    let zeros = "0".repeat(rest.len());
    let id = if prefix.is_empty() { zeros } else { format!("{prefix}-{zeros}") };
    id.parse().expect("an id")
}
