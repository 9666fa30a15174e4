//! docker-machine's stores: taken over, and read where they are.

use std::os::unix::fs::PermissionsExt;

use rmachine_core::{Filter, ImportOptions, ImportReport, Outcome, RemoveMode, Status, Taken, TakenAuthority};
use rmachine_model::error::Kind;
use rmachine_provider_api::{ResourceKind, StopMode};
use rmachine_store::{Phase, Store};
use serde_json::{Value, json};

use crate::{
    docker_machine::DockerMachine,
    support::{World, none, text},
};

/// Fields of a machine of the fake cloud, as docker-machine's driver of that name would have kept them.
fn fields() -> Value {
    json!({
        "IPAddress": "127.0.0.9", "Region": "here", "InstanceId": "i-old", "KeyName": "web-key", "AccessToken": "s3cret-token",
        "SSHUser": "admin",
    })
}

fn engine() -> Value {
    json!({ "Labels": ["tier=one"], "Env": ["P=http://u:s3cret-proxy@h"], "ArbitraryFlags": ["mtu=1400"] })
}

/// A store with a machine of each kind, and the cloud that has the one.
fn sample(world: &World, days_ago: i64) -> DockerMachine {
    let theirs = DockerMachine::new(world.directory.path().join("theirs"), days_ago);
    theirs.add("web", "fake", &fields(), &engine());
    theirs.add("url", "none", &json!({ "URL": "tcp://127.0.0.1:1", "IPAddress": "127.0.0.1:1" }), &json!({}));
    theirs.add("vbox", "virtualbox", &json!({ "IPAddress": "127.0.0.3", "SSHUser": "docker", "CPU": 1 }), &json!({}));
    world.account.plant_instance("i-old", "127.0.0.9");
    world.account.plant_instance("i-others", "127.0.0.10");
    world.account.plant(ResourceKind::KeyPair, "web-key");
    world.account.plant(ResourceKind::KeyPair, "others-key");
    world.account.plant(ResourceKind::SecurityGroup, "docker-machine");
    theirs
}

async fn import(world: &World, theirs: &DockerMachine) -> ImportReport {
    import_with(world, theirs, ImportOptions::default()).await
}

async fn import_with(world: &World, theirs: &DockerMachine, options: ImportOptions) -> ImportReport {
    let options = ImportOptions { source: theirs.root.clone(), offline: true, ..options };
    world.core().import(&options).await.unwrap()
}

fn of<'a>(report: &'a ImportReport, name: &str) -> &'a Taken {
    report.machines.iter().find(|taken| taken.name == name).unwrap()
}

fn held(world: &World) -> Vec<String> {
    world.account.held().into_iter().map(|held| held.resource.id).collect()
}

#[tokio::test]
async fn all_machines_are_taken_and_the_source_is_only_read() {
    let world = World::new();
    let theirs = sample(&world, 0);
    let before = theirs.seen();
    let report = import(&world, &theirs).await;
    assert!(report.machines.iter().all(|taken| taken.outcome == Outcome::Imported), "{report:?}");
    assert_eq!(report.authority, TakenAuthority::Taken);
    assert_eq!(theirs.seen(), before, "content, mode and time of every file");

    let (core, store) = (world.core(), world.store());
    let access = core.access("web").unwrap();
    assert_eq!((access.url.as_str(), access.cert_path), ("tcp://127.0.0.9:2376", store.machine_directory("web")));
    assert_eq!(core.access("url").unwrap().url, "tcp://127.0.0.1:1");
    assert!(core.access("url").unwrap().cert_path.join("key.pem").exists(), "docker has its files");
    let record = world.record("web");
    assert_eq!(record.engine.labels, ["tier=one"]);
    assert_eq!((record.ssh.user.as_str(), record.ssh.key_file.as_str()), ("admin", "id_rsa"));
    let key = |store: &std::path::Path| std::fs::read(store.join("machines/web/id_rsa")).unwrap();
    assert_eq!(key(store.root()), key(&theirs.root));

    // The CA goes on: a machine that is made now is of the same one.
    core.create(none("new", "tcp://127.0.0.1:1")).await.unwrap();
    let ca = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    assert_eq!(ca(store.machine_file("new", "ca.pem")), ca(theirs.certs().join("ca.pem")));
    assert!(ca(store.certs_directory().join("ca-key.pem")).starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(core.expiry(&record).warnings.is_empty());
}

#[tokio::test]
async fn keys_go_to_a_private_file_and_nowhere_else() {
    let world = World::new();
    import(&world, &sample(&world, 0)).await;
    let store = world.store();
    for name in ["web", "url", "vbox"] {
        let on_disk = std::fs::read_to_string(store.machine_file(name, "config.json")).unwrap();
        let shown = store.load_document(name).unwrap().to_string();
        assert!(!on_disk.contains("s3cret") && !shown.contains("s3cret"), "{on_disk}");
    }
    assert_eq!(store.load_document("web").unwrap()["Driver"]["AccessToken"], "");
    let path = store.machine_file("web", "credentials.json");
    assert_eq!(std::fs::read_to_string(&path).unwrap().matches("s3cret-token").count(), 1);
    for file in std::fs::read_dir(store.machine_directory("web")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    world.account.require_token("s3cret-token");
    world.core().stop("web", StopMode::Graceful).await.expect("the stored key is used");
}

#[tokio::test]
async fn what_docker_machine_made_is_powered_and_removed_by_id() {
    let world = World::new();
    import(&world, &sample(&world, 0)).await;
    let core = world.core();
    core.stop("web", StopMode::Graceful).await.unwrap();
    assert!(text(&core.access("web").unwrap_err()).contains("rmachine start web"));
    core.start("web").await.unwrap();
    core.restart("web").await.unwrap();
    let lines = core.list(&Filter::default(), std::time::Duration::from_secs(2)).await.unwrap();
    assert_eq!(lines.iter().find(|l| l.name == "web").unwrap().state, Status::Running);
    let holdings = core.holdings("web").await.unwrap();
    assert_eq!(holdings.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["i-old", "web-key"]);
    core.remove("web", RemoveMode::Normal).await.unwrap();
    assert_eq!(held(&world), ["i-others", "others-key", "docker-machine"], "its instance and key pair, nothing else");
    assert!(!world.store().exists("web"));
}

#[tokio::test]
async fn one_that_fails_is_said_and_the_others_are_taken() {
    let world = World::new();
    let theirs = sample(&world, 0);
    for name in ["broken", "early", "keyless", "taken", "odd"] {
        theirs.add(name, "fake", &json!({ "Region": "here", "InstanceId": format!("i-{name}") }), &json!({}));
    }
    std::fs::write(theirs.machine("broken").join("config.json"), "{\"ConfigVersion\": 3,").unwrap();
    let mut early = theirs.read("early");
    early["ConfigVersion"] = 1.into();
    theirs.write("early", &early);
    std::fs::remove_file(theirs.machine("keyless").join("id_rsa")).unwrap();
    let mut odd = theirs.read("odd");
    odd["Driver"]["Region"] = 7.into();
    theirs.write("odd", &odd);
    std::fs::create_dir(theirs.machine("empty")).unwrap();
    world.core().create(none("taken", "tcp://127.0.0.1:1")).await.unwrap();

    let report = import(&world, &theirs).await;
    let failed = |name: &str| {
        let taken = of(&report, name);
        assert_eq!(taken.outcome, Outcome::Failed, "{name}");
        text(taken.error.as_ref().unwrap())
    };
    for (name, words) in [
        ("broken", "broken/config.json is damaged"),
        ("early", "`docker-machine inspect early`"),
        ("keyless", "id_rsa of machine \"keyless\" is missing"),
        ("taken", "rmachine rename taken OTHER"),
        ("odd", "Region is missing"),
        ("empty", "is missing"),
    ] {
        let said = failed(name);
        assert!(said.contains(words) && said.contains("Hint: "), "{name}: {said}");
    }
    assert_eq!(of(&report, "web").outcome, Outcome::Imported);
    assert_eq!(world.store().names().unwrap(), ["taken", "url", "vbox", "web"]);
    assert_eq!(report.authority, TakenAuthority::Other, "this store had a CA by then");
    assert!(of(&report, "web").notes.iter().any(|note| note.contains("keeps docker-machine's certificates")));
}

#[tokio::test]
async fn a_second_import_says_what_is_there_and_takes_what_is_new() {
    let world = World::new();
    let theirs = sample(&world, 0);
    let named = ImportOptions { machines: vec!["web".to_owned(), "nobody".to_owned()], ..ImportOptions::default() };
    let report = import_with(&world, &theirs, named).await;
    assert_eq!((of(&report, "web").outcome, of(&report, "nobody").outcome), (Outcome::Imported, Outcome::Failed));
    let known = world.record("web");
    world.core().rename("web", "www").await.unwrap();
    let report = import(&world, &theirs).await;
    assert_eq!((of(&report, "web").outcome, of(&report, "vbox").outcome), (Outcome::Present, Outcome::Imported));
    assert!(of(&report, "web").notes[0].contains("\"www\""));
    assert_eq!(world.record("www").token, known.token);
    assert_eq!(report.authority, TakenAuthority::Same);
    let report = import(&world, &theirs).await;
    assert!(report.machines.iter().all(|taken| taken.outcome == Outcome::Present));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let world = World::new();
    let theirs = sample(&world, 0);
    let report = import_with(&world, &theirs, ImportOptions { dry_run: true, ..ImportOptions::default() }).await;
    assert!(report.machines.iter().all(|taken| taken.outcome == Outcome::WouldImport));
    assert_eq!(report.authority, TakenAuthority::Taken);
    assert!(!world.store().root().exists());
    let nowhere = ImportOptions { source: world.directory.path().join("nothing"), ..ImportOptions::default() };
    assert_eq!(world.core().import(&nowhere).await.unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn expired_certificates_are_said_with_the_command_that_renews_them() {
    let world = World::new();
    let theirs = sample(&world, 1090);
    let report = import(&world, &theirs).await;
    assert_eq!(report.authority, TakenAuthority::Unusable);
    // The fake cloud's machines have no engine to look after here; a generic host has.
    theirs.add("host", "generic", &json!({ "IPAddress": "127.0.0.4", "EnginePort": 2376 }), &json!({}));
    import(&world, &theirs).await;
    let core = world.core();
    let expiry = core.expiry(&world.record("host"));
    assert!(expiry.days.unwrap() < 0 && expiry.renewable);
    assert!(expiry.warnings.iter().all(|w| w.contains("rmachine regenerate-certs")), "{:?}", expiry.warnings);
    assert!(expiry.warnings[0].contains("the CA's certificate has expired"));
    let own = std::fs::read(world.store().certs_directory().join("ca.pem")).unwrap();
    assert_ne!(own, std::fs::read(theirs.certs().join("ca.pem")).unwrap());
}

#[tokio::test]
async fn a_store_is_read_where_it_is_and_docker_machine_can_go_on_reading_it() {
    let world = World::new();
    let theirs = sample(&world, 0);
    std::fs::rename(&theirs.root, world.store().root()).unwrap();
    let theirs = DockerMachine { root: world.store().root().to_owned(), ..theirs };
    // Its own paths are those of the place where it was made.
    let document = theirs.document("web", "fake", &fields(), &engine());
    theirs.write("web", &document);
    let before = theirs.seen();
    let core = world.core();
    core.access("web").unwrap();
    core.list(&Filter::default(), std::time::Duration::from_secs(1)).await.unwrap();
    core.status(&["web".to_owned()], std::time::Duration::from_secs(1)).await.remove(0).unwrap();
    assert!(!world.store().load_document("web").unwrap().to_string().contains("s3cret"));
    assert_eq!(theirs.seen(), before, "reading changes nothing");

    world.account.require_token("s3cret-token");
    core.stop("web", StopMode::Graceful).await.expect("with the key of the record");
    let mut now = theirs.read("web");
    let section = now.as_object_mut().unwrap().remove("Rmachine").expect("our section");
    assert_eq!((&section["Imported"], &section["Power"]), (&true.into(), &"stopped".into()));
    let mut expected = document.clone();
    expected["Driver"]["AccessToken"] = "".into();
    assert_eq!(now, expected, "all other fields are docker-machine's");
    assert!(
        world.record("web").owner != rmachine_provider_api::Owner::unnamed()
            && world.store().owner().unwrap().is_some()
    );

    // docker-machine saves it without what it does not know; its key is with us.
    theirs.write("web", &now);
    let core = world.core();
    core.start("web").await.unwrap();
    core.remove("web", RemoveMode::Normal).await.unwrap();
    assert!(!held(&world).contains(&"i-old".to_owned()));
}

#[tokio::test]
async fn a_driver_that_is_not_here_is_named_and_nothing_is_lost() {
    let world = World::new();
    import(&world, &sample(&world, 0)).await;
    let core = world.core();
    assert_eq!(core.access("vbox").unwrap().url, "tcp://127.0.0.3:2376");
    let lines = core.list(&Filter::default(), std::time::Duration::from_secs(2)).await.unwrap();
    let line = lines.iter().find(|line| line.name == "vbox").unwrap();
    assert_eq!((line.driver.as_str(), line.url.as_deref()), ("virtualbox", Some("tcp://127.0.0.3:2376")));
    assert!(line.error.as_ref().unwrap().contains("\"virtualbox\""));
    let refusals = [
        core.start("vbox").await,
        core.stop("vbox", StopMode::Graceful).await,
        core.provision("vbox").await,
        core.remove("vbox", RemoveMode::Normal).await,
        core.ssh("vbox").await.map(|_| ()),
    ];
    for refused in refusals {
        let refused = text(&refused.unwrap_err());
        assert!(refused.contains("docker-machine's driver \"virtualbox\"") && refused.contains("Hint: "), "{refused}");
    }
    assert_eq!(world.record("vbox").phase, Phase::Ready, "a refused rm leaves it as it is");
    let report = core.gc(&Default::default()).await.unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    let forgotten = text(&core.remove("vbox", RemoveMode::Force).await.unwrap_err());
    assert!(forgotten.contains("is forgotten") && forgotten.contains("tombstones"), "{forgotten}");
    assert!(!world.store().exists("vbox"));
    let mut report = core.gc(&rmachine_core::GcOptions { delete: true, ..Default::default() }).await.unwrap();
    report.conclude().unwrap();
    assert_eq!(world.store().list_tombstones().unwrap().len(), 1, "its files wait");
}

#[tokio::test]
async fn a_store_that_both_used_is_imported_with_what_we_added() {
    let world = World::new();
    let theirs = sample(&world, 0);
    let used =
        World { directory: tempfile::tempdir().unwrap(), account: world.account.clone(), said: Default::default() };
    std::fs::rename(&theirs.root, used.store().root()).unwrap();
    used.core().protect("web", true).await.unwrap();
    used.core().create(none("ours", "tcp://127.0.0.1:1")).await.unwrap();
    let theirs = DockerMachine { root: used.store().root().to_owned(), ..theirs };
    let report = import(&world, &theirs).await;
    assert_eq!(of(&report, "web").outcome, Outcome::Imported);
    assert!(world.record("web").protected && world.store().load_secrets("web").unwrap().0.contains_key("token"));
    let ours = text(of(&report, "ours").error.as_ref().unwrap());
    assert!(ours.contains("export ours"), "{ours}");
    // Where it is already, import adds our section to what has none yet.
    let report = used
        .core()
        .import(&ImportOptions { source: theirs.root.clone(), offline: true, ..Default::default() })
        .await
        .unwrap();
    assert_eq!((of(&report, "web").outcome, of(&report, "vbox").outcome), (Outcome::Present, Outcome::Imported));
    let plain = Store::at(&theirs.root);
    assert!(plain.load("vbox").unwrap().foreign.is_some_and(|foreign| !foreign.untouched));
}

#[tokio::test]
async fn a_login_key_may_have_another_name_and_must_be_a_key() {
    let world = World::new();
    let theirs = sample(&world, 0);
    for (name, key) in [("other", "mykey"), ("evil", "config.json")] {
        let directory = theirs.add(name, "fake", &fields(), &engine());
        let mut document = theirs.read(name);
        document["Driver"]["SSHKeyPath"] = directory.join(key).to_str().unwrap().into();
        document["Driver"]["InstanceId"] = format!("i-{name}").into();
        theirs.write(name, &document);
        if key != "config.json" {
            std::fs::rename(directory.join("id_rsa"), directory.join(key)).unwrap();
        }
    }
    let report = import(&world, &theirs).await;
    assert_eq!(world.record("other").ssh.key_file, "id_rsa");
    let refused = text(of(&report, "evil").error.as_ref().unwrap());
    assert!(refused.contains("is no private key") && !world.store().exists("evil"), "{refused}");
    let sealer = rmachine_core::Sealer::keys(&[age_key()]).unwrap();
    world.core().export(&["other".to_owned()], &sealer).expect("what an import takes");
}

fn age_key() -> String {
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()
}

#[tokio::test]
async fn names_longer_than_ours_are_read_used_and_renamed() {
    let world = World::new();
    let theirs = sample(&world, 0);
    std::fs::rename(&theirs.root, world.store().root()).unwrap();
    let theirs = DockerMachine { root: world.store().root().to_owned(), ..theirs };
    let long = "runner-".repeat(10) + "1";
    theirs.add(&long, "none", &json!({ "URL": "tcp://127.0.0.1:2", "IPAddress": "127.0.0.1:2" }), &json!({}));
    let core = world.core();
    assert_eq!(core.access(&long).unwrap().url, "tcp://127.0.0.1:2");
    core.rename(&long, "short").await.unwrap();
    assert_eq!(core.access("short").unwrap().url, "tcp://127.0.0.1:2");
    theirs.add(&long, "none", &json!({ "URL": "tcp://127.0.0.1:2", "IPAddress": "127.0.0.1:2" }), &json!({}));
    core.remove(&long, RemoveMode::Normal).await.unwrap();
    assert!(!world.store().exists(&long));
}

#[tokio::test]
async fn keys_that_docker_machine_has_saved_since_are_taken() {
    let world = World::new();
    let theirs = sample(&world, 0);
    std::fs::rename(&theirs.root, world.store().root()).unwrap();
    let theirs = DockerMachine { root: world.store().root().to_owned(), ..theirs };
    world.core().protect("web", true).await.unwrap();
    let mut document = theirs.read("web");
    document.as_object_mut().unwrap().remove("Rmachine");
    document["Driver"]["AccessToken"] = "s3cret-token-of-today".into();
    theirs.write("web", &document);
    world.account.require_token("s3cret-token-of-today");
    let core = world.core();
    core.protect("web", true).await.unwrap();
    core.stop("web", StopMode::Graceful).await.expect("the new key is kept");
    assert!(!std::fs::read_to_string(theirs.machine("web").join("config.json")).unwrap().contains("s3cret-token"));
}

#[tokio::test]
async fn many_options_of_an_engine_are_read_at_once_and_a_wrong_name_takes_no_ca() {
    let world = World::new();
    let theirs = sample(&world, 0);
    let labels: Vec<String> = (0..20_000).map(|number| format!("key{number}=value")).collect();
    theirs.add("many", "fake", &fields(), &json!({ "Labels": labels }));
    let report =
        import_with(&world, &theirs, ImportOptions { machines: vec!["typo".into()], ..Default::default() }).await;
    assert_eq!((report.authority, of(&report, "typo").outcome), (TakenAuthority::Same, Outcome::Failed));
    let report =
        import_with(&world, &theirs, ImportOptions { machines: vec!["many".into()], ..Default::default() }).await;
    assert_eq!(report.authority, TakenAuthority::Taken);
    assert!(of(&report, "many").notes.iter().any(|note| note.contains("more than 1000")), "{report:?}");
}
