//! `destroy` and `allow`.

use super::{
    harness::{Harness, destroyed, held, machine_ref, made},
    power::unsupported,
};
use crate::{Cx, Kind, MachineRef, MachineState};

/// `destroy` leaves nothing; a repeat and a machine that was never made are success.
pub async fn destroy_ends_with_nothing(harness: &dyn Harness) {
    let never_made = harness.request("never").await;
    destroyed(harness, &never_made, None).await;
    let (request, instance) = made(harness, "gone").await;
    // By the token alone, as after a crash that came before the record knew of the instance.
    destroyed(harness, &request, None).await;
    assert_eq!(held(harness, &request.token).await, [], "nothing carries the token after a destroy");
    if harness.support().makes {
        let observed = harness.provider().observe(std::slice::from_ref(&instance.id)).await.expect("observe answers");
        assert!(
            matches!(observed[0].state, MachineState::Terminated | MachineState::Absent),
            "a destroyed instance is gone, not {:?}",
            observed[0].state
        );
    }
    destroyed(harness, &request, Some(&instance)).await;
}

/// Tags alone are enough for `destroy`: no record, no plan, as gc finds what was left behind.
pub async fn destroy_needs_tags_only(harness: &dyn Harness) {
    let (request, instance) = made(harness, "orphan").await;
    let machine = MachineRef { plan: None, ..machine_ref(&request, None) };
    let provider = harness.provider();
    for _ in 0..2 {
        provider.destroy(&machine, &Cx::silent()).await.expect("destroy ends with nothing");
        assert_eq!(held(harness, &request.token).await, [], "nothing carries the token after a destroy");
    }
    if harness.support().makes {
        let observed = provider.observe(std::slice::from_ref(&instance.id)).await.expect("observe answers");
        assert!(matches!(observed[0].state, MachineState::Terminated | MachineState::Absent), "{:?}", observed[0]);
    }
}

/// `destroy` of one machine leaves the others alone, also one of the same name, as another store may have.
pub async fn destroy_spares_others(harness: &dyn Harness) {
    let (one, first) = made(harness, "one").await;
    let (two, second) = made(harness, "one").await;
    let before = held(harness, &two.token).await;
    destroyed(harness, &one, Some(&first)).await;
    assert_eq!(held(harness, &two.token).await.len(), before.len(), "the other machine's things stay");
    if harness.support().makes {
        let observed = harness.provider().observe(std::slice::from_ref(&second.id)).await.expect("observe answers");
        assert_eq!(observed[0].state, MachineState::Running, "the other machine runs on");
    }
    destroyed(harness, &two, Some(&second)).await;
}

/// `allow` replaces who may connect, and says who may now.
pub async fn allow(harness: &dyn Harness) {
    let (request, instance) = made(harness, "allow").await;
    let provider = harness.provider();
    let machine = machine_ref(&request, Some(&instance));
    if harness.support().ingress {
        let sources = ["192.0.2.0/24".parse().expect("a network"), "2001:db8::/48".parse().expect("a network")];
        for _ in 0..2 {
            let mut admitted =
                provider.allow(&machine, Some(&sources), &Cx::silent()).await.expect("allow takes networks");
            admitted.sort();
            assert_eq!(admitted, sources, "these networks are admitted, and no others");
        }
        let own = provider.allow(&machine, None, &Cx::silent()).await.expect("allow finds the caller's address");
        assert!(!own.is_empty(), "the caller is admitted");
        assert!(own.iter().all(|n| n.prefix_len() == n.max_prefix_len()), "one address only: {own:?}");
    } else {
        unsupported(&provider.allow(&machine, None, &Cx::silent()).await.expect_err("there is no firewall to change"));
    }
    // Whether it has an idea or not, the question itself is safe, for a machine without instance too.
    let _ = provider.diagnose(&machine).await;
    let _ = provider.diagnose(&machine_ref(&request, None)).await;
    provider.destroy(&machine, &Cx::silent()).await.expect("destroy ends with nothing");
}

/// A record whose instance carries another token ends nothing: neither that instance, nor what carries its own.
pub async fn destroy_refuses_what_is_of_others(harness: &dyn Harness) {
    if !harness.support().makes {
        return;
    }
    let (one, first) = made(harness, "mine").await;
    let (two, second) = made(harness, "theirs").await;
    let provider = harness.provider();
    for by_id in [false, true] {
        let machine = MachineRef { by_id, ..machine_ref(&one, Some(&second)) };
        let refused = provider.destroy(&machine, &Cx::silent()).await.expect_err("it is another machine's");
        assert_eq!(refused.kind(), Kind::Conflict, "{refused}");
        assert!(refused.to_string().contains(second.id.as_str()), "it names the instance: {refused}");
    }
    let observed = provider.observe(&[first.id.clone(), second.id.clone()]).await.expect("observe answers");
    assert!(observed.iter().all(|o| o.state == MachineState::Running), "both run on: {observed:?}");
    for (request, instance) in [(one, first), (two, second)] {
        destroyed(harness, &request, Some(&instance)).await;
    }
}
