//! `gc`, `adopt` and `protect`: what has lost its record, and what must not lose it.

use std::time::Duration;

use rmachine_core::{AdoptOptions, GcOptions, RemoveMode, Standing};
use rmachine_model::{EngineSpec, error::Kind};
use rmachine_provider_api::{Kind as CloudKind, ResourceKind, Values};
use rmachine_provider_fake::{Effect, Operation, When};

use crate::support::{World, killed_at, options, text};

fn everywhere(delete: bool) -> GcOptions {
    GcOptions { delete, ..GcOptions::default() }
}

fn on_fake(owner: Option<&str>, delete: bool) -> GcOptions {
    GcOptions {
        driver: Some(("fake".to_owned(), Values::default())),
        owner: owner.map(|id| id.parse::<rmachine_provider_api::Owner>().unwrap()),
        delete,
        ..GcOptions::default()
    }
}

/// A store that has lost the directory of its machine.
async fn with_orphan() -> World {
    let world = World::new();
    world.account.plant(ResourceKind::Instance, "i-stranger");
    world.core().create(options("kept")).await.unwrap();
    world.core().create(options("lost")).await.unwrap();
    std::fs::remove_dir_all(world.store().machine_directory("lost")).unwrap();
    world
}

#[tokio::test]
async fn a_look_changes_nothing_and_yes_deletes_what_has_no_record() {
    let world = with_orphan().await;
    let before = world.account.held().len();
    let report = world.core().gc(&everywhere(false)).await.unwrap();
    assert_eq!((world.account.held().len(), report.deleted), (before, 0));
    assert!(report.found.iter().all(|o| o.standing == Standing::Orphan), "{report:?}");
    let kinds: Vec<ResourceKind> = report.found.iter().map(|o| o.resource.kind).collect();
    assert_eq!(kinds, [ResourceKind::Instance, ResourceKind::Volume, ResourceKind::SecurityGroup]);
    assert!(report.found.iter().all(|o| o.resource.machine.as_deref() == Some("lost") && o.age_seconds.is_some()));

    let report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!((report.deleted, report.failures.len()), (3, 0));
    let left: Vec<_> = world.account.held().into_iter().map(|h| h.resource.machine).collect();
    assert_eq!(left.iter().filter(|machine| machine.as_deref() == Some("kept")).count(), 3);
    assert_eq!(left.len(), 4, "the living machine's three and the stranger's one: {left:?}");
    let again = world.core().gc(&everywhere(true)).await.unwrap();
    assert!(again.found.is_empty());
}

#[tokio::test]
async fn things_of_another_store_are_listed_and_need_its_id() {
    let world = World::new();
    let ours =
        World { directory: tempfile::tempdir().unwrap(), account: world.account.clone(), said: world.said.clone() };
    world.core().create(options("theirs")).await.unwrap();
    let owner = world.store().owner().unwrap().unwrap();
    ours.core().create(options("mine")).await.unwrap();

    let report = ours.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!((report.deleted, report.found.len()), (0, 3));
    assert!(report.found.iter().all(|o| o.standing == Standing::Foreign && o.resource.owner.as_ref() == Some(&owner)));

    // The other store is wiped: nobody has its records now.
    std::fs::remove_dir_all(world.store().root()).unwrap();
    let wrong = ours.core().gc(&on_fake(Some("nobody"), true)).await.unwrap();
    assert_eq!((wrong.deleted, wrong.found.len()), (0, 0));
    let report = world.core().gc(&on_fake(Some(owner.as_str()), true)).await.unwrap();
    assert_eq!(report.deleted, 3);
    assert_eq!(ours.account.held().len(), 3, "those of the other store stay");
    assert!(!world.store().root().join("machines").exists(), "a look at a cloud makes no store");
}

#[tokio::test]
async fn what_is_too_young_stays() {
    let world = with_orphan().await;
    let hour = GcOptions { older_than: Some(Duration::from_secs(3600)), ..everywhere(true) };
    let report = world.core().gc(&hour).await.unwrap();
    assert_eq!(report.deleted, 0);
    assert!(report.found.iter().all(|o| o.standing == Standing::Young) && report.found.len() == 3);
}

/// A record that does not read stands for all of its name.
#[tokio::test]
async fn a_machine_whose_record_does_not_read_is_not_an_orphan() {
    let world = with_orphan().await;
    std::fs::write(world.store().machine_directory("kept").join("config.json"), "{").unwrap();
    let report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!(report.deleted, 3, "the orphan's");
    assert_eq!(world.account.held().iter().filter(|h| h.resource.machine.as_deref() == Some("kept")).count(), 3);
    // Neither rm nor a new create loses it; rm -f finds it by its tags.
    let refused = world.core().remove("kept", RemoveMode::Normal).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Store);
    let taken = world.core().create(options("kept")).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Conflict);
    assert_eq!(world.account.held().len(), 4);
    world.core().remove("kept", RemoveMode::Force).await.unwrap();
    let left: Vec<String> = world.account.held().into_iter().map(|h| h.resource.id).collect();
    assert_eq!(left, ["i-stranger"]);
    assert_eq!(world.store().names().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_would_not_go_is_said_and_the_rest_goes() {
    let world = with_orphan().await;
    std::fs::remove_dir_all(world.store().machine_directory("kept")).unwrap();
    world.account.script(Operation::TerminateInstance, 1, When::Before, Effect::fail(CloudKind::Denied));
    let mut report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!((report.deleted, report.failures.len()), (3, 1));
    let error = report.conclude().unwrap_err();
    assert!(
        text(&error).contains("could not be deleted") && text(&error).contains("`rmachine gc`"),
        "{}",
        text(&error)
    );
    assert_eq!(world.core().gc(&everywhere(true)).await.unwrap().deleted, 3);
    assert_eq!(world.account.held().len(), 1);
}

#[tokio::test]
async fn a_cloud_that_cannot_be_asked_is_a_failure_and_not_an_empty_list() {
    let world = with_orphan().await;
    world.account.script(Operation::FindTags, 0, When::Before, Effect::fail(CloudKind::Credentials));
    let mut report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!(report.deleted, 0);
    assert_eq!(report.conclude().unwrap_err().to_string(), "fake here could not be looked at");
}

#[tokio::test]
async fn a_forced_rm_is_finished_by_gc() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    world.account.script(Operation::TerminateInstance, 0, When::Before, Effect::fail(CloudKind::Denied));
    world.core().remove("m", RemoveMode::Force).await.unwrap_err();
    world.account.calm();
    let report = world.core().gc(&everywhere(false)).await.unwrap();
    assert_eq!((report.found.len(), report.forgotten.len()), (3, 1));
    assert_eq!(report.forgotten[0].machine, "m");
    let report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!((report.deleted, report.forgotten.len()), (3, 0));
    world.assert_empty("after gc");
    assert!(world.store().list_tombstones().unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_made_nothing_has_no_place_to_look() {
    let world = World::new();
    let error = world.core().gc(&everywhere(false)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.hints()[0].contains("--driver"), "{error:?}");
    let none = GcOptions { driver: Some(("none".to_owned(), Values::default())), ..GcOptions::default() };
    let error = world.core().gc(&none).await.unwrap_err();
    assert_eq!(error.to_string(), "the driver \"none\" makes nothing that could be left behind");
}

pub fn adopt(id: &str, owner: Option<&str>) -> AdoptOptions {
    AdoptOptions {
        id: id.to_owned(),
        driver: "fake".to_owned(),
        values: Values::default(),
        name: None,
        ssh_tunnel: false,
        ssh_route: Default::default(),
        owner: owner.map(|id| id.parse::<rmachine_provider_api::Owner>().unwrap()),
        ssh_key: None,
        host_key: None,
        engine: EngineSpec::default(),
    }
}

#[tokio::test]
async fn an_adopted_machine_belongs_to_the_store_that_took_it() {
    let world = World::new();
    let record = world.core().create(options("m")).await.unwrap().record;
    let id = record.instance.unwrap().id.to_string();
    let has_one = world.core().adopt(&adopt(&id, None)).await.unwrap_err();
    assert_eq!(has_one.to_string(), "machine \"m\" has the record of this instance");

    // The store is lost; a new one takes the machine over, when told whose it was.
    std::fs::remove_dir_all(world.store().root()).unwrap();
    let foreign = world.core().adopt(&adopt(&id, None)).await.unwrap_err();
    assert_eq!(foreign.kind(), Kind::Conflict);
    assert!(foreign.hints()[0].contains(&format!("--owner {}", record.owner)), "{foreign:?}");
    let adopted = world.core().adopt(&adopt(&id, Some(record.owner.as_str()))).await.unwrap().record;
    assert_eq!((adopted.name.as_str(), &adopted.token), ("m", &record.token));
    let own = world.store().owner().unwrap().unwrap();
    assert!(world.account.held().iter().all(|h| h.resource.owner.as_ref() == Some(&own)), "all of it was claimed");
    world.core().access("m").unwrap();
    assert!(world.core().gc(&everywhere(true)).await.unwrap().found.is_empty());
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
}

#[tokio::test]
async fn a_damaged_record_is_given_anew() {
    let world = World::new();
    let record = world.core().create(options("m")).await.unwrap().record;
    std::fs::write(world.store().machine_directory("m").join("config.json"), "").unwrap();
    let id = record.instance.unwrap().id.to_string();
    world.core().adopt(&adopt(&id, None)).await.unwrap();
    assert_eq!(world.record("m").token, record.token);
    assert_eq!(world.store().list_tombstones().unwrap().len(), 1, "the damaged files are kept");
    world.core().access("m").unwrap();
    // gc takes the tombstone away, and not the machine.
    world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!(world.account.held().len(), 3);
}

/// `rm -f` failed and the machine was adopted after that: its old tombstone must not take it along.
#[tokio::test]
async fn a_tombstone_of_an_adopted_machine_only_goes_itself() {
    let world = World::new();
    let record = world.core().create(options("m")).await.unwrap().record;
    world.account.script(Operation::TerminateInstance, 0, When::Before, Effect::fail(CloudKind::Denied));
    world.core().remove("m", RemoveMode::Force).await.unwrap_err();
    world.account.calm();
    world.core().adopt(&adopt(record.instance.unwrap().id.as_str(), None)).await.unwrap();
    let report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!((report.deleted, report.forgotten.len()), (0, 0));
    assert_eq!(world.account.held().len(), 3);
    assert!(world.store().list_tombstones().unwrap().is_empty());
}

/// Its tags have the new name: a record that does not read stands for it under that one.
#[tokio::test]
async fn a_machine_adopted_under_another_name_is_no_orphan_when_its_record_is_damaged() {
    let world = World::new();
    let record = world.core().create(options("web")).await.unwrap().record;
    std::fs::remove_dir_all(world.store().machine_directory("web")).unwrap();
    let id = record.instance.unwrap().id;
    let renamed = AdoptOptions { name: Some("build-7".to_owned()), ..adopt(id.as_str(), None) };
    world.core().adopt(&renamed).await.unwrap();
    assert!(world.account.held().iter().all(|h| h.resource.machine.as_deref() == Some("build-7")));
    std::fs::write(world.store().machine_directory("build-7").join("config.json"), "{").unwrap();
    assert_eq!(world.core().gc(&everywhere(true)).await.unwrap().deleted, 0);
    // Nor when the store's id is lost and the old one is named.
    std::fs::remove_file(world.store().root().join("rmachine.json")).unwrap();
    assert_eq!(world.core().gc(&on_fake(Some(record.owner.as_str()), true)).await.unwrap().deleted, 0);
    assert_eq!(world.account.held().len(), 3);
}

#[tokio::test]
async fn a_machine_that_cannot_be_claimed_is_not_taken_in() {
    let world = World::new();
    let record = world.core().create(options("m")).await.unwrap().record;
    std::fs::remove_dir_all(world.store().machine_directory("m")).unwrap();
    world.account.script(Operation::Claim, 1, When::Before, Effect::fail(CloudKind::Denied));
    let id = record.instance.unwrap().id;
    let refused = world.core().adopt(&adopt(id.as_str(), None)).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("the instance {id} stays with the store that it belongs to"));
    assert_eq!(world.store().names().unwrap(), Vec::<String>::new());
    world.core().adopt(&adopt(id.as_str(), None)).await.unwrap();
}

/// An interrupted create is gone on with, and loses neither key nor record to an adoption.
#[tokio::test]
async fn an_interrupted_create_is_not_adopted() {
    let world = World::new();
    killed_at(&world, Operation::Describe, 1, When::Before).await;
    let instance = world.account.held().into_iter().find(|h| h.resource.kind == ResourceKind::Instance).unwrap();
    let refused = world.core().adopt(&adopt(&instance.resource.id, None)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.hints()[0].contains("the same create again"), "{refused:?}");
    world.core().create(options("m")).await.unwrap();
}

/// A tag is anybody's to write: `*` in a filter would be every machine.
#[tokio::test]
async fn a_token_that_is_none_of_ours_is_left_alone() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let owner = world.store().owner().unwrap();
    world.account.plant_with(ResourceKind::Instance, "i-star", owner, "*");
    let mut report = world.core().gc(&everywhere(true)).await.unwrap();
    assert_eq!(report.deleted, 0);
    assert!(report.conclude().unwrap_err().to_string().contains("i-star carries no token"));
    assert_eq!(world.account.held().len(), 4);
}

#[tokio::test]
async fn what_is_not_ours_is_not_adopted() {
    let world = World::new();
    world.account.plant(ResourceKind::Instance, "i-stranger");
    let stranger = world.core().adopt(&adopt("i-stranger", None)).await.unwrap_err();
    assert_eq!(stranger.kind(), Kind::Usage);
    let missing = world.core().adopt(&adopt("i-nothing", None)).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no instance i-nothing");
    assert_eq!(world.store().names().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_protected_machine_is_not_removed() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    world.core().protect("m", true).await.unwrap();
    world.core().protect("m", true).await.expect("a repeat is success");
    for mode in [RemoveMode::Normal, RemoveMode::Force] {
        let refused = world.core().remove("m", mode).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict);
        assert_eq!(refused.to_string(), "machine \"m\" is protected against removal");
    }
    assert_eq!(world.account.held().len(), 3);
    let held = world.core().holdings("m").await.unwrap();
    assert_eq!(held.len(), 3, "a dry run shows what rm would delete");
    world.core().protect("m", false).await.unwrap();
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after rm");
    let gone = world.core().protect("m", true).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NoSuchMachine);
}
