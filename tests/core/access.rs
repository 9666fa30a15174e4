//! The hot path reads the record and nothing else.

use rmachine_provider_api::StopMode;

use crate::support::{World, none, options};

#[tokio::test]
async fn nothing_is_asked_of_the_cloud() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    world.account.calm();
    let core = world.core();
    core.access("m").unwrap();
    core.list_recorded(&rmachine_core::Filter::default()).unwrap();
    core.store().load_document("m").unwrap();
    assert_eq!(world.account.calls(), []);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_an_error_of_the_engine() {
    let world = World::new();
    let core = world.core();
    core.create(none("m", "tcp://[::1]:1")).await.unwrap();
    let access = core.access("m").unwrap();
    assert_eq!((access.url.as_str(), access.host.as_str(), access.port), ("tcp://[::1]:1", "::1", 1));
    let error = core.check(&access, std::time::Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), rmachine_model::error::Kind::Engine);
    assert_eq!(error.to_string(), "the engine of machine \"m\" is not reachable");
    assert_eq!(error.causes()[0], "tcp://[::1]:1 cannot be connected to");
}

#[tokio::test]
async fn a_stop_that_fails_leaves_the_machine_usable() {
    use rmachine_provider_api::Kind;
    use rmachine_provider_fake::{Effect, Operation, When};
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    world.account.script(Operation::StopInstance, 1, When::Before, Effect::fail(Kind::Throttled));
    core.stop("m", StopMode::Graceful).await.unwrap_err();
    core.access("m").unwrap();
    core.stop("m", StopMode::Graceful).await.unwrap();
    core.access("m").unwrap_err();
}
