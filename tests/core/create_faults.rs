//! A create that fails, is interrupted or is killed, at each of its requests.

use rmachine_core::RemoveMode;
use rmachine_model::error::Kind;
use rmachine_provider_api::{Capabilities, Kind as CloudKind, ResourceKind, StopMode};
use rmachine_provider_fake::{Effect, Operation, When};
use rmachine_store::Phase;

use crate::support::{World, killed_at, options, text};

/// The requests of a create that succeeds, each with how many of its kind came before.
async fn requests() -> Vec<(Operation, usize)> {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let calls = world.account.calls();
    let numbered = |(at, call): (usize, &Operation)| (*call, calls[..=at].iter().filter(|c| *c == call).count());
    let requests: Vec<_> = calls.iter().enumerate().map(numbered).collect();
    assert!(requests.len() >= 5, "{requests:?}");
    requests
}

#[tokio::test]
async fn a_failure_at_any_request_leaves_nothing() {
    for (operation, call) in requests().await {
        for when in [When::Before, When::After] {
            let world = World::new();
            world.account.script(operation, call, when, Effect::fail(CloudKind::Denied));
            let error = world.core().create(options("m")).await.unwrap_err();
            let what = format!("{when:?} {operation:?} {call}: {}", text(&error));
            let kind = match operation {
                Operation::Connect | Operation::Preflight => Kind::PreCreate,
                _ => Kind::Provider,
            };
            assert_eq!(error.kind(), kind, "{what}");
            assert!(what.contains(&format!("the fake cloud fails {operation:?}")), "{what}");
            world.assert_empty(&what);
            world.account.calm();
            world.core().create(options("m")).await.expect("the name is free again");
        }
    }
}

fn count(world: &World, operation: Operation) -> usize {
    world.account.calls().iter().filter(|call| **call == operation).count()
}

/// What is refused for good is asked for once, and the record of what was asked goes with it.
#[tokio::test]
async fn a_refusal_at_any_request_leaves_nothing_and_is_not_repeated() {
    for (operation, call) in requests().await {
        let world = World::new();
        world.account.script(operation, call, When::Before, Effect::refuse(CloudKind::Denied));
        let error = world.core().create(options("m")).await.unwrap_err();
        let what = format!("{operation:?} {call}: {}", text(&error));
        assert!(what.contains(&format!("the fake cloud fails {operation:?}")), "{what}");
        world.assert_empty(&what);
        for maker in [Operation::CreateGroup, Operation::SetRules, Operation::RunInstance] {
            assert!(count(&world, maker) <= 1, "{what}: {maker:?} was sent again");
        }
        if operation == Operation::CreateGroup {
            let after = world.account.calls();
            assert_eq!(after.last(), Some(&operation), "nothing was made, so nothing is looked for: {after:?}");
        }
    }
}

/// The roll-back is refused as well: the record says what is left, and `rm` does not start an instance to find one.
#[tokio::test]
async fn a_refused_create_whose_roll_back_fails_is_removed_without_asking_for_an_instance() {
    let world = World::new();
    world.account.script(Operation::RunInstance, 0, When::Before, Effect::refuse(CloudKind::Denied));
    world.account.script(Operation::DeleteGroup, 0, When::Before, Effect::refuse(CloudKind::Denied));
    let error = world.core().create(options("m")).await.unwrap_err();
    assert!(text(&error).contains("removing what was made failed as well"), "{}", text(&error));
    let record = world.record("m");
    assert_eq!(record.intents, ["CreateGroup"], "what was refused is no intent any more");
    let left: Vec<_> = record.resources.iter().map(|resource| resource.kind).collect();
    assert_eq!(left, [ResourceKind::SecurityGroup]);
    world.account.calm();
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    assert_eq!(count(&world, Operation::RunInstance), 0);
    world.assert_empty("after rm");
}

/// An answer that was lost is not taken for a refusal: only the same request tells what became of it.
#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let world = World::new();
    world.account.script(Operation::RunInstance, 1, When::After, Effect::fail(CloudKind::Unreachable));
    world.core().create(options("m")).await.unwrap_err();
    assert_eq!(count(&world, Operation::RunInstance), 2);
    world.assert_empty("an instance whose answer was lost");
}

#[tokio::test]
async fn a_failure_leaves_nothing_when_the_cloud_shows_things_late() {
    let world = World::new();
    world.account.show_after(9);
    world.account.script(Operation::RunInstance, 1, When::After, Effect::fail(CloudKind::Unreachable));
    world.core().create(options("m")).await.unwrap_err();
    world.assert_empty("an instance whose answer was lost");
}

#[tokio::test]
async fn what_cannot_be_rolled_back_is_said_and_rm_finishes_it() {
    let world = World::new();
    world.account.script(Operation::Describe, 1, When::Before, Effect::fail(CloudKind::Unreachable));
    world.account.script(Operation::TerminateInstance, 1, When::Before, Effect::fail(CloudKind::Throttled));
    let error = world.core().create(options("m")).await.unwrap_err();
    insta::assert_snapshot!(text(&error), @r#"
    Error: cannot make the instance of machine "m"
    Caused by: the fake cloud fails Describe
    Caused by: as the script says
    Hint: removing what was made failed as well: the fake cloud fails TerminateInstance
    Hint: repeat it with `rmachine rm -y m`
    "#);
    assert_eq!(world.record("m").phase, Phase::Removing);
    assert!(!world.account.held().is_empty());
    for refused in [world.core().start("m").await, world.core().access("m").map(|_| ())] {
        assert_eq!(refused.unwrap_err().to_string(), "machine \"m\" is being removed");
    }
    let taken = world.core().create(options("m")).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
}

#[tokio::test]
async fn keep_on_failure_keeps_all_and_says_how_to_go_on() {
    let world = World::new();
    world.account.script(Operation::Describe, 1, When::Before, Effect::fail(CloudKind::Unreachable));
    let kept = rmachine_core::MachineSpec { keep_on_failure: true, ..options("m") };
    let error = world.core().create(kept).await.unwrap_err();
    assert!(error.hints().iter().any(|h| h.contains("rmachine rm -y m")), "{}", text(&error));
    assert_eq!(world.account.held().len(), 3, "group, instance and volume are kept");
    assert_eq!(world.record("m").phase, Phase::Creating);
    let unfinished = world.core().stop("m", StopMode::Graceful).await.unwrap_err();
    assert_eq!(unfinished.kind(), Kind::Conflict);
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
}

#[tokio::test]
async fn an_interrupt_at_any_request_rolls_back() {
    for (operation, call) in requests().await {
        for when in [When::Before, When::After] {
            let world = World::new();
            let core = world.core();
            let interrupt = core.interrupt().clone();
            world.account.script(operation, call, when, Effect::call(move || interrupt.raise()));
            let error = core.create(options("m")).await.unwrap_err();
            let what = format!("{when:?} {operation:?} {call}: {}", text(&error));
            assert_eq!(error.kind(), Kind::Interrupted, "{what}");
            // What is under way ends, and nothing more is made.
            let calls = world.account.calls();
            let (at, _) = calls.iter().enumerate().filter(|(_, called)| **called == operation).nth(call - 1).unwrap();
            let makes = [Operation::CreateGroup, Operation::SetRules, Operation::RunInstance];
            assert!(!calls[at + 1..].iter().any(|called| makes.contains(called)), "{what}: {calls:?}");
            world.assert_empty(&what);
        }
    }
}

#[tokio::test]
async fn an_interrupt_ends_questions_that_get_no_answer() {
    for operation in [Operation::Connect, Operation::Preflight] {
        let world = World::new();
        let core = world.core();
        let interrupt = core.interrupt().clone();
        world.account.script(operation, 1, When::Before, Effect::hang(move || interrupt.raise()));
        let error = core.create(options("m")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        world.assert_empty("nothing was made");
        assert_eq!(world.account.swept(), 1, "what a preflight fetched in part goes as well");
    }
}

/// EC2 goes on starting the instance: Ctrl-C does not wait for that, and the instance goes.
#[tokio::test]
async fn an_interrupt_ends_the_wait_for_an_instance() {
    let world = World::new();
    let core = world.core();
    let interrupt = core.interrupt().clone();
    world.account.script(Operation::Describe, 1, When::Before, Effect::hang(move || interrupt.raise()));
    let error = core.create(options("m")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted, "{}", text(&error));
    world.assert_empty("after Ctrl-C");
}

/// The host never answers: Ctrl-C does not wait for it.
#[tokio::test]
async fn an_interrupt_ends_the_wait_for_a_host_that_does_not_answer() {
    let world = World::new();
    let core = world.core_with(Capabilities { ssh: true, engine: true, power: true, ingress: true });
    let interrupt = core.interrupt().clone();
    let press = async {
        while !world.said.lines().contains(&"m: waiting for SSH".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(world.record("m").phase, Phase::Booting);
        interrupt.raise();
    };
    let (result, ()) = tokio::join!(core.create(options("m")), press);
    assert_eq!(result.unwrap_err().kind(), Kind::Interrupted);
    world.assert_empty("after Ctrl-C");
}

/// The process dies in the middle of a request: the next one finds the record, and `rm` leaves nothing.
#[tokio::test]
async fn a_create_killed_at_any_request_is_finished_by_rm() {
    for (operation, call) in requests().await {
        for when in [When::Before, When::After] {
            let world = World::new();
            world.account.show_after(5);
            killed_at(&world, operation, call, when).await;
            let what = format!("{when:?} {operation:?} {call}");
            let record = world.record("m");
            assert!(matches!(record.phase, Phase::Reserved | Phase::Creating), "{what}");
            let unfinished = world.core().access("m").unwrap_err();
            assert_eq!(unfinished.to_string(), "the create of machine \"m\" did not end", "{what}");
            world.core().remove("m", RemoveMode::Normal).await.unwrap();
            world.assert_empty(&what);
            assert_eq!(world.account.swept(), u32::from(record.phase == Phase::Reserved), "{what}");
        }
    }
}

/// `rm` dies or fails at each of its requests: a repeat ends with nothing.
#[tokio::test]
async fn an_rm_that_fails_at_any_request_can_be_repeated() {
    let probe = World::new();
    probe.core().create(options("m")).await.unwrap();
    probe.account.calm();
    probe.core().remove("m", RemoveMode::Normal).await.unwrap();
    let calls = probe.account.calls();
    for operation in [Operation::Connect, Operation::FindTags, Operation::TerminateInstance, Operation::DeleteGroup] {
        assert!(calls.contains(&operation), "{calls:?}");
        for when in [When::Before, When::After] {
            let world = World::new();
            world.core().create(options("m")).await.unwrap();
            world.account.calm();
            world.account.script(operation, 1, when, Effect::fail(CloudKind::Throttled));
            let error = world.core().remove("m", RemoveMode::Normal).await.unwrap_err();
            let what = format!("{when:?} {operation:?}");
            assert_eq!(error.kind(), Kind::Provider, "{what}");
            assert_eq!(world.record("m").phase, Phase::Removing, "{what}");
            world.core().remove("m", RemoveMode::Normal).await.unwrap();
            world.assert_empty(&what);
        }
    }
}

#[tokio::test]
async fn a_forced_rm_forgets_says_what_may_be_left_and_keeps_a_tombstone() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    world.account.script(Operation::TerminateInstance, 0, When::Before, Effect::fail(CloudKind::Denied));
    let token = world.record("m").token;
    let error = world.core().remove("m", RemoveMode::Force).await.unwrap_err();
    assert_eq!(error.to_string(), "machine \"m\" is forgotten, but what it made may still be there");
    assert!(text(&error).contains(token.as_str()), "{}", text(&error));
    assert_eq!(world.store().names().unwrap(), Vec::<String>::new());
    let tombs: Vec<_> = std::fs::read_dir(world.store().root().join("tombstones")).unwrap().collect();
    assert_eq!(tombs.len(), 1, "gc finds what is left by it");
}
