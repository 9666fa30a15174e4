//! Archives of an enemy whose records are of EC2, over EC2's API: nothing of others is tagged or ended, and a refusal names
//! the field. What all drivers have in common is in tests/core/hostile.rs.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use age::secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    account::{Account, LAST},
    report::{Report, full},
};

/// A change of the record, and what becomes of it.
struct Field {
    path: &'static str,
    value: Value,
    ends: Ends,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The import is refused, and says this.
    Refused(&'static str),
    /// It is left out.
    Nothing,
}

fn fields(instance: &str, group: &str) -> Vec<Field> {
    let resource = json!([{
        "kind": "instance", "id": instance, "owner": null, "token": null, "machine": null, "created": null, "location": null,
    }]);
    let refused = [
        ("Config.region", json!("*"), "region"),
        ("Config.region", json!("us-east-1.evil.test/"), "region"),
        ("Config.endpoint", json!("ftp://127.0.0.1"), "endpoint"),
        ("Config.reach", json!("everywhere"), "reach"),
        ("Instance.id", json!("*"), "id"),
        ("Instance.id", json!("i-*"), "id"),
        ("Instance.id", json!(instance), "carries the token"),
        ("Instance.details.subnet", json!("*"), "subnet"),
        ("Instance.details.vpc", json!("vpc-*"), "vpc"),
        ("Instance.details.groups", json!(["sg-*"]), "groups"),
        ("Instance.details.account", json!("*"), "account"),
        ("Instance.details.zone", json!("mars-1a"), "zone"),
        ("Token", json!("*"), "Token"),
        ("Token", json!("0123456789abcdef0123456789abcdef"), "carries the token"),
        ("Owner", json!("*"), "Owner"),
        ("Ssh.User", json!("-oProxyCommand=x"), "Ssh.User"),
    ];
    let nothing = [
        ("Instance.details.own_groups", json!([group])),
        ("Instance.details.spot_request", json!("sir-0123456789abcdef0")),
        ("Intents", json!(["CreateSecurityGroup", "RunInstances"])),
        ("Answered", json!(false)),
        ("Attempt", json!("*")),
        ("Plan", json!({ "resolved": { "groups": [group] } })),
        ("Resources", resource),
        ("Config.key_pair", json!("theirs")),
        ("Config.profile", json!("evil")),
    ];
    let refused = refused.into_iter().map(|(path, value, says)| Field { path, value, ends: Ends::Refused(says) });
    refused.chain(nothing.into_iter().map(|(path, value)| Field { path, value, ends: Ends::Nothing })).collect()
}

/// A machine of an enemy's store in the account, and the way to its archives.
struct Enemy {
    account: Account,
    record: Value,
    key: age::x25519::Identity,
    victim: PathBuf,
}

impl Enemy {
    fn new() -> (Self, Vec<String>) {
        let account = Account::new();
        let before = account.furnish();
        let mut create = account.create(&[], "m");
        create.until_said(LAST);
        create.kill();
        let mut record: Value =
            serde_json::from_slice(&std::fs::read(account.machine("m").join("config.json")).unwrap()).unwrap();
        record["Rmachine"]["Phase"] = json!("ready");
        record["Rmachine"]["Trust"] = json!("store");
        let key = age::x25519::Identity::generate();
        let victim = account.root().with_file_name("victim");
        std::fs::write(account.root().with_file_name("key"), key.to_string().expose_secret()).unwrap();
        (Self { account, record, key, victim }, before)
    }

    /// Imports the archive with these changes in its record, by a script that agrees with everything.
    fn import(&self, changes: &[&Field]) -> (Option<i32>, String) {
        let mut record = self.record.clone();
        for field in changes {
            let (parents, last) = field.path.rsplit_once('.').unwrap_or(("", field.path));
            let place = parents.split('.').filter(|key| !key.is_empty());
            place.fold(&mut record["Rmachine"], |value, key| &mut value[key])[last] = field.value.clone();
        }
        let list = json!({ "Version": 2, "Owner": self.record["Rmachine"]["Owner"], "Machines": ["m"] });
        let key = std::fs::read(self.account.machine("m").join("id_rsa")).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in [
            ("archive.json", list.to_string().into_bytes()),
            ("machines/m/config.json", record.to_string().into_bytes()),
            ("machines/m/id_rsa", key),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        let recipient = self.key.to_public();
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let file = std::fs::File::create(self.beside("m.age")).unwrap();
        let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(file).unwrap();
        writer.write_all(&builder.into_inner().unwrap()).unwrap();
        writer.finish().unwrap();
        let (archive, key) = (self.beside("m.age"), self.beside("key"));
        self.run(&["import", "--yes", "--offline", "--identity", text(&key), text(&archive)])
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.account.root().with_file_name(name)
    }

    /// A command of the victim's: its exit code, and all that it says.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.account.command(&[&["-s", text(&self.victim)], arguments].concat());
        let done = command.stdin(Stdio::null()).output().unwrap();
        let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (done.status.code(), said)
    }

    /// Tags and states of all there is.
    fn held(&self) -> String {
        let tags = "sorted((t['ResourceId'], t['Key'], t['Value']) for t in ec2.describe_tags()['Tags'])";
        format!("{} {:?}", self.account.boto(tags), self.account.instances_ever())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_archive_of_ec2_is_refused_by_the_field_or_its_field_comes_to_nothing() {
    let report = Report::start("archives of an enemy, each field and each pair");
    let (enemy, before) = Enemy::new();
    let id = |kind: &str| before.iter().find_map(|held| held.strip_prefix(kind)).unwrap().to_owned();
    let (instance, group) = (id("instances/"), id("groups/"));
    let fields = fields(&instance, &group);
    // The first one makes the machine the victim's; from there on nothing may change any more.
    let forget = || std::fs::remove_dir_all(enemy.victim.join("machines/m")).unwrap();
    let (code, said) = enemy.import(&[]);
    assert_eq!(code, Some(0), "{said}");
    forget();
    let held = enemy.held();
    let pairs = (0..fields.len()).flat_map(|one| (one..fields.len()).map(move |other| (one, other)));
    let mut tried = 0;
    for (one, other) in pairs {
        let changes = [&fields[one], &fields[other]];
        // In CI each alone, and a share of the pairs.
        let left_out = one != other && !full() && (one + other) % 6 != 0;
        if left_out || one != other && changes[0].path == changes[1].path {
            continue;
        }
        tried += 1;
        let what = changes.map(|field| format!("{} {}", field.path, field.value));
        enemy.account.lab("DELETE", "calls", None);
        let (code, said) = enemy.import(&changes);
        let refusals: Vec<&str> = changes
            .iter()
            .filter_map(|field| match field.ends {
                Ends::Refused(says) => Some(says),
                Ends::Nothing => None,
            })
            .collect();
        if refusals.is_empty() {
            assert_eq!(code, Some(0), "{what:?}: {said}");
            let (code, dry) = enemy.run(&["rm", "--dry-run", "m"]);
            assert!(code == Some(0) && !dry.contains(&instance) && !dry.contains(&group), "{what:?}: {dry}");
            forget();
        } else {
            assert!(!matches!(code, Some(0) | None), "{what:?}: {said}");
            assert!(refusals.iter().any(|says| said.contains(says)), "{what:?}: {said}");
            assert!(!enemy.victim.join("machines/m").exists(), "{what:?}");
        }
        // Where EC2 was not called nothing can have changed there.
        if !enemy.account.calls().is_empty() {
            assert_eq!(enemy.held(), held, "{what:?}");
        }
    }
    // With all that comes to nothing at once it is removed by its token, and nothing else is.
    let all: Vec<&Field> = fields.iter().filter(|field| field.ends == Ends::Nothing).collect();
    assert_eq!(enemy.import(&all).0, Some(0));
    let (code, said) = enemy.run(&["rm", "-y", "m"]);
    assert_eq!(code, Some(0), "{said}");
    let mut left = enemy.account.resources();
    left.sort();
    let mut before = before;
    before.sort();
    assert_eq!(left, before);
    report.end(tried, "as it was");
}
