//! A create that ended early is gone on with; one that finds no room goes elsewhere.

use rmachine_core::RemoveMode;
use rmachine_model::error::Kind;
use rmachine_provider_api::{Kind as CloudKind, LeftBehind, ResourceKind, Retry, Value};
use rmachine_provider_fake::{Effect, Operation, When};
use rmachine_store::Phase;

use crate::support::{World, killed_at, options, text, with};

#[tokio::test]
async fn a_create_killed_at_any_request_is_finished_by_the_same_create() {
    let probe = World::new();
    probe.core().create(options("m")).await.unwrap();
    let calls = probe.account.calls();
    for (at, operation) in calls.iter().enumerate() {
        let call = calls[..=at].iter().filter(|c| *c == operation).count();
        for when in [When::Before, When::After] {
            let world = World::new();
            world.account.show_after(3);
            killed_at(&world, *operation, call, when).await;
            let token = world.record("m").token;
            let what = format!("{when:?} {operation:?} {call}");
            let created = world.core().create(options("m")).await.unwrap_or_else(|e| panic!("{what}: {}", text(&e)));
            assert_eq!((created.record.phase, created.record.token), (Phase::Ready, token), "{what}");
            assert!(world.said.lines().iter().any(|l| l.contains("going on with a create")), "{what}");
            let kinds = |kind| world.account.held().iter().filter(|h| h.resource.kind == kind).count();
            assert_eq!(
                [ResourceKind::Instance, ResourceKind::Volume, ResourceKind::SecurityGroup].map(kinds),
                [1, 1, 1],
                "{what}: nothing twice"
            );
            world.core().remove("m", RemoveMode::Normal).await.unwrap();
            world.assert_empty(&what);
        }
    }
}

#[tokio::test]
async fn a_create_that_asks_for_something_else_does_not_go_on() {
    let world = World::new();
    killed_at(&world, Operation::RunInstance, 1, When::After).await;
    let other = world.core().create(with("m", &[("fake-size", Value::Integer(9))])).await.unwrap_err();
    assert_eq!(other.kind(), Kind::Conflict);
    insta::assert_snapshot!(text(&other), @r#"
    Error: the create of machine "m" did not end, and it asked for something else
    Hint: repeat it with the same flags to go on with it
    Hint: or remove what it left with `rmachine rm -y m`, then create it again
    "#);
    assert_eq!(world.record("m").phase, Phase::Creating, "nothing was changed");
}

/// Credentials that have expired, a network that is down: what was made stays, and the next try goes on.
#[tokio::test]
async fn what_cannot_be_asked_now_undoes_nothing() {
    let world = World::new();
    killed_at(&world, Operation::Describe, 1, When::Before).await;
    world.account.script(Operation::Connect, 1, When::Before, Effect::fail(CloudKind::Credentials));
    let refused = world.core().create(options("m")).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot go on with the create of machine \"m\" now");
    assert_eq!((world.record("m").phase, world.account.held().len()), (Phase::Creating, 3));
    world.account.calm();
    let key = world.store().certs_directory().join("ca-key.pem");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = world.core().create(options("m")).await.unwrap_err();
    assert_eq!((refused.kind(), world.account.held().len()), (Kind::Store, 3));
    world.store().write(&key, &kept).unwrap();
    world.core().create(options("m")).await.unwrap();
    assert_eq!((world.record("m").phase, world.account.held().len()), (Phase::Ready, 3));
}

/// Two creates of one name: the second neither waits nor takes over.
#[tokio::test]
async fn a_create_that_is_under_way_is_not_taken_over() {
    let world = World::new();
    killed_at(&world, Operation::Describe, 1, When::Before).await;
    let _held = world.store().lock_machine("m", || {}).unwrap();
    let busy = world.core().create(options("m")).await.unwrap_err();
    assert_eq!(busy.kind(), Kind::Conflict);
    assert_eq!(busy.to_string(), "another rmachine process holds the lock of machine-m");
}

fn no_room(kind: CloudKind) -> Effect {
    Effect::Fail { kind, retry: Retry::Elsewhere, left: LeftBehind::Nothing }
}

#[tokio::test]
async fn where_there_is_no_room_the_next_place_is_taken_and_said() {
    for kind in [CloudKind::Capacity, CloudKind::Quota] {
        let world = World::new();
        world.account.script(Operation::RunInstance, 1, When::Before, no_room(kind));
        let fallbacks = Value::List(vec!["second".into(), "third".into()]);
        let record = world.core().create(with("m", &[("fake-fallback", fallbacks)])).await.unwrap().record;
        let plan = record.plan.unwrap();
        assert_eq!((plan.resolved["region"].as_str(), plan.alternatives.len()), (Some("second"), 1));
        let said = world.said.lines();
        let line = "m: warning: the fake cloud fails RunInstance (as the script says); trying second";
        assert!(said.iter().any(|said| said == line), "{said:?}");
        world.core().remove("m", RemoveMode::Normal).await.unwrap();
        world.assert_empty("after rm");
    }
}

#[tokio::test]
async fn no_room_anywhere_leaves_nothing() {
    let world = World::new();
    world.account.script(Operation::RunInstance, 0, When::Before, no_room(CloudKind::Capacity));
    let fallbacks = Value::List(vec!["second".into()]);
    world.core().create(with("m", &[("fake-fallback", fallbacks)])).await.unwrap_err();
    assert_eq!(world.account.calls().iter().filter(|c| **c == Operation::RunInstance).count(), 2);
    world.assert_empty("no room");
}

/// Whether a lost answer means "no room" is not known: another attempt could make a second instance.
#[tokio::test]
async fn an_unsure_failure_does_not_go_elsewhere() {
    let world = World::new();
    let unsure = Effect::Fail { kind: CloudKind::Capacity, retry: Retry::Elsewhere, left: LeftBehind::Unknown };
    world.account.script(Operation::RunInstance, 1, When::After, unsure);
    let fallbacks = Value::List(vec!["second".into()]);
    world.core().create(with("m", &[("fake-fallback", fallbacks)])).await.unwrap_err();
    world.assert_empty("rolled back");
}
