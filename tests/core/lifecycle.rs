//! A machine's whole life.

use std::sync::{Arc, Mutex};

use rmachine_core::{Filter, Follower, MachineEvent, RemoveMode, Status};
use rmachine_model::error::Kind;
use rmachine_provider_api::{Capabilities, Kind as CloudKind, ResourceKind, StopMode, Value};
use rmachine_provider_fake::{Effect, Operation, When};
use rmachine_store::{Phase, Power};

use crate::support::{World, none, options, text, with};

const SOON: std::time::Duration = std::time::Duration::from_secs(5);

#[tokio::test]
async fn create_stop_start_rm() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    let record = world.record("m");
    assert_eq!((record.phase, record.power), (Phase::Ready, Power::Running));
    assert_eq!(record.intents, ["CreateGroup", "RunInstance"]);
    let kinds: Vec<ResourceKind> = record.resources.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [ResourceKind::SecurityGroup, ResourceKind::Instance, ResourceKind::Volume]);
    for held in world.account.held() {
        assert_eq!(held.resource.owner.as_ref(), Some(&record.owner));
        assert_eq!(held.resource.token.as_ref(), Some(&record.token));
    }

    let access = core.access("m").unwrap();
    assert_eq!(access.url, format!("tcp://{}:2376", access.host));
    assert!(access.cert_path.join("ca.pem").exists() && access.cert_path.join("key.pem").exists());
    let status = core.status(&["m".to_owned()], SOON).await.remove(0).unwrap();
    assert_eq!(status.state, Status::Running);

    core.stop("m", StopMode::Graceful).await.unwrap();
    core.stop("m", StopMode::Graceful).await.expect("stopped already is success");
    let refused = core.access("m").unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(text(&refused), "Error: machine \"m\" is stopped\nHint: start it with `rmachine start m`");
    let status = core.status(&["m".to_owned()], SOON).await.remove(0).unwrap();
    assert_eq!(status.state, Status::Stopped);

    core.start("m").await.unwrap();
    let moved = core.access("m").unwrap();
    assert_ne!(moved.host, access.host, "the address changes over stop and start");
    core.start("m").await.expect("running already is success");
    assert_eq!(core.access("m").unwrap(), moved);
    core.restart("m").await.unwrap();

    core.remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
    let gone = core.remove("m", RemoveMode::Normal).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NoSuchMachine);
}

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<(String, MachineEvent)>>);

impl Told {
    fn take(&self) -> Vec<(String, MachineEvent)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Follower for Told {
    fn follow(&self, machine: &str, event: &MachineEvent) {
        self.0.lock().unwrap().push((machine.to_owned(), event.clone()));
    }
}

#[tokio::test]
async fn followers_are_told_what_becomes_of_a_machine() {
    let world = World::new();
    let told = Arc::new(Told::default());
    let none = Capabilities { ssh: false, engine: false, power: true, ingress: true };
    let core = world.builder_with(none).follower(told.clone()).build();
    let m = |event: MachineEvent| ("m".to_owned(), event);
    core.create(options("m")).await.unwrap();
    assert_eq!(told.take(), [m(MachineEvent::Created)]);
    core.stop("m", StopMode::Graceful).await.unwrap();
    core.stop("m", StopMode::Graceful).await.unwrap();
    assert_eq!(told.take(), [m(MachineEvent::Power(Power::Stopped))], "once");
    core.start("m").await.unwrap();
    let url = Some(core.access("m").unwrap().url);
    assert_eq!(told.take(), [m(MachineEvent::Power(Power::Running)), m(MachineEvent::Moved { url })]);
    core.rename("m", "n").await.unwrap();
    assert_eq!(told.take(), [("n".to_owned(), MachineEvent::Renamed { from: "m".to_owned() })]);
    core.remove("n", RemoveMode::Normal).await.unwrap();
    assert_eq!(told.take(), [("n".to_owned(), MachineEvent::Removed)]);
    // Of a create that failed nobody hears but that it is gone.
    world.account.calm();
    world.account.script(Operation::RunInstance, 1, When::Before, Effect::fail(CloudKind::Denied));
    core.create(options("o")).await.unwrap_err();
    assert_eq!(told.take(), [("o".to_owned(), MachineEvent::Removed)]);
}

#[tokio::test]
async fn a_stopped_machine_can_be_restarted_and_removed() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    core.stop("m", StopMode::Force).await.unwrap();
    core.restart("m").await.unwrap();
    assert_eq!(world.record("m").power, Power::Running);
    core.stop("m", StopMode::Graceful).await.unwrap();
    core.remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm of a stopped machine");
}

#[tokio::test]
async fn what_cannot_be_stopped_says_so_and_stays_running() {
    let world = World::new();
    let core = world.core();
    core.create(with("spot", &[("fake-spot", Value::Switch(true))])).await.unwrap();
    let refused = core.stop("spot", StopMode::Graceful).await.unwrap_err();
    assert_eq!(refused.to_string(), "a one-time spot instance cannot be stopped");
    assert_eq!(world.record("spot").power, Power::Running);
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    let refused = core.stop("url", StopMode::Graceful).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Provider);
    core.access("url").expect("it is as usable as before");
}

#[tokio::test]
async fn everything_works_when_the_cloud_shows_things_late() {
    let world = World::new();
    world.account.show_after(9);
    let core = world.core();
    core.create(options("m")).await.unwrap();
    core.stop("m", StopMode::Graceful).await.unwrap();
    core.start("m").await.unwrap();
    core.remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
}

#[tokio::test]
async fn rm_of_one_leaves_the_others_and_strangers() {
    let world = World::new();
    world.account.plant(ResourceKind::Instance, "i-stranger");
    let core = world.core();
    let (one, two) = tokio::join!(core.create(options("one")), core.create(options("two")));
    one.unwrap();
    two.unwrap();
    core.remove("one", RemoveMode::Normal).await.unwrap();
    let status = core.status(&["two".to_owned()], SOON).await.remove(0).unwrap();
    assert_eq!(status.state, Status::Running);
    core.remove("two", RemoveMode::Normal).await.unwrap();
    let left: Vec<String> = world.account.held().into_iter().map(|h| h.resource.id).collect();
    assert_eq!(left, ["i-stranger"]);
}

#[tokio::test]
async fn an_instance_that_was_ended_elsewhere_is_missing_and_can_be_removed() {
    let world = World::new();
    let core = world.core();
    let created = core.create(options("m")).await.unwrap();
    let id = created.record.instance.unwrap().id;
    world.account.lose(id.as_str());
    let listed = core.list(&Filter::default(), SOON).await.unwrap();
    assert_eq!(listed[0].state, Status::Missing);
    assert_eq!(listed[0].error, Some(format!("the instance {id} is gone")));
    let refused = core.start("m").await.unwrap_err();
    assert_eq!(refused.to_string(), format!("there is no instance {id}"));
    core.remove("m", RemoveMode::Normal).await.unwrap();
    assert_eq!(world.store().names().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn allow_replaces_who_may_connect() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    let network = "192.0.2.0/24".parse().unwrap();
    assert_eq!(core.allow("m", &[network]).await.unwrap(), [network]);
    let group = world.account.held().into_iter().find(|h| h.resource.kind == ResourceKind::SecurityGroup).unwrap();
    assert_eq!(group.rules, [network]);
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    let refused = core.allow("url", &[]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the driver \"none\" has no firewall that rmachine could change");
}
