//! `preflight` and `create`.

use super::harness::{Entry, Harness, Recorder, destroyed, held};
use crate::{CreateRequest, Cx, MachineState};

/// `preflight` creates nothing, however often it is asked.
pub async fn preflight_makes_nothing(harness: &dyn Harness) {
    let before = harness.provider().find(Some(&harness.owner())).await.expect("find answers").len();
    for _ in 0..2 {
        harness
            .provider()
            .preflight(&harness.spec("check"), &Cx::silent())
            .await
            .expect("preflight takes a good request");
    }
    let after = harness.provider().find(Some(&harness.owner())).await.expect("find answers").len();
    assert_eq!(before, after, "preflight creates nothing");
}

/// What cannot be written down is not done.
pub async fn journal_comes_first(harness: &dyn Harness) {
    if !harness.support().makes {
        return;
    }
    let request = harness.request("journal").await;
    let refused = harness.provider().create(&request, &Cx::silent().journal(&Recorder::refusing())).await;
    refused.expect_err("a create whose journal fails, fails");
    assert_eq!(held(harness, &request.token).await, [], "an effect that cannot be written down is not started");
    destroyed(harness, &request, None).await;
}

/// The same attempt with the same request finds what the first call made; everything carries
/// owner and token, and the journal knew of it.
pub async fn create_twice_makes_one(harness: &dyn Harness) {
    let request = harness.request("twice").await;
    let journal = Recorder::default();
    let first =
        harness.provider().create(&request, &Cx::silent().journal(&journal)).await.expect("create makes an instance");
    let second = harness
        .provider()
        .create(&request, &Cx::silent().journal(&Recorder::default()))
        .await
        .expect("a repeated create succeeds");
    assert_eq!(first.id, second.id, "a repeated attempt finds the first instance");
    let again = CreateRequest { sent_before: true, ..request.clone() };
    let third = harness
        .provider()
        .create(&again, &Cx::silent().journal(&Recorder::default()))
        .await
        .expect("a create that goes on succeeds");
    assert_eq!(first.id, third.id, "a create that goes on finds the first instance");
    assert!(second.addresses.dial.is_some(), "create returns when the instance has its addresses");
    if harness.support().makes {
        let observed = harness.provider().observe(std::slice::from_ref(&first.id)).await.expect("observe answers");
        assert_eq!(observed[0].state, MachineState::Running, "create returns when the instance runs");
        let made = journal.made();
        assert!(matches!(journal.entries().first(), Some(Entry::Intend(_))), "an intent precedes the first effect");
        assert!(made.iter().any(|r| r.id == first.id.as_str()), "the journal is told of the instance");
        for resource in &made {
            assert_eq!(resource.token.as_ref(), Some(&request.token), "{} carries the token", resource.id);
            assert_eq!(resource.owner.as_ref(), Some(&request.owner), "{} carries the owner", resource.id);
        }
        let held = held(harness, &request.token).await;
        for resource in &made {
            assert!(held.iter().any(|h| h.id == resource.id), "find knows {}, which the journal has", resource.id);
        }
        let instances = held.iter().filter(|r| r.kind == crate::ResourceKind::Instance).count();
        assert_eq!(instances, 1, "a repeated attempt makes no second instance");
    }
    destroyed(harness, &request, Some(&second)).await;
}
