//! Certificates that run out, and a CA that is replaced, before a real dockerd and docker.
//!
//! Nothing in the program is told another time: `faketime` lets rmachine issue certificates that end in seconds.

use std::time::Duration;

use crate::{
    hosts::{Host, Key},
    support::{Done, Store, eventually, run},
};

const DAY: i64 = 86_400;
/// Life of the engines' certificates, and of clients' where it is asked for.
const LEAF: i64 = 1096 * DAY;
/// Life of the CA.
const CA: i64 = 3653 * DAY;

/// `rmachine ARGUMENTS` at a time when what lives `life` seconds ends `left` seconds from now, clients' certificates as well.
fn back_then(store: &Store, life: i64, left: i64, arguments: &[&str]) -> Done {
    let mut command = store.command("faketime");
    command.env("RMACHINE_CLIENT_DAYS", (life / DAY).to_string());
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").args(["-f", &format!("-{}", life - left), "rmachine"]);
    command.args(arguments);
    // It names a semaphore by its process id; one that was killed has left its own, and the id comes again.
    for _ in 0..20 {
        let done = run(&mut command);
        if !done.stderr.contains("sem_open") {
            return done;
        }
    }
    panic!("faketime finds no free name in /dev/shm");
}

fn create_back_then(store: &Store, host: &Host, key: &Key, life: i64, name: &str) {
    let key_path = key.path.display().to_string();
    let arguments = ["create", "-d", "generic", "--generic-ip-address", &host.address, "--generic-ssh-user", "debian"];
    let trust = ["--generic-ssh-host-key", host.key_line(), "--generic-ssh-key", &key_path, name];
    back_then(store, life, 180, &[&arguments[..], &trust].concat()).ok();
}

fn days(store: &Store) -> i64 {
    let listed: serde_json::Value = serde_json::from_str(&store.rmachine(&["ls", "--json"]).ok()).unwrap();
    listed[0]["certDays"].as_i64().unwrap()
}

const STARTED: &str = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' steady";

/// Waits until docker is refused because of a date.
fn run_out(store: &Store, name: &str) {
    eventually("the certificates run out", Duration::from_secs(240), || {
        let done = store.sh(name, "docker version");
        done.code != 0 && done.stderr.contains("expired")
    });
    // docker has it by the fraction of a second; rustls counts whole ones.
    std::thread::sleep(Duration::from_secs(2));
}

#[test]
fn a_leaf_that_runs_out() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    create_back_then(&store, &host, &key, LEAF, "aged");
    store.import_busybox("aged");
    store.sh("aged", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("aged", STARTED).ok();

    // Due, and said; whatever opens a session renews it.
    assert_eq!(days(&store), 0);
    let env = store.rmachine(&["env", "aged"]);
    assert!(env.stderr.contains("ends on") && env.stderr.contains("rmachine regenerate-certs aged"), "{env:?}");
    assert!(store.rmachine(&["ls"]).ok().contains("ends on"), "ls warns");
    assert_eq!(store.rmachine(&["ssh", "aged", "echo in"]).ok(), "in");
    assert!(days(&store) > 300, "the session has renewed it");
    assert_eq!(store.rmachine(&["env", "aged"]).stderr, "");
    assert_eq!(store.sh("aged", STARTED).ok(), started, "the container ran on");

    // Over: docker is refused, the messages name the command, and it mends it.
    back_then(&store, LEAF, 40, &["regenerate-certs", "-f", "--client-certs", "aged"]).ok();
    run_out(&store, "aged");
    let env = store.rmachine(&["env", "aged"]).stderr;
    assert!(env.contains("has expired") && env.contains("`rmachine regenerate-certs aged`"), "{env}");
    assert!(store.rmachine(&["ls"]).ok().contains("expired"));
    let doctor = store.rmachine(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("rmachine regenerate-certs"), "{doctor:?}");
    assert!(store.rmachine(&["env", "--check", "aged"]).fails(8).contains("regenerate-certs"));
    store.rmachine(&["regenerate-certs", "aged"]).ok();
    assert_eq!(store.sh("aged", STARTED).ok(), started, "the container ran on");
    assert!(days(&store) > 300);
    store.sh("aged", "docker swarm init --advertise-addr eth0 && docker swarm leave --force").ok();
}

#[test]
fn a_ca_that_runs_out() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    // The CA is of that time; the leaves that it signs now end with it.
    create_back_then(&store, &host, &key, CA, "old");
    store.rmachine(&["regenerate-certs", "-f", "old"]).ok();
    store.import_busybox("old");
    store.sh("old", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("old", STARTED).ok();
    assert!(store.rmachine(&["env", "old"]).stderr.contains("rmachine rotate-ca old"));
    run_out(&store, "old");
    assert!(store.rmachine(&["env", "old"]).stderr.contains("the CA's certificate has expired"));
    store.rmachine(&["rotate-ca"]).ok();
    assert_eq!(store.sh("old", STARTED).ok(), started, "the container ran on");
    assert!(days(&store) > 300);
    assert_eq!(store.rmachine(&["env", "old"]).stderr, "");
}

#[test]
fn a_ca_that_is_replaced() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    host.create(&store, "debian", &key, &[], "kept").ok();
    store.import_busybox("kept");
    store.sh("kept", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("kept", STARTED).ok();
    // A colleague's copy of the client's files.
    let copy = store.path("copy");
    let from = store.root().join("machines/kept");
    run(store
        .command("bash")
        .args(["-c", &format!("mkdir {0} && cp {1}/{{ca,cert,key}}.pem {0}/", copy.display(), from.display())]))
    .ok();
    let copied = || store.sh("kept", &format!("export DOCKER_CERT_PATH={}; docker version", copy.display()));
    copied().ok();

    store.rmachine(&["rotate-ca"]).ok();
    copied().ok();
    assert_eq!(store.sh("kept", STARTED).ok(), started, "the container ran on");
    assert_ne!(std::fs::read(copy.join("cert.pem")).unwrap(), std::fs::read(from.join("cert.pem")).unwrap());
    store.rmachine(&["restart", "kept"]).ok();
    copied().ok();
    store.sh("kept", "docker start steady").ok();
    let started = store.sh("kept", STARTED).ok();

    store.rmachine(&["rotate-ca", "--finish"]).ok();
    assert_ne!(copied().code, 0, "the old one is trusted no more");
    assert_eq!(store.sh("kept", STARTED).ok(), started, "the container ran on");
    // Also by the engine: who trusts the new CA, with a certificate of the old one.
    run(std::process::Command::new("cp").arg(from.join("ca.pem")).arg(copy.join("ca.pem"))).ok();
    let refused = copied();
    assert!(refused.is_refused_by_tls(), "{refused:?}");
    assert_eq!(store.rmachine(&["doctor"]).code, 0);
}
