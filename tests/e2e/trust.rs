//! Each machine has a CA of its own, on real engines: a host that claims another one's address, clients of another machine,
//! and machines of an earlier version, which get theirs while docker is used.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    hosts::{Host, Key},
    support::{Done, Store, run},
};

const STARTED: &str = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' steady";

/// docker with the files of machine `files`, asking the host at `address`.
fn docker(store: &Store, files: &str, address: &str) -> Done {
    let line = format!(
        "export DOCKER_HOST=tcp://{address}:2376 DOCKER_CERT_PATH={}; docker version",
        store.root().join("machines").join(files).display()
    );
    store.sh(files, &line)
}

#[test]
fn a_host_that_claims_another_ones_address_convinces_nobody() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let [liar, honest] = ["liar", "honest"].map(|name| {
        let host = Host::boot("debian13-docker", "debian", &key, true);
        host.create(&store, "debian", &key, &[], name).ok();
        host
    });
    liar.exec(&format!(
        "ip addr add {}/32 dev eth0 scope global && ip -o addr show scope global | grep -F {}",
        honest.address, honest.address
    ));
    for command in [&["regenerate-certs", "-f", "liar"][..], &["provision", "liar"], &["restart", "liar"]] {
        store.rmachine(command).ok();
    }
    let server = store.root().join("machines/liar/server.pem");
    let names =
        run(store.command("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(&server)).ok();
    assert!(names.contains(&liar.address) && !names.contains(&honest.address), "{names}");
    // Whatever it names: the other's clients do not believe it, and it does not let them in.
    let impostor = docker(&store, "honest", &liar.address);
    assert!(impostor.stderr.contains("certificate signed by unknown authority"), "{impostor:?}");
    let line = format!(
        "openssl verify -CAfile {0}/machines/honest/ca.pem {0}/machines/liar/server.pem",
        store.root().display()
    );
    assert_ne!(run(store.command("bash").args(["-c", &line])).code, 0);

    // A client of one is refused by the other's engine, which it knows.
    let mixed = store.path("mixed");
    let line = format!(
        "mkdir {0} && cp {1}/machines/liar/cert.pem {1}/machines/liar/key.pem {1}/machines/honest/ca.pem {0}/",
        mixed.display(),
        store.root().display()
    );
    run(store.command("bash").args(["-c", &line])).ok();
    let refused = store.sh("honest", &format!("export DOCKER_CERT_PATH={}; docker ps", mixed.display()));
    assert!(refused.is_refused_by_tls(), "{refused:?}");
    let of_store = store.sh(
        "honest",
        &format!(
            "docker --tlsverify --tlscacert \"$DOCKER_CERT_PATH/ca.pem\" --tlscert {0}/cert.pem --tlskey {0}/key.pem ps",
            store.root().join("certs").display()
        ),
    );
    assert!(of_store.is_refused_by_tls(), "{of_store:?}");
    docker(&store, "honest", &honest.address).ok();
}

/// As an earlier version made it: with the store's CA, and a record that says nothing of that.
fn of_earlier_version(store: &Store, host: &Host, key: &Key, name: &str) {
    let certs = store.root().join("certs");
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let (ca, ca_key) = (path("ca.pem"), path("ca-key.pem"));
    host.create(store, "debian", key, &["--tls-ca-cert", &ca, "--tls-ca-key", &ca_key], name).ok();
    let record = store.root().join("machines").join(name).join("config.json");
    let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    document["Rmachine"].as_object_mut().unwrap().remove("Trust").unwrap();
    document["Rmachine"]["Version"] = 1.into();
    std::fs::write(&record, document.to_string()).unwrap();
}

#[test]
fn a_machine_of_an_earlier_version_moves_while_docker_is_used() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    of_earlier_version(&store, &host, &key, "aged");
    store.import_busybox("aged");
    store.sh("aged", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("aged", STARTED).ok();
    let old = store.path("old");
    run(Command::new("cp").arg("-a").arg(store.root().join("machines/aged")).arg(&old)).ok();

    // A swarm node is left alone by a session for something else.
    store.sh("aged", "docker swarm init --advertise-addr eth0").ok();
    let said = store.rmachine(&["ssh", "aged", "true"]);
    assert!(said.stderr.contains("a swarm node is not restarted by the way"), "{said:?}");
    assert!(!store.root().join("machines/aged/authority.pem").exists());
    store.sh("aged", "docker swarm leave --force").ok();

    // Calls all the time: one that fails is good again within five seconds.
    let mut calls = store.command("rmachine");
    let mut moving = calls.args(["ssh", "aged", "true"]).stdin(Stdio::null()).spawn().unwrap();
    let (mut failing, mut longest) = (None::<Instant>, Duration::ZERO);
    let mut left = 10;
    while left > 0 {
        if moving.try_wait().unwrap().is_some() {
            left -= 1;
        }
        let at = Instant::now();
        match (store.sh("aged", "docker version").code, failing) {
            (0, Some(since)) => (failing, longest) = (None, longest.max(since.elapsed())),
            (0, None) => {}
            (_, since) => failing = Some(since.unwrap_or(at)),
        }
        let since = failing.map_or(Duration::ZERO, |since| since.elapsed());
        assert!(since < Duration::from_secs(5), "docker fails for {since:?}");
    }
    assert!(moving.wait().unwrap().success());
    println!("  docker failed for {longest:?} at most");
    assert!(store.root().join("machines/aged/authority.pem").exists(), "it has moved");
    assert_eq!(store.sh("aged", STARTED).ok(), started, "the container ran on");

    // The old client's files, with the new ca.pem, until the end.
    let with_old = || store.sh("aged", &format!("export DOCKER_CERT_PATH={}; docker ps", old.display()));
    assert!(
        with_old().stderr.contains("certificate signed by unknown authority"),
        "it has none of the store's CA any more"
    );
    run(Command::new("cp").arg(store.root().join("machines/aged/ca.pem")).arg(&old)).ok();
    with_old().ok();
    store.rmachine(&["restart", "aged"]).ok();
    with_old().ok();
    store.sh("aged", "docker start steady").ok();
    let started = store.sh("aged", STARTED).ok();
    assert!(store.rmachine(&["doctor", "aged"]).ok().contains("rotate-ca --finish aged"));
    store.rmachine(&["rotate-ca", "--finish", "aged"]).ok();
    assert!(with_old().is_refused_by_tls());
    assert_eq!(store.sh("aged", STARTED).ok(), started, "the container ran on");
    store.sh("aged", "docker ps").ok();
    assert_eq!(store.rmachine(&["doctor", "aged"]).code, 0);
}
