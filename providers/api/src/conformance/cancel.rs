//! Calls that are cancelled: they return before their next effect.

use std::collections::BTreeSet;

use super::{
    failed::rolled_back,
    harness::{Entry, Harness, Recorder, destroyed, held, machine_ref, made},
};
use crate::{CancellationToken, Cx, Error, Kind, MachineState, StopMode};

/// More entries than the journal of any create has.
const ENTRIES: usize = 100;

/// A create that is cancelled, at whatever entry of its journal, intends nothing after that; what it has made goes with
/// `destroy`, and nothing is left.
pub async fn create_ends_before_its_next_effect(harness: &dyn Harness) {
    if !harness.support().makes {
        return;
    }
    for after in 0..ENTRIES {
        let request = harness.request("cancelled").await;
        let token = CancellationToken::new();
        if after == 0 {
            token.cancel();
        }
        let journal = Recorder::cancelling(after, token.clone());
        let ended = harness.provider().create(&request, &Cx::silent().journal(&journal).cancel(&token)).await;
        if !token.is_cancelled() {
            let instance = ended.expect("a create that nobody cancels succeeds");
            destroyed(harness, &request, Some(&instance)).await;
            assert!(after > 1, "a create has something to write down");
            return;
        }
        let error = ended.expect_err("a create that is cancelled before its end does not succeed");
        assert_eq!(error.kind(), Kind::Cancelled, "cancelled after {after} entries: {error}");
        let late = journal.entries().split_off(after);
        assert!(!late.iter().any(|entry| matches!(entry, Entry::Intend(_))), "nothing is begun after that: {late:?}");
        rolled_back(harness, &request, &journal).await;
    }
    panic!("a create writes down fewer than {ENTRIES} entries");
}

/// What is cancelled before it begins does nothing: not a stop, a start, a reboot, nor a `destroy`.
pub async fn a_cancelled_call_changes_nothing(harness: &dyn Harness) {
    if !harness.support().makes {
        return;
    }
    let (request, instance) = made(harness, "goes-on").await;
    let (provider, id, token) = (harness.provider(), &instance.id, CancellationToken::new());
    token.cancel();
    let cx = Cx::silent().cancel(&token);
    let machine = machine_ref(&request, Some(&instance));
    let holds = async || {
        let found = held(harness, &request.token).await;
        found.into_iter().map(|resource| resource.id).collect::<BTreeSet<String>>()
    };
    let before = holds().await;
    cancelled(provider.destroy(&machine, &cx).await);
    if harness.support().power {
        cancelled(provider.stop(id, StopMode::Graceful, &cx).await);
        cancelled(provider.stop(id, StopMode::Force, &cx).await);
        cancelled(provider.reboot(id, &cx).await);
    }
    if harness.support().ingress {
        cancelled(provider.allow(&machine, Some(&["192.0.2.0/24".parse().expect("a network")]), &cx).await);
    }
    let state = async || provider.observe(std::slice::from_ref(id)).await.expect("observe answers")[0].state;
    assert_eq!(state().await, MachineState::Running, "it runs on");
    assert_eq!(holds().await, before, "and has what it had");
    if harness.support().power {
        provider.stop(id, StopMode::Force, &Cx::silent()).await.expect("stop returns when it is stopped");
        cancelled(provider.start(id, &cx).await);
        assert_eq!(state().await, MachineState::Stopped, "it stays as it is");
    }
    destroyed(harness, &request, Some(&instance)).await;
}

fn cancelled<T>(ended: Result<T, Error>) {
    let Err(error) = ended else { panic!("a call that is cancelled before it begins does not succeed") };
    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
}
