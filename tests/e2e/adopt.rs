//! Records that are lost and given back, and creates that go on, on real hosts.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    ec2::held_for,
    support::{PREBAKED, Store, exec_on, program, run},
};

/// What a machine is known by besides its record: instance, owner, host key.
struct Known {
    instance: String,
    owner: String,
    host_key: String,
}

fn known(store: &Store, name: &str) -> Known {
    let document = store.inspect(name);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = document["Rmachine"]["Ssh"]["HostKeys"].as_array().unwrap();
    Known {
        instance: text(&document["Driver"]["InstanceId"]),
        owner: text(&document["Rmachine"]["Owner"]),
        host_key: text(keys.last().unwrap()),
    }
}

/// Kills `create` when it says `moment`; answers whether it got there.
pub fn kill_at(create: &mut Command, moment: &str) -> bool {
    let mut child = create.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let reached = lines.map_while(Result::ok).any(|line| line.ends_with(moment));
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    reached
}

const STRANGE: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Has the host's console say that this is its key.
fn print_host_keys(id: &str, key: &str) {
    let around = |word: &str| format!("-----{word} SSH HOST KEY FINGERPRINTS-----");
    let text = format!("{}\n<14>Nov 28 01:02:03 cloud-init: 256 {key} (ED25519)\n{}", around("BEGIN"), around("END"));
    let done = exec_on(id, "cat >/dev/console", &format!("{text}\n"));
    assert_eq!(done["code"], 0, "{done}");
}

/// The whole store is lost; a new one takes the machine over, and what runs on it runs on.
#[test]
fn a_machine_of_a_lost_store_is_adopted() {
    let store = Store::new();
    store.create_ec2(PREBAKED, &[], "lost").ok();
    store.import_busybox("lost");
    let id = store.sh("lost", "docker run -d busybox sleep 600").ok();
    let was = known(&store, "lost");
    std::fs::remove_dir_all(store.root()).unwrap();

    let listed = store.rmachine(&["gc", "--driver", "amazonec2", "--json"]);
    let report: Value = serde_json::from_str(&listed.ok()).unwrap();
    let found = report["found"].as_array().unwrap().iter().find(|o| o["id"] == was.instance.as_str()).unwrap().clone();
    assert_eq!((found["standing"].as_str(), found["owner"].as_str()), (Some("foreign"), Some(was.owner.as_str())));

    let adopt = ["adopt", "--driver", "amazonec2", "--host-key", &was.host_key];
    let of_another = store.rmachine(&[&adopt[..], &[&was.instance]].concat()).fails(5);
    assert!(of_another.contains(&format!("--owner {}", was.owner)), "{of_another}");
    // What its console says is not what it shows: as when somebody else answers in its place.
    let by_console = ["adopt", "-d", "amazonec2", "--owner", &was.owner, &was.instance];
    print_host_keys(&was.instance, STRANGE);
    let other = store.rmachine(&by_console).fails(7);
    assert!(other.contains(STRANGE) && other.contains("--host-key SHA256:"), "{other}");
    // The seed's fingerprint, which stands in first-boot data for many to read, says nothing.
    print_host_keys(&was.instance, &format!("{STRANGE} rmachine seed"));
    let unknown_host = store.rmachine(&by_console).fails(7);
    assert!(unknown_host.contains("is not known") && unknown_host.contains("--host-key"), "{unknown_host}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "nothing was taken in yet");

    store.rmachine(&[&adopt[..], &["--owner", &was.owner, &was.instance]].concat()).ok();
    assert_eq!(store.sh("lost", "docker ps -q --no-trunc").ok(), id, "the container runs on");
    assert_eq!(store.rmachine(&["ssh", "lost", "id -un"]).ok(), "admin");
    let now = known(&store, "lost");
    assert_ne!(now.owner, was.owner);
    assert_ne!(now.host_key, was.host_key, "the host key that the lost store knew is replaced");
    let logins = store.rmachine(&["ssh", "lost", "cat .ssh/authorized_keys"]).ok();
    assert_eq!(logins.matches("rmachine lost").count(), 1, "the lost store's login key is taken out: {logins}");
    let left = store.rmachine(&["gc", "--json"]).ok();
    assert!(!left.contains(&now.instance), "it is no orphan: {left}");
    store.rmachine(&["doctor", "lost"]).ok();
    store.rmachine(&["rm", "-y", "lost"]).ok();
    assert_eq!(held_for("lost"), Vec::<String>::new());
}

/// Debian's own image has no EC2 Instance Connect: a key that the host knows lets the new one in.
#[test]
fn a_host_without_instance_connect_is_adopted_by_a_key() {
    let store = Store::new();
    let image = ["--amazonec2-ami-owner", "136693071363", "--amazonec2-ami-name", "debian-13-amd64-*"];
    let create = ["create", "-d", "amazonec2", "--engine-source", "none"];
    store.rmachine(&[&create[..], &image, &["keyed"]].concat()).ok();
    let was = known(&store, "keyed");
    let key = store.path("kept-key");
    std::fs::copy(store.root().join("machines/keyed/id_rsa"), &key).unwrap();
    // A damaged record, as a full disk or a careless hand leave it.
    std::fs::write(store.root().join("machines/keyed/config.json"), "{").unwrap();

    // Who the host is says its console: it had printed the key that the create has given it.
    let adopt = ["adopt", "-d", "amazonec2"];
    let refused = store.rmachine(&[&adopt[..], &[&was.instance]].concat()).fails(7);
    assert!(refused.contains("--ssh-key"), "{refused}");
    let key = key.to_str().unwrap();
    let adopted = store.rmachine(&[&adopt[..], &["--ssh-key", key, &was.instance]].concat());
    assert!(adopted.stderr.contains("its console names the key"), "{adopted:?}");
    adopted.ok();
    assert_ne!(known(&store, "keyed").host_key, was.host_key);
    assert_eq!(store.rmachine(&["ssh", "keyed", "id -un"]).ok(), "admin");
    let fresh = std::fs::read(store.root().join("machines/keyed/id_rsa")).unwrap();
    assert_ne!(fresh, std::fs::read(key).unwrap(), "the login key is a new one");
    let logins = store.rmachine(&["ssh", "keyed", "cat .ssh/authorized_keys"]).ok();
    assert_eq!(logins.matches("rmachine keyed").count(), 1, "who has the old one does not get in: {logins}");
    store.rmachine(&["rm", "-y", "keyed"]).ok();
    assert_eq!(held_for("keyed"), Vec::<String>::new());
}

/// Killed while the engine is configured: other commands refuse it, and the same create goes on with it.
#[test]
fn a_killed_create_is_finished_by_the_same_create() {
    let store = Store::new();
    let arguments = ["create", "-d", "amazonec2", "--amazonec2-ami-name", PREBAKED, "again"];
    let mut create = store.command(program());
    assert!(kill_at(create.args(arguments), "looking at the host"), "create came so far");
    let before = known(&store, "again").instance;
    let refused = store.rmachine(&["env", "again"]).fails(5);
    assert!(refused.contains("the create of machine \"again\" did not end"), "{refused}");
    assert!(store.rmachine(&["ls"]).ok().contains("Creating"));
    let other = store.create_ec2(PREBAKED, &["--engine-label", "a=b"], "again").fails(5);
    assert!(other.contains("it asked for something else"), "{other}");

    let done = run(store.command(program()).args(arguments));
    assert!(done.stderr.contains("going on with a create"), "{done:?}");
    done.ok();
    assert_eq!(known(&store, "again").instance, before, "the instance is the same");
    store.sh("again", "docker version").ok();
    store.rmachine(&["rm", "-y", "again"]).ok();
    assert_eq!(held_for("again"), Vec::<String>::new());
}
