//! `export` and `import` of its archives: from one store to another, with the cloud between them.

use std::{path::Path, sync::Arc};

use rmachine_core::{ArchiveOptions, Consent, ImportReport, Opener, Outcome, RemoveMode, Sealer};
use rmachine_model::error::{Kind, Result};
use rmachine_provider_api::{Kind as CloudKind, Value};
use rmachine_provider_fake::{Effect, Operation, When};
use zeroize::Zeroizing;

use crate::support::{World, none, options, text, with};

const PASSPHRASE: &str = "some random words";

fn passphrase() -> Result<Zeroizing<String>> {
    Ok(Zeroizing::new(PASSPHRASE.to_owned()))
}

fn export(world: &World, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    world.core().export(&names, &Sealer::passphrase(passphrase().unwrap()).unwrap()).unwrap().bytes
}

async fn import(world: &World, sealed: &[u8], options: ArchiveOptions) -> Result<ImportReport> {
    let options = ArchiveOptions { consent: Consent::Given, ..options };
    world.core().import_archive(Path::new("a.age"), sealed, &Opener::Passphrase(&passphrase), &options).await
}

/// Another store on the same account.
fn elsewhere(world: &World) -> World {
    World { directory: tempfile::tempdir().unwrap(), account: world.account.clone(), said: Default::default() }
}

fn outcomes(report: &ImportReport) -> Vec<(&str, Outcome)> {
    report.machines.iter().map(|taken| (taken.name.as_str(), taken.outcome)).collect()
}

#[tokio::test]
async fn machines_go_on_in_another_store_which_owns_them_then() {
    let world = World::new();
    world.core().create(with("m", &[("fake-token", Value::Text("s3cret".into()))])).await.unwrap();
    world.core().create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    let sealed = export(&world, &["m", "url"]);
    assert!(!String::from_utf8_lossy(&sealed).contains("config.json"), "never plain");
    let other = elsewhere(&world);
    let report = import(&other, &sealed, ArchiveOptions::default()).await.unwrap();
    assert_eq!(outcomes(&report), [("m", Outcome::Imported), ("url", Outcome::Imported)]);
    let notes = report.machines[0].notes.join("\n");
    assert!(notes.contains("the store that it comes from") && notes.contains("it has the certificates of"), "{notes}");

    let (before, after) = (world.record("m"), other.record("m"));
    assert_eq!((&before.token, before.created, before.address()), (&after.token, after.created, after.address()));
    assert_eq!(before.instance.unwrap().id, after.instance.unwrap().id);
    assert_ne!(before.owner, after.owner);
    let own = other.store().owner().unwrap().unwrap();
    assert!(world.account.held().iter().all(|held| held.resource.owner.as_ref() == Some(&own)), "claimed");
    assert!(other.store().load_secrets("m").unwrap().0.contains_key("token"));
    for file in ["id_rsa", "ca.pem", "cert.pem", "key.pem"] {
        let read = |world: &World| std::fs::read(world.store().machine_file("m", file)).unwrap();
        assert_eq!(read(&world), read(&other), "{file}");
    }
    let ca_key = |world: &World| std::fs::read(world.store().certs_directory().join("ca-key.pem")).unwrap();
    assert_ne!(ca_key(&world), ca_key(&other), "the CA's key stays at home");

    // Neither store's gc touches it.
    for world in [&world, &other] {
        let report = world.core().gc(&rmachine_core::GcOptions { delete: true, ..Default::default() }).await.unwrap();
        assert_eq!(report.deleted, 0);
    }
    let again = import(&other, &sealed, ArchiveOptions::default()).await.unwrap();
    assert!(again.machines.iter().all(|taken| taken.outcome == Outcome::Present));
    other.core().start("m").await.unwrap();
    other.core().remove("m", RemoveMode::Normal).await.unwrap();
    assert!(world.account.held().is_empty());
}

#[tokio::test]
async fn the_owner_stays_where_it_is_asked_for_or_the_cloud_cannot_be() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let sealed = export(&world, &["m"]);
    let other = elsewhere(&world);
    world.account.script(Operation::Claim, 1, When::Before, Effect::fail(CloudKind::Unreachable));
    let report = import(&other, &sealed, ArchiveOptions::default()).await.unwrap();
    let failed = text(report.machines[0].error.as_ref().unwrap());
    assert!(failed.contains("stays with the store") && failed.contains("--keep-owner"), "{failed}");
    assert!(other.store().names().unwrap().is_empty(), "no record without the machine");
    let keep = ArchiveOptions { keep_owner: true, ..Default::default() };
    import(&other, &sealed, keep).await.unwrap();
    let owner = world.record("m").owner;
    assert_eq!(other.record("m").owner, owner);
    assert!(world.account.held().iter().all(|held| held.resource.owner.as_ref() == Some(&owner)));
    let report = other.core().gc(&Default::default()).await.unwrap();
    assert!(report.found.is_empty(), "a machine with a record is no orphan: {report:?}");
}

#[tokio::test]
async fn what_is_changed_cut_or_for_others_is_refused_and_writes_nothing() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let sealed = export(&world, &["m"]);
    let other = elsewhere(&world);
    let wrong: &dyn Fn() -> Result<Zeroizing<String>> = &|| Ok(Zeroizing::new("other words".into()));
    let core = other.core();
    let refused = core.import_archive(Path::new("a"), &sealed, &Opener::Passphrase(wrong), &Default::default()).await;
    assert!(text(&refused.unwrap_err()).contains("the passphrase is wrong"));
    let mut changed = sealed.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (bytes, what) in
        [(&changed[..], "changed"), (&sealed[..sealed.len() - 20], "cut"), (b"{}", "no archive"), (b"", "empty")]
    {
        let refused = text(&import(&other, bytes, Default::default()).await.unwrap_err());
        assert!(refused.contains("Hint: "), "{what}: {refused}");
    }
    assert!(!other.store().root().exists());
}

#[tokio::test]
async fn conflicts_and_unfinished_machines_are_named() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    world.core().create(options("n")).await.unwrap();
    let sealed = export(&world, &["m", "n"]);
    let other = elsewhere(&world);
    other.core().create(none("m", "tcp://127.0.0.1:1")).await.unwrap();
    let report = import(&other, &sealed, ArchiveOptions::default()).await.unwrap();
    assert_eq!(outcomes(&report), [("m", Outcome::Failed), ("n", Outcome::Imported)]);
    assert!(text(report.machines[0].error.as_ref().unwrap()).contains("rmachine rename m OTHER"));
    assert_eq!(other.record("m").driver, "none", "what was there stays");
    let one = ArchiveOptions { machines: vec!["zzz".into()], ..Default::default() };
    let report = import(&other, &sealed, one).await.unwrap();
    assert_eq!(report.machines[0].error.as_ref().unwrap().kind(), Kind::NoSuchMachine);
    let sealer = Sealer::passphrase(passphrase().unwrap()).unwrap();
    assert_eq!(world.core().export(&["zzz".to_owned()], &sealer).unwrap_err().kind(), Kind::NoSuchMachine);
    std::fs::remove_file(world.store().machine_file("n", "id_rsa")).unwrap();
    let missing = world.core().export(&["m".to_owned(), "n".to_owned()], &sealer).unwrap_err();
    assert!(text(&missing).contains("login key") && missing.kind() == Kind::Store, "{}", text(&missing));
}

/// A record that was written by somebody else must not make this computer run or read anything of his choice.
#[tokio::test]
async fn an_archive_cannot_name_files_or_commands_of_this_computer() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let path = world.store().machine_file("m", "config.json");
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut document["Rmachine"]);
        std::fs::write(&path, document.to_string()).unwrap();
    };
    edit(&|section| section["Ssh"]["ProxyCommand"] = "touch /tmp/evil".into());
    let other = elsewhere(&world);
    let report = import(&other, &export(&world, &["m"]), ArchiveOptions::default()).await.unwrap();
    assert!(report.machines[0].notes[0].contains("proxy command is left out"), "{report:?}");
    assert_eq!(other.record("m").ssh.proxy_command, None);
    // The key of a record elsewhere comes along as a copy.
    let key = world.directory.path().join("elsewhere");
    std::fs::copy(world.store().machine_file("m", "id_rsa"), &key).unwrap();
    edit(&|section| section["Ssh"]["KeyFile"] = key.to_str().unwrap().into());
    let third = elsewhere(&world);
    import(&third, &export(&world, &["m"]), ArchiveOptions::default()).await.unwrap();
    assert_eq!(third.record("m").ssh.key_file, "id_rsa");
    assert_eq!(std::fs::read(third.store().machine_file("m", "id_rsa")).unwrap(), std::fs::read(key).unwrap());
}

/// The claim comes after the record: a process that is killed between them leaves a machine that a repeat finishes.
#[tokio::test]
async fn a_repeat_finishes_what_was_cut_off_before_the_claim() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let sealed = export(&world, &["m"]);
    let other = elsewhere(&world);
    let dry = ArchiveOptions { dry_run: true, ..Default::default() };
    import(&other, &sealed, dry).await.unwrap();
    assert!(!other.store().root().exists(), "a dry run makes nothing");
    let reached = Arc::new(tokio::sync::Notify::new());
    let reaches = reached.clone();
    world.account.script(Operation::Claim, 1, When::Before, Effect::hang(move || reaches.notify_one()));
    tokio::select! {
        report = import(&other, &sealed, ArchiveOptions::default()) => panic!("it was not cut off: {report:?}"),
        () = reached.notified() => {}
    }
    assert_eq!(other.record("m").owner, world.record("m").owner, "not ours yet");
    let report = import(&other, &sealed, Default::default()).await.unwrap();
    assert_eq!(outcomes(&report), [("m", Outcome::Present)]);
    let own = other.store().owner().unwrap().unwrap();
    assert_eq!(other.record("m").owner, own);
    assert!(world.account.held().iter().all(|held| held.resource.owner.as_ref() == Some(&own)));
}
