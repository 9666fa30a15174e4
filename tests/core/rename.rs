//! `rename`: one name or the other, never both and never none.

use rmachine_core::RemoveMode;
use rmachine_model::error::Kind;
use rmachine_provider_api::Kind as CloudKind;
use rmachine_provider_fake::{Effect, Operation, When};

use crate::support::{World, none, options, text};

fn shown(world: &World) -> Vec<String> {
    let mut names: Vec<String> = world.account.held().into_iter().filter_map(|held| held.resource.machine).collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn a_machine_has_its_new_name_everywhere() {
    let world = World::new();
    let core = world.core();
    core.create(options("old")).await.unwrap();
    let token = world.record("old").token;
    std::fs::write(world.store().machine_file("old", "known_hosts"), "rmachine-old key").unwrap();
    core.rename("old", "new").await.unwrap();
    assert_eq!(world.store().names().unwrap(), ["new"]);
    let record = world.record("new");
    assert_eq!((record.token, record.name.as_str()), (token, "new"));
    assert_eq!(shown(&world), ["new"], "the tags follow");
    let document = world.store().load_document("new").unwrap();
    assert_eq!((&document["Name"], &document["Driver"]["MachineName"]), (&"new".into(), &"new".into()));
    assert!(!document.to_string().contains("machines/old"), "{document}");
    assert!(!world.store().machine_file("new", "known_hosts").exists(), "it had the old alias");
    core.access("new").unwrap();
    core.start("new").await.unwrap();
    core.create(options("old")).await.expect("the old name is free");
    core.remove("old", RemoveMode::Normal).await.unwrap();
    core.remove("new", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after all");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let world = World::new();
    let core = world.core();
    core.create(options("one")).await.unwrap();
    core.create(none("two", "tcp://127.0.0.1:1")).await.unwrap();
    for (old, new, kind) in [
        ("one", "two", Kind::Conflict),
        ("one", "a_b", Kind::Usage),
        ("one", "../x", Kind::Usage),
        ("one", "one", Kind::Usage),
        ("zzz", "new", Kind::NoSuchMachine),
    ] {
        assert_eq!(core.rename(old, new).await.unwrap_err().kind(), kind, "{old} {new}");
    }
    world.account.script(Operation::Rename, 1, When::Before, Effect::fail(CloudKind::Denied));
    let refused = core.rename("one", "new").await.unwrap_err();
    assert!(text(&refused).contains("machine \"one\" keeps its name"), "{}", text(&refused));
    assert_eq!(
        (world.store().names().unwrap(), shown(&world)),
        (vec!["one".into(), "two".into()], vec!["one".to_owned()])
    );
    core.rename("one", "new").await.unwrap();
    core.rename("two", "one").await.expect("a driver without names of its own");
    assert_eq!(core.access("one").unwrap().url, "tcp://127.0.0.1:1");
}

#[tokio::test]
async fn a_rename_that_is_killed_leaves_one_name_and_a_repeat_goes_on() {
    for when in [When::Before, When::After] {
        let world = World::new();
        world.core().create(options("old")).await.unwrap();
        let reached = std::sync::Arc::new(tokio::sync::Notify::new());
        let tell = reached.clone();
        world.account.script(Operation::Rename, 1, when, Effect::hang(move || tell.notify_one()));
        let core = world.core();
        tokio::select! {
            result = core.rename("old", "new") => panic!("it hangs, yet {result:?}"),
            () = reached.notified() => {}
        }
        drop(core);
        world.account.calm();
        assert_eq!(world.store().names().unwrap(), ["old"]);
        world.core().access("old").unwrap();
        world.core().rename("old", "new").await.unwrap();
        assert_eq!((world.store().names().unwrap(), shown(&world)), (vec!["new".to_owned()], vec!["new".to_owned()]));
    }
    // Between the directory's rename and the record: the directory decides, where the record knew of that name.
    let world = World::new();
    world.core().create(options("old")).await.unwrap();
    let machines = world.store().root().join("machines");
    std::fs::rename(machines.join("old"), machines.join("new")).unwrap();
    assert_eq!(world.store().load("new").unwrap_err().kind(), Kind::Store, "another machine's record");
    std::fs::rename(machines.join("new"), machines.join("old")).unwrap();
    let mut record = world.record("old");
    record.renamed = Some("new".to_owned());
    world.store().save(&record, serde_json::Map::new()).unwrap();
    world.core().access("old").unwrap();
    std::fs::rename(machines.join("old"), machines.join("new")).unwrap();
    assert_eq!(world.record("new").name, "new");
    std::fs::write(world.store().machine_file("new", "known_hosts"), "rmachine-old key").unwrap();
    assert_eq!(world.core().rename("older", "new").await.unwrap_err().kind(), Kind::NoSuchMachine);
    world.core().rename("old", "new").await.expect("the repeat finishes it");
    let document = world.store().load_document("new").unwrap();
    assert_eq!((&document["Name"], &document["Rmachine"]["Name"]), (&"new".into(), &"new".into()));
    assert!(!world.store().machine_file("new", "known_hosts").exists(), "it had the old alias");
    let said = text(&world.core().rename("old", "new").await.unwrap_err());
    assert!(said.contains("machine \"old\" does not exist"), "{said}");
    assert!(said.contains("it is renamed, and `rmachine regenerate-certs new` gives"), "{said}");
    world.core().access("new").unwrap();
    world.core().remove("new", RemoveMode::Normal).await.unwrap();
    world.assert_empty("after all");
}

#[tokio::test]
async fn what_cannot_be_done_here_is_seen_before_the_cloud_is_told() {
    let world = World::new();
    let core = world.core();
    core.create(options("old")).await.unwrap();
    let place = world.store().machine_directory("new");
    std::fs::write(&place, "no machine").unwrap();
    for _ in 0..2 {
        let error = core.rename("old", "new").await.unwrap_err();
        let said = text(&error);
        assert_eq!(error.kind(), Kind::Conflict, "{said}");
        assert!(
            said.contains("machines/new is there, and is no machine") && !said.contains("--storage-path"),
            "{said}"
        );
        assert_eq!(shown(&world), ["old"]);
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &place).unwrap();
    }
    std::fs::remove_file(&place).unwrap();

    // It appears while the cloud is asked: no longer to be seen before.
    let appears = place.clone();
    world.account.script(
        Operation::Rename,
        1,
        When::After,
        Effect::call(move || std::fs::write(&appears, "no machine").unwrap()),
    );
    let said = text(&core.rename("old", "new").await.unwrap_err());
    assert!(said.contains("machine \"old\" keeps its name, and is shown as \"new\" where it runs"), "{said}");
    assert!(said.contains("`rmachine rename old new` again") && !said.contains("--storage-path"), "{said}");
    core.access("old").unwrap();
    std::fs::remove_file(&place).unwrap();
    world.account.calm();
    core.rename("old", "new").await.unwrap();
    assert_eq!((world.store().names().unwrap(), shown(&world)), (vec!["new".to_owned()], vec!["new".to_owned()]));
}

#[tokio::test]
async fn what_cannot_be_done_after_the_move_is_finished_by_a_repeat() {
    let world = World::new();
    let core = world.core();
    core.create(options("old")).await.unwrap();
    // Known hosts that are a directory cannot be removed as a file: the last step fails.
    let known_hosts = world.store().machine_file("old", "known_hosts");
    std::fs::create_dir(&known_hosts).unwrap();
    let error = core.rename("old", "new").await.unwrap_err();
    let said = text(&error);
    assert_eq!(error.kind(), Kind::Store, "{said}");
    assert!(said.contains("`rmachine rename old new` again finishes it"), "{said}");
    assert_eq!((world.record("new").name.as_str(), shown(&world)), ("new", vec!["new".to_owned()]));
    std::fs::remove_dir(world.store().machine_file("new", "known_hosts")).unwrap();
    core.rename("old", "new").await.unwrap();
    assert_eq!(world.store().load_document("new").unwrap()["Name"], "new");
}

#[tokio::test]
async fn two_renames_to_one_name_leave_both_machines() {
    let world = World::new();
    let core = world.core();
    for name in ["one", "two"] {
        core.create(options(name)).await.unwrap();
    }
    let (first, second) = tokio::join!(core.rename("one", "new"), core.rename("two", "new"));
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let names = world.store().names().unwrap();
    assert!(names.len() == 2 && names.contains(&"new".to_owned()), "{names:?}");
    let (there, back) = tokio::join!(core.rename(&names[0], "x"), core.rename(&names[1], "y"));
    there.and(back).unwrap();
}
