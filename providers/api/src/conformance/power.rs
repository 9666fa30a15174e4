//! `start`, `stop` and `reboot`.

use super::{
    harness::{Harness, destroyed, made},
    look::missing_like,
};
use crate::{Cx, Error, Kind, MachineState, Retry, StopMode};

/// Stopped twice and started twice is fine; a missing one is `NotFound`, a power that cannot be
/// had `Unsupported`.
pub async fn power(harness: &dyn Harness) {
    let (request, instance) = made(harness, "power").await;
    let provider = harness.provider();
    let id = &instance.id;
    let missing = missing_like(id);
    if harness.support().power {
        for mode in [StopMode::Graceful, StopMode::Force] {
            provider.stop(id, mode, &Cx::silent()).await.expect("stop returns when it is stopped");
            provider.stop(id, mode, &Cx::silent()).await.expect("stopped already is success");
            let observed = provider.observe(std::slice::from_ref(id)).await.expect("observe answers");
            assert_eq!(observed[0].state, MachineState::Stopped, "a stopped instance is stopped");
            let started = provider.start(id, &Cx::silent()).await.expect("start returns when it runs");
            assert_eq!(started.state, MachineState::Running, "start answers a running instance");
            assert!(started.addresses.dial.is_some(), "start answers its addresses");
            let again = provider.start(id, &Cx::silent()).await.expect("running already is success");
            assert_eq!(again.addresses, started.addresses, "a repeated start changes nothing");
        }
        let refused = provider.start(&missing, &Cx::silent()).await.expect_err("a missing instance cannot start");
        assert_eq!(refused.kind(), Kind::NotFound, "start of a missing instance: {refused}");
        let refused = provider.stop(&missing, StopMode::Graceful, &Cx::silent()).await.expect_err("nor stop");
        assert_eq!(refused.kind(), Kind::NotFound, "stop of a missing instance: {refused}");
    } else {
        unsupported(&provider.start(id, &Cx::silent()).await.expect_err("there is no power to start with"));
        unsupported(&provider.stop(id, StopMode::Graceful, &Cx::silent()).await.expect_err("nor to stop with"));
        unsupported(&provider.stop(id, StopMode::Force, &Cx::silent()).await.expect_err("nor to kill with"));
    }
    destroyed(harness, &request, Some(&instance)).await;
}

/// A reboot keeps instance and addresses; a missing one is `NotFound`.
pub async fn reboot(harness: &dyn Harness) {
    let (request, instance) = made(harness, "reboot").await;
    let provider = harness.provider();
    if harness.support().power {
        provider.reboot(&instance.id, &Cx::silent()).await.expect("a running instance reboots");
        let refused =
            provider.reboot(&missing_like(&instance.id), &Cx::silent()).await.expect_err("a missing one does not");
        assert_eq!(refused.kind(), Kind::NotFound, "reboot of a missing instance: {refused}");
        let observed = provider.observe(std::slice::from_ref(&instance.id)).await.expect("observe answers");
        assert_eq!(observed[0].addresses, instance.addresses, "a reboot keeps the addresses");
    } else {
        unsupported(
            &provider.reboot(&instance.id, &Cx::silent()).await.expect_err("there is no interface to reboot with"),
        );
    }
    destroyed(harness, &request, Some(&instance)).await;
}

/// What an unsupported operation owes: its kind, no retry, and a word on what to do instead.
pub(super) fn unsupported(error: &Error) {
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!(error.retryable(), Retry::Never, "repeating an unsupported operation changes nothing");
    assert_eq!(*error.left_behind(), crate::LeftBehind::Nothing, "an unsupported operation leaves nothing");
}
