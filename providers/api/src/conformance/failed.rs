//! A `create` whose making call fails: refused for good, or unanswered.

use super::harness::{Entry, Harness, Recorder, Trouble, destroyed, held, machine_ref};
use crate::{CreateRequest, Cx, LeftBehind, MachineRef, ResourceKind};

/// Deletes what a failed create left, as its record would have it done.
pub(super) async fn rolled_back(harness: &dyn Harness, request: &CreateRequest, journal: &Recorder) {
    let (made, intents) = (journal.made(), journal.intents());
    let machine =
        MachineRef { made: &made, intents: &intents, unanswered: Some(request), ..machine_ref(request, None) };
    harness.provider().destroy(&machine, &Cx::silent()).await.expect("destroy ends with nothing");
    assert_eq!(held(harness, &request.token).await, [], "nothing carries the token after a destroy");
}

/// What is refused for good leaves nothing, is taken back in the journal, and is sent once: neither `destroy` nor a
/// later one asks again to find out what came of it.
pub async fn a_refusal_leaves_nothing_and_is_not_repeated(harness: &dyn Harness) {
    let request = harness.request("refused").await;
    if !harness.begin(Trouble::Refused).await {
        return;
    }
    let journal = Recorder::default();
    let error =
        harness.provider().create(&request, &Cx::silent().journal(&journal)).await.expect_err("a refused create fails");
    let left_instance = journal.made().iter().any(|made| made.kind == ResourceKind::Instance);
    assert!(!left_instance, "nothing that was refused is told to the journal as made");
    let taken_back = journal.entries().iter().any(|entry| matches!(entry, Entry::Refused(_)));
    assert!(taken_back, "the journal is told that it was refused");
    assert_ne!(*error.left_behind(), LeftBehind::Unknown, "what a refusal left is known: {error}");
    for _ in 0..2 {
        rolled_back(harness, &request, &journal).await;
    }
    assert_eq!(harness.end().await, 1, "what was refused for good is sent once");
    // Nothing is in the way of a create with a new token, or of the same request when it is allowed.
    let again = CreateRequest { sent_before: true, ..request };
    let made = harness
        .provider()
        .create(&again, &Cx::silent().journal(&Recorder::default()))
        .await
        .expect("create makes an instance");
    destroyed(harness, &again, Some(&made)).await;
}

/// A lost answer is not taken for a refusal: the intent stays, `destroy` removes the instance that nobody has an id
/// of, and a create that goes on finds it.
pub async fn a_lost_answer_is_found_again(harness: &dyn Harness) {
    for goes_on in [false, true] {
        let request = harness.request("lost").await;
        if !harness.begin(Trouble::AnswerLost).await {
            return;
        }
        let journal = Recorder::default();
        let error = harness
            .provider()
            .create(&request, &Cx::silent().journal(&journal))
            .await
            .expect_err("a create without answer fails");
        harness.end().await;
        assert_eq!(*error.left_behind(), LeftBehind::Unknown, "what a lost answer left is not known: {error}");
        assert!(!journal.intents().is_empty(), "an intent without an answer stays in the journal");
        if goes_on {
            let again = CreateRequest { sent_before: true, ..request };
            let found = harness
                .provider()
                .create(&again, &Cx::silent().journal(&Recorder::default()))
                .await
                .expect("it goes on");
            let all = held(harness, &again.token).await;
            let instances = all.iter().filter(|resource| resource.kind == ResourceKind::Instance).count();
            assert_eq!(instances, 1, "a create that goes on finds the instance that was made");
            destroyed(harness, &again, Some(&found)).await;
        } else {
            rolled_back(harness, &request, &journal).await;
        }
    }
}

/// A disk that is full in the middle of a create: it fails with the next entry, says that something is left, and
/// `destroy` removes that, with what the journal has of it and the request.
pub async fn a_journal_that_fails_is_undone(harness: &dyn Harness) {
    if !harness.support().makes {
        return;
    }
    let (request, journal) = (harness.request("journal").await, Recorder::default());
    let made =
        harness.provider().create(&request, &Cx::silent().journal(&journal)).await.expect("create makes an instance");
    destroyed(harness, &request, Some(&made)).await;
    for taken in 1..journal.entries().len() {
        let (request, journal) = (harness.request("journal").await, Recorder::refusing_after(taken));
        let error = harness
            .provider()
            .create(&request, &Cx::silent().journal(&journal))
            .await
            .expect_err("a create whose journal fails, fails");
        assert_ne!(*error.left_behind(), LeftBehind::Nothing, "after {taken} entries something may be left: {error}");
        rolled_back(harness, &request, &journal).await;
    }
}
