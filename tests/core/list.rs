//! `ls`: what is broken is a line, and never hides the others.

use std::time::Duration;

use rmachine_core::{Filter, RemoveMode, Status};
use rmachine_model::error::Kind;
use rmachine_provider_api::{Kind as CloudKind, StopMode};
use rmachine_provider_fake::{Effect, Operation, When};

use crate::support::{World, none, options, text};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_broken_record_is_a_line_and_rm_f_forgets_it() {
    let world = World::new();
    let core = world.core();
    core.create(options("good")).await.unwrap();
    core.create(options("bad")).await.unwrap();
    core.create(options("empty")).await.unwrap();
    let config = world.store().machine_file("bad", "config.json");
    let whole = std::fs::read(&config).unwrap();
    std::fs::write(&config, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(world.store().machine_file("empty", "config.json"), "").unwrap();

    let lines = core.list(&Filter::default(), SOON).await.unwrap();
    let seen: Vec<(&str, Status, bool)> = lines.iter().map(|l| (l.name.as_str(), l.state, l.error.is_some())).collect();
    assert_eq!(seen[0], ("bad", Status::Error, true));
    assert_eq!(seen[1], ("empty", Status::Error, true));
    assert_eq!((seen[2].0, seen[2].1), ("good", Status::Running));
    assert!(lines[0].error.as_ref().unwrap().contains("bad/config.json is damaged"), "{:?}", lines[0].error);

    let refused = core.remove("bad", RemoveMode::Normal).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Store);
    assert!(refused.hints().iter().any(|h| h.contains("rmachine rm -f bad")), "{}", text(&refused));
    core.remove("bad", RemoveMode::Force).await.unwrap();
    assert!(world.account.held().iter().all(|h| h.resource.machine.as_deref() != Some("bad")), "found by its tags");
    assert_eq!(world.store().names().unwrap(), ["empty", "good"]);
    core.create(options("bad")).await.expect("the name is free");
}

#[tokio::test]
async fn a_record_of_a_newer_program_is_refused_and_left_alone() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    let config = world.store().machine_file("m", "config.json");
    let mut document = world.store().load_document("m").unwrap();
    document["Rmachine"]["Version"] = 99.into();
    document["Rmachine"]["Phase"] = "a-phase-of-the-future".into();
    std::fs::write(&config, document.to_string()).unwrap();
    let before = std::fs::read(&config).unwrap();
    let refusals = [
        core.access("m").map(|_| ()),
        core.start("m").await,
        core.stop("m", StopMode::Graceful).await,
        core.remove("m", RemoveMode::Normal).await,
    ];
    for refused in refusals {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), Kind::Store);
        assert!(text(&refused).contains("is from a newer rmachine"), "{}", text(&refused));
        assert!(text(&refused).contains("it has format 99, this program knows 2: update rmachine"));
    }
    assert_eq!(std::fs::read(&config).unwrap(), before);
    let lines = core.list(&Filter::default(), SOON).await.unwrap();
    assert_eq!(lines[0].state, Status::Error);
}

#[tokio::test]
async fn many_machines_are_one_question() {
    let world = World::new();
    let core = world.core();
    for name in ["a", "b", "c", "d"] {
        core.create(options(name)).await.unwrap();
    }
    core.stop("c", StopMode::Graceful).await.unwrap();
    world.account.calm();
    let lines = core.list(&Filter::default(), SOON).await.unwrap();
    assert_eq!(world.account.calls(), [Operation::Describe]);
    let states: Vec<Status> = lines.iter().map(|l| l.state).collect();
    assert_eq!(states, [Status::Running, Status::Running, Status::Stopped, Status::Running]);
    assert_eq!(lines[2].url, None, "what is stopped has no engine to reach");
    world.account.calm();
    let running = core.list(&Filter::parse(&["state=running".to_owned()]).unwrap(), SOON).await.unwrap();
    assert_eq!(running.len(), 3);
    let named = core.list_recorded(&Filter::parse(&["name=^[ab]$".to_owned()]).unwrap()).unwrap();
    assert_eq!(named.len(), 2);
}

#[tokio::test]
async fn a_provider_that_fails_or_hangs_is_a_word_in_its_lines_only() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    world.account.calm();
    world.account.script(Operation::Describe, 1, When::Before, Effect::fail(CloudKind::Throttled));
    let lines = core.list(&Filter::default(), SOON).await.unwrap();
    assert_eq!((lines[0].state, lines[0].error.as_deref()), (Status::Error, Some("the fake cloud fails Describe")));
    assert_eq!(lines[1].state, Status::Unreachable, "nobody listens on port 1");
    world.account.script(Operation::Describe, 2, When::Before, Effect::hang(|| {}));
    let lines = core.list(&Filter::default(), Duration::from_millis(50)).await.unwrap();
    assert_eq!((lines[0].state, lines[1].state), (Status::Timeout, Status::Unreachable));
}

#[tokio::test]
async fn a_machine_that_was_started_elsewhere_says_how_to_follow_it() {
    let world = World::new();
    let core = world.core();
    let created = core.create(options("m")).await.unwrap();
    let old = created.record.address().unwrap().to_owned();
    world.account.move_to(created.record.instance.unwrap().id.as_str(), "127.99.0.1");
    let lines = core.list(&Filter::default(), SOON).await.unwrap();
    let error = lines[0].error.clone().unwrap_or_default();
    assert!(error.contains("127.99.0.1") && error.contains("rmachine start m"), "{error}");
    core.start("m").await.unwrap();
    assert_eq!(core.access("m").unwrap().host, "127.99.0.1");
    assert_ne!(old, "127.99.0.1");
}
