//! `doctor`: each kind of damage is found, named with what mends it, and nothing is touched.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rmachine_certs::{self as certs, Identity, Sans};
use rmachine_core::{Area, Checked, Core, MachineSpec, RemoveMode};
use rmachine_model::{EngineSource, error::Kind};
use rmachine_provider_api::{Capabilities, Health, Kind as CloudKind, StopMode};
use rmachine_provider_fake::{Effect, Operation, When};
use rmachine_store::Phase;
use time::OffsetDateTime;

use crate::support::{World, none, options};

const SOON: Duration = Duration::from_secs(5);

/// A machine without an engine: in a cloud in memory none would answer.
fn bare(name: &str) -> MachineSpec {
    let mut options = options(name);
    options.engine.source = EngineSource::None;
    options
}

async fn doctor(core: &Core) -> Vec<Checked> {
    core.doctor(&[], SOON).await.unwrap()
}

/// What is not good, as `area subject: text -> remedy`.
fn ills(checked: &[Checked]) -> Vec<String> {
    let ill = checked.iter().filter(|checked| checked.finding.health != Health::Good);
    ill.map(|Checked { area, finding }| {
        let remedy = finding.remedy.as_deref().expect("what is not good has a remedy");
        format!("{:?} {:?} {}: {} -> {remedy}", finding.health, area, finding.subject, finding.text)
    })
    .collect()
}

/// The only ill; it is `health`, and its line has all of `words`.
#[track_caller]
fn assert_only_ill(checked: &[Checked], health: Health, area: Area, words: &[&str]) {
    let ills = ills(checked);
    assert_eq!(ills.len(), 1, "{ills:#?}");
    assert!(ills[0].starts_with(&format!("{health:?} {area:?} ")), "{ills:?}");
    for word in words {
        assert!(ills[0].contains(word), "{word:?} is not in {:?}", ills[0]);
    }
}

/// Every path below `root` with its mode and content.
fn tree(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode();
        if path.is_dir() {
            all.push((path.clone(), mode, Vec::new()));
            all.extend(tree(&path));
        } else {
            all.push((path.clone(), mode, std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn ca(world: &World) -> Identity {
    let read = |name: &str| std::fs::read_to_string(world.store().certs_directory().join(name)).unwrap();
    Identity { cert_pem: read("ca.pem"), key_pem: read("ca-key.pem").into() }
}

fn days_ago(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() - time::Duration::days(days)
}

#[tokio::test]
async fn all_is_well_and_nothing_is_touched() {
    let world = World::new();
    let core = world.core();
    for name in ["a", "b"] {
        core.create(bare(name)).await.unwrap();
    }
    core.stop("b", StopMode::Graceful).await.unwrap();
    let before = tree(world.store().root());
    let held = world.account.held().len();
    world.account.calm();
    let checked = doctor(&core).await;
    assert_eq!(ills(&checked), Vec::<String>::new());
    let areas: Vec<Area> = checked.iter().map(|checked| checked.area).collect();
    assert!(areas.is_sorted(), "{areas:?}");
    let of_machines = checked.iter().filter(|checked| checked.area == Area::Machines);
    let of_machines: Vec<_> = of_machines.map(|c| (c.finding.subject.as_str(), c.finding.text.as_str())).collect();
    assert_eq!(of_machines, [("a", "it is there"), ("b", "it is stopped")]);
    assert_eq!(tree(world.store().root()), before);
    assert_eq!(world.account.held().len(), held);
    let mut calls = world.account.calls();
    calls.sort();
    assert_eq!(calls, [Operation::Describe, Operation::Checkup], "one question for all machines");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_no_damage_and_is_not_made() {
    let world = World::new();
    let checked = doctor(&world.core()).await;
    assert_eq!(ills(&checked), Vec::<String>::new());
    assert!(checked[0].finding.text.ends_with("is not there yet; the first create makes it"), "{checked:?}");
    assert!(!world.store().root().exists());
}

#[tokio::test]
async fn a_file_in_the_place_of_the_store() {
    let world = World::new();
    std::fs::write(world.store().root(), "").unwrap();
    let words = ["is no directory", "--storage-path"];
    assert_only_ill(&doctor(&world.core()).await, Health::Bad, Area::Store, &words);
}

#[tokio::test]
async fn names_choose_and_an_unknown_one_is_an_error() {
    let world = World::new();
    let core = world.core();
    core.create(bare("good")).await.unwrap();
    core.create(bare("bad")).await.unwrap();
    std::fs::write(world.store().machine_file("bad", "config.json"), "{").unwrap();
    let checked = core.doctor(&["good".to_owned()], SOON).await.unwrap();
    assert_eq!(ills(&checked), Vec::<String>::new());
    let error = core.doctor(&["godo".to_owned()], SOON).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoSuchMachine);
}

#[tokio::test]
async fn files_that_others_can_read() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    let store = world.store();
    world.spoil();
    for (path, mode) in [
        (store.machine_file("m", "id_rsa"), 0o640),
        (store.certs_directory().join("ca-key.pem"), 0o604),
        (store.machine_file("m", "user-data"), 0o622),
        (store.machine_file("m", "ca.pem"), 0o644),
        (store.machine_directory("m"), 0o755),
    ] {
        chmod(&path, mode);
    }
    let ills = ills(&doctor(&core).await);
    assert_eq!(ills.len(), 2, "{ills:#?}");
    assert!(ills[0].starts_with("Bad Store permissions: "), "{ills:?}");
    for secret in ["m/id_rsa", "ca-key.pem", "m/user-data", "`chmod 600 "] {
        assert!(ills[0].contains(secret), "{secret} is not in {ills:?}");
    }
    assert!(!ills[0].contains("m/ca.pem"), "a certificate is no secret: {ills:?}");
    assert!(ills[1].starts_with("Warning Store permissions: ") && ills[1].contains("`chmod 700 "), "{ills:?}");
}

#[tokio::test]
async fn what_another_user_owns() {
    if !rustix::process::geteuid().is_root() {
        return rmachine_testkit::skipped("what_another_user_owns: only root can give a file away");
    }
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    std::os::unix::fs::chown(world.store().machine_file("m", "config.json"), Some(12345), None).unwrap();
    let words = ["another user owns", "m/config.json", "sudo chown -R $(id -u) "];
    assert_only_ill(&doctor(&core).await, Health::Warning, Area::Store, &words);
}

#[tokio::test]
async fn tombstones_and_a_lost_id() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    let refuses = Effect::fail(rmachine_provider_api::Kind::Denied);
    world.account.script(Operation::TerminateInstance, 1, When::Before, refuses);
    core.remove("m", RemoveMode::Force).await.unwrap_err();
    assert_only_ill(&doctor(&core).await, Health::Warning, Area::Store, &["tombstones: ", "m-", "`rmachine gc --yes`"]);
    std::fs::remove_file(world.store().root().join("rmachine.json")).unwrap();
    let ills = ills(&doctor(&core).await);
    assert!(ills.iter().any(|ill| ill.contains("rmachine.json is missing")), "{ills:?}");
}

#[tokio::test]
async fn a_removed_login_key() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    std::fs::remove_file(world.store().machine_file("m", "id_rsa")).unwrap();
    let words = ["m: the SSH key", "id_rsa cannot be used", "restore it from a backup"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &words);
}

#[tokio::test]
async fn a_lost_or_foreign_ca_key() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    let path = world.store().certs_directory().join("ca-key.pem");
    world.spoil();
    std::fs::copy(world.store().certs_directory().join("key.pem"), &path).unwrap();
    chmod(&path, 0o600);
    let words = ["CA: ca.pem and ca-key.pem", "do not belong together", "from one backup"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Certificates, &words);
    std::fs::remove_file(&path).unwrap();
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Certificates, &["ca-key.pem is missing", "restore"]);
    assert!(!path.exists(), "a CA that machines trust is never made anew");
}

#[tokio::test]
async fn a_client_certificate_that_is_over() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    let old = certs::issue_client(&ca(&world), days_ago(1200)).unwrap();
    let directory = world.store().certs_directory();
    std::fs::write(directory.join("cert.pem"), &old.cert_pem).unwrap();
    std::fs::write(directory.join("key.pem"), old.key_pem.as_bytes()).unwrap();
    let words = ["client: ", "has expired on 20", "`rmachine regenerate-certs --client-certs NAME`"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Certificates, &words);
    let due = certs::issue_client(&ca(&world), days_ago(1000)).unwrap();
    std::fs::write(directory.join("cert.pem"), &due.cert_pem).unwrap();
    std::fs::write(directory.join("key.pem"), due.key_pem.as_bytes()).unwrap();
    assert_only_ill(&doctor(&core).await, Health::Warning, Area::Certificates, &["ends on 20"]);
}

/// A machine that wants an engine (none answers), with a server certificate of ours.
async fn with_server(world: &World, issued: OffsetDateTime, names: &[&str]) -> Vec<String> {
    let core = world.core_with(Capabilities { ssh: false, engine: true, power: true, ingress: true });
    if !world.store().exists("m") {
        core.create(options("m")).await.unwrap();
    }
    let record = world.record("m");
    let addresses = &record.instance.as_ref().unwrap().addresses;
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    if names.is_empty() {
        names.extend(["localhost", "127.0.0.1", "::1", "m"].map(str::to_owned));
        names.extend(addresses.public.iter().chain(&addresses.private).map(ToString::to_string));
        names.extend(addresses.names.iter().map(ToString::to_string));
    }
    let authority = std::fs::read_to_string(world.store().machine_file("m", "authority.pem")).unwrap();
    let own = certs::split(&authority).unwrap().identity.unwrap();
    let server = certs::issue_server(&own, &Sans::parse(names).unwrap(), issued).unwrap();
    std::fs::write(world.store().machine_file("m", "server.pem"), &server.cert_pem).unwrap();
    let key = world.store().machine_file("m", "server-key.pem");
    world.store().write(&key, server.key_pem.as_bytes()).unwrap();
    let checked = core.doctor(&[], Duration::from_secs(1)).await.unwrap();
    ills(&checked).into_iter().filter(|ill| ill.contains(" Certificates ")).collect()
}

#[tokio::test]
async fn the_certificates_of_engines() {
    let world = World::new();
    assert_eq!(with_server(&world, days_ago(0), &[]).await, Vec::<String>::new());
    let expired = with_server(&world, days_ago(1200), &[]).await;
    assert!(expired[0].starts_with("Bad Certificates m: its certificate has expired on 20"), "{expired:?}");
    assert!(expired[0].ends_with("-> `rmachine regenerate-certs m`"), "{expired:?}");
    let foreign = with_server(&world, days_ago(0), &["localhost", "10.9.9.9"]).await;
    assert!(foreign[0].starts_with("Bad Certificates m: its certificate does not name all"), "{foreign:?}");
    let dialled = world.record("m").address().unwrap().to_owned();
    let partly = with_server(&world, days_ago(0), &[&dialled]).await;
    assert!(partly[0].starts_with("Warning Certificates m: its certificate does not name all"), "{partly:?}");
    std::fs::write(world.store().machine_file("m", "cert.pem"), "").unwrap();
    let copies = with_server(&world, days_ago(0), &[]).await;
    assert!(copies[0].starts_with("Bad Certificates m: cert.pem: "), "{copies:?}");
    let other = certs::new_ca("other", days_ago(0)).unwrap();
    std::fs::write(world.store().machine_file("m", "ca.pem"), other.cert_pem).unwrap();
    let of_another = with_server(&world, days_ago(0), &[]).await;
    assert!(of_another[0].contains("m/ca.pem is not what its clients shall trust"), "{of_another:?}");
}

#[tokio::test]
async fn copies_of_a_machine_that_is_not_managed_are_copied_by_hand() {
    let world = World::new();
    let core = world.core();
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    std::fs::remove_file(world.store().machine_file("url", "key.pem")).unwrap();
    let ills = ills(&core.doctor(&[], Duration::from_secs(1)).await.unwrap());
    assert!(ills[0].contains("key.pem is missing in") && ills[0].contains("-> `cp -p "), "{ills:?}");
}

#[tokio::test]
async fn records_that_do_not_read() {
    let world = World::new();
    let core = world.core();
    for name in ["cut", "good", "none"] {
        core.create(bare(name)).await.unwrap();
    }
    let config = world.store().machine_file("cut", "config.json");
    let whole = std::fs::read(&config).unwrap();
    std::fs::write(&config, &whole[..whole.len() / 2]).unwrap();
    std::fs::remove_file(world.store().machine_file("none", "config.json")).unwrap();
    let checked = doctor(&core).await;
    let ills = ills(&checked);
    assert_eq!(ills.len(), 2, "{ills:#?}");
    assert!(ills[0].starts_with("Bad Machines cut: ") && ills[0].contains("config.json is damaged"), "{ills:?}");
    assert!(
        ills[1].contains("the record of machine \"none\" is missing") && ills[1].contains("rm -f none"),
        "{ills:?}"
    );
    assert!(checked.iter().any(|checked| checked.finding.subject == "good"), "the others are looked at all the same");
}

#[tokio::test]
async fn what_did_not_end_and_what_is_under_way() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    let path = world.store().machine_file("m", "config.json");
    let words = [
        (Phase::Reserved, "its create did not end; it had made nothing yet", "`rmachine rm -y m`"),
        (Phase::Creating, "its create did not end (creating)", "`rmachine rm -y m`"),
        (Phase::Booting, "its create did not end (booting)", "`rmachine rm -y m`"),
        (Phase::Provisioning, "its create did not end; the host was reached", "`rmachine provision m`"),
        (Phase::Removing, "its rm did not end", "`rmachine rm -y m` finishes it"),
    ];
    for (phase, text, remedy) in words {
        let mut document = world.store().load_document("m").unwrap();
        document["Rmachine"]["Phase"] = phase.word().into();
        std::fs::write(&path, document.to_string()).unwrap();
        assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &[text, remedy]);
        let lock = world.store().lock_machine("m", || {}).unwrap();
        let checked = doctor(&core).await;
        drop(lock);
        assert_eq!(ills(&checked), Vec::<String>::new(), "{phase:?}, and another process works on it");
    }
}

#[tokio::test]
async fn machines_that_are_not_where_or_how_their_record_says() {
    let world = World::new();
    let core = world.core();
    let created = core.create(bare("m")).await.unwrap();
    let id = created.record.instance.unwrap().id;
    world.account.move_to(id.as_str(), "127.99.0.1");
    let words = ["m: it is at 127.99.0.1 now", "`rmachine start m`"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &words);
    core.start("m").await.unwrap();
    let mut document = world.store().load_document("m").unwrap();
    document["Rmachine"]["Power"] = "stopped".into();
    std::fs::write(world.store().machine_file("m", "config.json"), document.to_string()).unwrap();
    let words = ["m: it runs, and the record says that it is stopped", "`rmachine start m`"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &words);
    world.account.lose(id.as_str());
    let words = ["m: the instance", "is gone", "`rmachine rm m`"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &words);
}

#[tokio::test]
async fn an_engine_that_does_not_answer() {
    let world = World::new();
    let core = world.core();
    core.create(options("m")).await.unwrap();
    let words = ["m: its engine: ", "is not reachable", ":2376 cannot be connected to", "`rmachine status m`"];
    assert_only_ill(&doctor(&core).await, Health::Bad, Area::Machines, &words);
}

#[tokio::test]
async fn an_account_that_fails_refuses_or_hangs() {
    let world = World::new();
    let core = world.core();
    core.create(bare("m")).await.unwrap();
    world.account.script(Operation::Checkup, 0, When::Before, Effect::fail(CloudKind::Credentials));
    let checked = core.doctor(&[], SOON).await.unwrap();
    let bad: Vec<&Checked> = checked.iter().filter(|c| c.finding.health == Health::Bad).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!((bad[0].area, bad[0].finding.subject.as_str()), (Area::Accounts, "fake credentials"));
    assert_eq!(bad[0].finding.text, "the fake cloud fails Checkup: as the script says");

    world.account.calm();
    world.account.script(Operation::Describe, 0, When::Before, Effect::hang(|| {}));
    let hung = core.doctor(&[], Duration::from_millis(100)).await.unwrap();
    let words = ["fake here cannot be asked for its machines: there was no answer in 0.1 seconds", "--timeout"];
    assert_only_ill(&hung, Health::Bad, Area::Accounts, &words);

    world.account.calm();
    world.account.require_token("secret");
    let refused = doctor(&world.core()).await;
    let words = ["fake here cannot be used: the fake cloud refuses the token", "give it by --fake-token"];
    assert_only_ill(&refused, Health::Bad, Area::Accounts, &words);
}
