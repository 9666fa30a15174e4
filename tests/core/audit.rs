//! The audit log: what is in it, that no secret is, and what becomes of a command whose line cannot be written.

use rmachine_core::{AuditFilter, Filter, GcOptions, RemoveMode};
use rmachine_model::error::Kind;
use rmachine_provider_api::StopMode;
use rmachine_store::{audit::Chain, file};

use crate::support::{World, options, text};

fn log(world: &World) -> Vec<u8> {
    std::fs::read(world.store().audit_log()).unwrap()
}

/// The events, each with its machine.
fn events(world: &World) -> Vec<String> {
    let audited = world.core().audited(&AuditFilter::default()).unwrap();
    assert!(audited.broken.is_none() && audited.torn.is_empty(), "{audited:?}");
    audited.entries.iter().map(|e| format!("{} {}", e.machine.as_deref().unwrap_or("-"), e.event)).collect()
}

/// Nothing can be appended to a directory.
fn spoil(world: &World) {
    std::fs::rename(world.store().audit_log(), world.directory.path().join("aside")).unwrap();
    std::fs::create_dir(world.store().audit_log()).unwrap();
}

#[tokio::test]
async fn a_life_of_a_machine_is_told_and_no_secret_is() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let told = events(&world);
    for event in ["m creation-begun", "- certificate-issued", "m key-made", "m created"] {
        assert!(told.iter().any(|told| told == event), "{event}: {told:?}");
    }
    assert_eq!(told.last().unwrap(), "m created");
    let written = String::from_utf8(log(&world)).unwrap();
    assert!(!written.contains("PRIVATE KEY"), "{written}");
    let key = std::fs::read_to_string(world.store().machine_file("m", file::LOGIN_KEY)).unwrap();
    for line in key.lines().filter(|line| line.len() > 40) {
        assert!(!written.contains(line), "a private key");
    }
    let begun = world.core().audited(&AuditFilter { machine: Some("m".to_owned()), since: None }).unwrap();
    assert_eq!(begun.entries[0].details["token"], world.record("m").token.to_string());

    // What only reads writes nothing.
    let before = log(&world);
    world.core().access("m").unwrap();
    world.core().list_recorded(&Filter::default()).unwrap();
    world.core().stop("m", StopMode::Graceful).await.unwrap();
    assert_eq!(log(&world), before);

    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    assert_eq!(events(&world)[told.len()..], ["m removal-begun", "m removed"]);
    let later = AuditFilter { machine: None, since: Some(time::OffsetDateTime::now_utc() + time::Duration::HOUR) };
    assert!(world.core().audited(&later).unwrap().entries.is_empty());
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done_and_what_costs_money_goes_all_the_same() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    spoil(&world);
    let refused = world.core().create(options("n")).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Store, "{}", text(&refused));
    assert!(text(&refused).contains("cannot be written into the audit log, so it was not done"), "{}", text(&refused));
    assert_eq!(world.store().names().unwrap(), ["m"]);
    assert!(world.core().rename("m", "other").await.is_err());

    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    assert!(world.account.held().is_empty());
    let warned = world.said.lines().iter().filter(|line| line.contains("it is not in the audit log")).count();
    assert_eq!(warned, 2, "{:?}", world.said.lines());
}

#[tokio::test]
async fn gc_deletes_nothing_that_it_cannot_write_down() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let held = world.account.held().len();
    std::fs::remove_dir_all(world.store().machine_directory("m")).unwrap();
    let aside = world.directory.path().join("aside");
    spoil(&world);
    let delete = GcOptions { delete: true, ..GcOptions::default() };
    let report = world.core().gc(&delete).await.unwrap();
    assert_eq!((report.deleted, report.failures.len()), (0, 1), "{report:?}");
    assert_eq!(world.account.held().len(), held);
    std::fs::remove_dir(world.store().audit_log()).unwrap();
    std::fs::rename(aside, world.store().audit_log()).unwrap();
    world.core().gc(&delete).await.unwrap();
    assert!(world.account.held().is_empty());
    assert_eq!(events(&world).last().unwrap(), "m collected");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_is_named_and_gone_on_with() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let whole = log(&world);
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    std::fs::write(world.store().audit_log(), &whole[..whole.len() - 20]).unwrap();
    let audited = world.core().audited(&AuditFilter::default()).unwrap();
    assert_eq!((audited.torn, audited.broken.is_none()), (vec![lines], true));
    world.core().remove("m", RemoveMode::Normal).await.unwrap();
    let chain = Chain::read(&log(&world));
    assert_eq!((chain.torn, chain.broken), (vec![lines], None));
    assert_eq!(chain.entries.last().unwrap().1.event, "removed");
}
