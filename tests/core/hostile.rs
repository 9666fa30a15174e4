//! Records and archives of an enemy: each field one at a time and in pairs, over the fake cloud. Nothing runs; nothing of
//! others is tagged, ended, connected to or copied; a refusal names the field.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use age::secrecy::ExposeSecret;
use rmachine_core::{
    ArchiveOptions, Consent, FirstContact, ImportOptions, ImportReport, Opener, Outcome, RemoveMode, Sealer,
};
use rmachine_model::error::Error;
use rmachine_provider_api::{Capabilities, Owner, ResourceKind, Value as Flag};
use rmachine_provider_fake::Held;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    docker_machine::DockerMachine,
    support::{World, options, text, with},
};

/// What is to be refused, and what is to come to nothing.
struct Field {
    path: &'static str,
    value: Value,
    refused: bool,
}

fn fields(sentinel: &str) -> Vec<Field> {
    let command = format!("touch {sentinel}");
    let refused = [
        ("Token", json!("*")),
        ("Token", json!("????????????????????????????????")),
        ("Token", json!(7)),
        ("Token", Value::Null),
        ("Owner", json!("*")),
        ("Owner", json!("")),
        ("Instance", Value::Null),
        ("Instance.id", json!("*")),
        ("Instance.id", json!("i-*")),
        ("Instance.id", json!("i-1 i-2")),
        ("Instance.addresses.dial", json!(format!("127.0.0.1\n  Match exec \"{command}\"\n"))),
        ("Instance.addresses.dial", json!("-oProxyCommand=x")),
        ("Instance.addresses.dial", json!("127.1")),
        ("Instance.engine_port", json!(0)),
        ("Ssh.User", json!(format!("root\nProxyCommand {command}"))),
        ("Ssh.User", json!("-oProxyCommand=x")),
        ("Ssh.User", json!("a b")),
        ("Ssh.Port", json!(0)),
        ("Ssh.Port", json!(70000)),
        ("Ssh.KeyFile", json!("/etc/passwd")),
        ("Ssh.KeyFile", json!("../../../id_rsa")),
        ("Ssh.KeyFile", json!("config.json")),
        ("Ssh.HostKeys", json!(["ssh-ed25519 AAAA\nMatch exec x"])),
        ("Ssh.HostKeys", json!(["no key"])),
        ("EnginePort", json!(0)),
        ("TunnelPort", json!(0)),
        ("Version", json!(99)),
        ("Phase", json!("creating")),
        ("Driver", json!("a\u{1b}[2J")),
        ("Driver", json!("")),
        ("Created", json!("yesterday")),
        ("Power", json!("maybe")),
        ("Config.region", json!("*")),
        ("Config.region", Value::Null),
    ];
    let resource = json!([{
        "kind": "instance", "id": "i-others", "owner": null, "token": null, "machine": null, "created": null, "location": null,
    }]);
    let nothing = [
        ("Ssh.ProxyCommand", json!(command)),
        ("Ssh.ProxyJump", json!("evil.test")),
        ("ExtraSans", json!(["evil.test"])),
        ("Instance.url", json!("unix:///var/run/docker.sock")),
        ("Instance.details", json!({ "own_groups": ["sg-others"], "group": "sg-others" })),
        ("Instance.addresses.names", json!(["evil.test"])),
        ("Instance.addresses.public", json!(["192.0.2.66"])),
        ("Intents", json!(["CreateGroup", "RunInstance"])),
        ("Answered", json!(false)),
        ("Attempt", json!("*")),
        ("Plan", json!({ "resolved": "evil", "login": 1 })),
        ("Resources", resource),
        ("Host", json!({ "Addresses": ["192.0.2.66"] })),
        ("Name", json!("../evil")),
        ("Renamed", json!("evil")),
        ("Config.profile", json!("evil")),
        ("Config.plain_http", json!(true)),
        ("Config.key_path", json!("/etc/evil")),
    ];
    let field = |refused| move |(path, value)| Field { path, value, refused };
    refused.into_iter().map(field(true)).chain(nothing.into_iter().map(field(false))).collect()
}

fn set(section: &mut Value, path: &str, value: &Value) {
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
    let place = parents.into_iter().flat_map(|parents| parents.split('.')).fold(section, |value, key| &mut value[key]);
    if place.is_object() {
        place[last] = value.clone();
    }
}

/// A victim's account with a machine of its own in it, and the archive of one, opened.
struct Enemy {
    world: World,
    key: age::x25519::Identity,
    files: Vec<(String, Vec<u8>)>,
}

impl Enemy {
    async fn new() -> Self {
        let world = World::new();
        world.core().create(with("m", &[("fake-token", Flag::Text("s3cret".into()))])).await.unwrap();
        let owner: Owner = "somebody-else".parse().unwrap();
        for (kind, id) in [(ResourceKind::Instance, "i-others"), (ResourceKind::SecurityGroup, "sg-others")] {
            world.account.plant_with(kind, id, Some(owner.clone()), "0123456789abcdef0123456789abcdef");
        }
        world.account.plant_instance("i-nobodys", "127.0.0.10");
        let key = age::x25519::Identity::generate();
        let sealed = world.core().export(&["m".to_owned()], &Sealer::keys(&[key.to_public().to_string()]).unwrap());
        let sealed = sealed.unwrap().bytes;
        let mut plain = Vec::new();
        let opened = age::Decryptor::new(&sealed[..]).unwrap();
        opened.decrypt(std::iter::once(&key as &dyn age::Identity)).unwrap().read_to_end(&mut plain).unwrap();
        let mut archive = tar::Archive::new(&plain[..]);
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        });
        let files = files.collect();
        Self { world, key, files }
    }

    /// The archive with these changes in its record.
    fn archive(&self, changes: &[&Field]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut bytes = bytes.clone();
            if path.ends_with("config.json") {
                let mut document: Value = serde_json::from_slice(&bytes).unwrap();
                changes.iter().for_each(|field| set(&mut document["Rmachine"], field.path, &field.value));
                bytes = document.to_string().into_bytes();
            }
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        let (plain, recipient) = (builder.into_inner().unwrap(), self.key.to_public());
        let mut sealed = Vec::new();
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut sealed).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap();
        sealed
    }

    async fn import(&self, victim: &World, sealed: &[u8], consent: Consent) -> Result<ImportReport, Error> {
        let opener = Opener::Keys(vec![Zeroizing::new(self.key.to_string().expose_secret().to_owned())]);
        let options = ArchiveOptions { consent, ..Default::default() };
        victim.core().import_archive(Path::new("a.age"), sealed, &opener, &options).await
    }

    fn victim(&self) -> World {
        World { directory: tempfile::tempdir().unwrap(), account: self.world.account.clone(), said: Default::default() }
    }

    fn others(&self) -> Vec<Held> {
        let others = ["i-others", "sg-others", "i-nobodys"];
        self.world.account.held().into_iter().filter(|held| others.contains(&held.resource.id.as_str())).collect()
    }
}

fn forget(victim: &World) {
    std::fs::remove_dir_all(victim.store().machine_directory("m")).unwrap();
}

#[tokio::test]
async fn an_archive_is_refused_by_the_field_or_its_field_comes_to_nothing() {
    let enemy = Enemy::new().await;
    let victim = enemy.victim();
    let sentinel = victim.directory.path().join("ran");
    let fields = fields(sentinel.to_str().unwrap());
    // The first one makes the machine the victim's; from there on its things are as they are.
    enemy.import(&victim, &enemy.archive(&[]), Consent::Given).await.unwrap();
    forget(&victim);
    let (others, all) = (enemy.others(), victim.account.held());
    assert_eq!(others.len(), 3);
    let pairs = (0..fields.len()).flat_map(|one| (one..fields.len()).map(move |other| (one, other)));
    for (one, other) in pairs {
        let changes = [&fields[one], &fields[other]];
        let named: Vec<&str> = changes.iter().map(|field| field.path).collect();
        // One of them may have replaced what the other one is in.
        if one != other && (named[1].starts_with(&format!("{}.", named[0])) || named[0] == named[1]) {
            continue;
        }
        let report = enemy.import(&victim, &enemy.archive(&changes), Consent::Given).await.unwrap();
        let taken = &report.machines[0];
        if changes.iter().any(|field| field.refused) {
            assert_eq!(taken.outcome, Outcome::Failed, "{named:?} {:?}", changes.map(|field| &field.value));
            let said = text(taken.error.as_ref().unwrap());
            let names_it = |field: &&&Field| field.refused && said.contains(field.path.rsplit('.').next().unwrap());
            assert!(changes.iter().find(names_it).is_some(), "{named:?}: {said}");
            assert!(!said.contains('\u{1b}'), "{said:?}");
            assert!(victim.store().names().unwrap().is_empty(), "{named:?}");
        } else {
            assert_eq!(taken.outcome, Outcome::Imported, "{named:?}: {:?}", taken.error);
            let saved = std::fs::read_to_string(victim.store().machine_file("m", "config.json")).unwrap();
            for trace in ["evil", "touch ", "192.0.2.66", "unix://", "others", "RunInstance"] {
                assert!(!saved.contains(trace), "{named:?} leaves {trace}");
            }
            forget(&victim);
        }
        assert!(!sentinel.exists(), "{named:?}");
        assert_eq!(victim.account.held(), all, "{named:?}");
    }
    // What it was taken from is removed by its token, and nothing else.
    enemy.import(&victim, &enemy.archive(&[]), Consent::Given).await.unwrap();
    victim.core().remove("m", RemoveMode::Normal).await.unwrap();
    assert_eq!(victim.account.held(), others);
}

/// An id of somebody else's instance, and somebody else's token: neither fits the other.
#[tokio::test]
async fn what_does_not_carry_the_token_is_neither_claimed_nor_ended() {
    let enemy = Enemy::new().await;
    let before = enemy.world.account.held();
    for (path, value) in [
        ("Instance.id", json!("i-others")),
        ("Instance.id", json!("i-nobodys")),
        ("Token", json!("0123456789abcdef0123456789abcdef")),
    ] {
        let victim = enemy.victim();
        let field = Field { path, value, refused: true };
        let report = enemy.import(&victim, &enemy.archive(&[&field]), Consent::Given).await.unwrap();
        let said = text(report.machines[0].error.as_ref().unwrap());
        assert!(said.contains("carries the token") && victim.store().names().unwrap().is_empty(), "{said}");
        assert_eq!(victim.account.held(), before);
    }
    // A record of our own that names another one's instance, however that came to be.
    let path = enemy.world.store().machine_file("m", "config.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    document["Rmachine"]["Instance"]["id"] = json!("i-nobodys");
    std::fs::write(&path, document.to_string()).unwrap();
    let refused = text(&enemy.world.core().remove("m", RemoveMode::Normal).await.unwrap_err());
    assert!(refused.contains("i-nobodys does not carry the token"), "{refused}");
    assert_eq!(enemy.world.account.held(), before);
}

/// A filter that answers too much, as EC2's does for `*`: what does not carry the token stays as it is.
#[tokio::test]
async fn what_a_filter_answers_too_much_is_left_alone() {
    let enemy = Enemy::new().await;
    let others = enemy.others();
    enemy.world.account.answer_everything();
    enemy.world.core().rename("m", "n").await.unwrap();
    enemy.world.core().allow("n", &["192.0.2.0/24".parse().unwrap()]).await.unwrap();
    assert_eq!(enemy.others(), others);
    enemy.world.core().remove("n", RemoveMode::Normal).await.unwrap();
    assert_eq!(enemy.world.account.held(), others);
}

/// Without a terminal nothing is asked of a cloud that a record names, and no endpoint is taken.
#[tokio::test]
async fn nobody_is_talked_to_before_the_user_agrees() {
    let enemy = Enemy::new().await;
    let victim = enemy.victim();
    let calls = victim.account.calls().len();
    let refused = text(&enemy.import(&victim, &enemy.archive(&[]), Consent::Ask).await.unwrap_err());
    for shown in ["region here", "instance i-", "token ", "--yes", "--keep-owner"] {
        assert!(refused.contains(shown), "{shown}: {refused}");
    }
    assert_eq!(victim.account.calls().len(), calls);
    assert!(!victim.store().root().exists());

    let theirs = DockerMachine::new(victim.directory.path().join("theirs"), 0);
    let endpoint = json!({ "Region": "here", "InstanceId": "i-nobodys", "IPAddress": "127.0.0.10", "Endpoint": "https://evil.test" });
    theirs.add("evil", "fake", &endpoint, &json!({}));
    let options = ImportOptions { source: theirs.root.clone(), ..Default::default() };
    let report = victim.core().import(&options).await.unwrap();
    let refused = text(report.machines[0].error.as_ref().unwrap());
    assert!(refused.contains("https://evil.test") && refused.contains("--yes"), "{refused}");
    let report = victim.core().import(&ImportOptions { consent: Consent::Given, ..options }).await.unwrap();
    assert_eq!(report.machines[0].outcome, Outcome::Imported);
    // In place, where nobody was asked.
    let used = enemy.victim();
    std::fs::rename(&theirs.root, used.store().root()).unwrap();
    let refused = text(&used.core().start("evil").await.unwrap_err());
    assert!(refused.contains("https://evil.test") && refused.contains("import --yes"), "{refused}");
}

/// docker-machine's store of an enemy: records, keys and links.
fn enemys_store(world: &World) -> (DockerMachine, PathBuf) {
    let theirs = DockerMachine::new(world.directory.path().join("theirs"), 0);
    let private = world.directory.path().join("private-key");
    std::fs::write(&private, "-----BEGIN OPENSSH PRIVATE KEY-----\nof the victim\n").unwrap();
    (theirs, private)
}

#[tokio::test]
async fn a_directory_is_refused_by_the_field_or_its_field_comes_to_nothing() {
    let world = World::new();
    let (theirs, private) = enemys_store(&world);
    let sentinel = world.directory.path().join("ran");
    let command = format!("touch {}", sentinel.display());
    let good = json!({ "IPAddress": "127.0.0.1", "SSHPort": 1 });
    let cases: [(&str, &str, Value); 10] = [
        ("address", "IPAddress", json!(format!("127.0.0.1\n  Match exec \"{command}\""))),
        ("option", "IPAddress", json!("-oProxyCommand=x")),
        ("user", "SSHUser", json!(format!("root\nProxyCommand {command}"))),
        ("dash", "SSHUser", json!("-x")),
        ("port", "SSHPort", json!(-1)),
        ("key", "SSHKeyPath", json!(private)),
        ("star", "InstanceId", json!("*")),
        ("region", "Region", json!(7)),
        ("name", "DriverName", json!("a\u{1b}[2J")),
        ("url", "URL", json!("unix:///var/run/docker.sock")),
    ];
    for (name, field, value) in &cases {
        let driver = match *field {
            "InstanceId" | "Region" => "fake",
            "URL" => "none",
            _ => "generic",
        };
        let directory = theirs.add(name, driver, &good, &json!({}));
        let mut document = theirs.read(name);
        let place = if *field == "DriverName" { &mut document } else { &mut document["Driver"] };
        place[*field] = value.clone();
        if driver == "fake" && *field != "Region" {
            place["Region"] = json!("here");
        }
        theirs.write(name, &document);
        if *field == "SSHKeyPath" {
            std::fs::remove_file(directory.join("id_rsa")).unwrap();
        }
    }
    // A link to a key of the victim in the place of the machine's own.
    let directory = theirs.add("link", "generic", &good, &json!({}));
    std::fs::remove_file(directory.join("id_rsa")).unwrap();
    std::os::unix::fs::symlink(&private, directory.join("id_rsa")).unwrap();
    // A section of ours, as the record of an imported machine has it.
    theirs.add("section", "generic", &good, &json!({}));
    let mut document = theirs.read("section");
    document["Rmachine"] = json!({
        "Version": 1, "Name": "section", "Driver": "generic", "Imported": true, "Protected": true,
        "Ssh": { "ProxyCommand": command, "KeyFile": private, "HostKeys": [], "User": "root", "Port": 22 },
        "Instance": { "id": "i", "addresses": { "dial": "127.0.0.66" }, "url": "unix:///var/run/docker.sock" },
    });
    document["HostOptions"]["AuthOptions"]["ServerCertSANs"] = json!(["evil.test"]);
    theirs.write("section", &document);

    let before = theirs.seen();
    let mut core = world.core_with(Capabilities { ssh: true, engine: true, power: true, ingress: true });
    core.set_first_contact(FirstContact::Take);
    let options = ImportOptions { source: theirs.root.clone(), consent: Consent::Given, ..Default::default() };
    let report = core.import(&options).await.unwrap();
    assert_eq!(theirs.seen(), before);
    let of = |name: &str| report.machines.iter().find(|taken| taken.name == name).unwrap();
    for (name, field, _) in &cases {
        let said = text(of(name).error.as_ref().unwrap());
        let named = match *field {
            "DriverName" => "Driver",
            "SSHKeyPath" => "private-key",
            field => field,
        };
        assert!(said.contains(named) && said.contains("Hint: ") && !said.contains('\u{1b}'), "{name}: {said}");
    }
    let link = text(of("link").error.as_ref().unwrap());
    assert!(link.contains("private-key") && link.contains("outside of"), "{link}");
    assert_eq!(world.store().names().unwrap(), ["section"]);
    let record = world.record("section");
    assert_eq!((record.ssh.proxy_command.as_ref(), record.address()), (None, Some("127.0.0.1")));
    assert_eq!((record.ssh.key_file.as_str(), record.url().as_deref()), ("id_rsa", Some("tcp://127.0.0.1:2376")));
    assert!(record.extra_sans.is_empty() && record.protected);
    assert!(!sentinel.exists(), "a command of the record has run");
    let copied = std::fs::read_dir(world.store().machine_directory("section")).unwrap();
    for file in copied {
        assert!(!std::fs::read_to_string(file.unwrap().path()).unwrap().contains("of the victim"));
    }
}

/// The machine of the fake cloud that everything here is about is one that works.
#[tokio::test]
async fn the_unchanged_archive_is_taken() {
    let enemy = Enemy::new().await;
    let victim = enemy.victim();
    victim.core().create(options("own")).await.unwrap();
    let report = enemy.import(&victim, &enemy.archive(&[]), Consent::Given).await.unwrap();
    assert_eq!(report.machines[0].outcome, Outcome::Imported, "{:?}", report.machines[0].error);
    victim.core().stop("m", rmachine_provider_api::StopMode::Graceful).await.unwrap();
}
