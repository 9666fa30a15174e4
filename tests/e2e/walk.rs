//! The user's walk: engine, Compose, networks, swarm, and the life of the machine around them.

use std::time::Duration;

use crate::support::{CURRENT, PREBAKED, Store, eventually, lab_variable, resources, run};

const COMPOSE: &str = "\
services:
  db:
    image: app
    environment: { ROLE: database }
    command: sh -c 'mkdir -p /data/www && [ -e /data/www/count ] || echo 0 >/data/www/count; exec httpd -f -p 5432 -h /data/www'
    volumes: [ 'data:/data' ]
  web:
    image: app
    environment: { DB_URL: 'http://db:5432/count' }
    command: sh -c 'until wget -q -O /www/index.html $$DB_URL; do sleep 0.2; done; exec httpd -f -p 80 -h /www'
    depends_on: [ db ]
    ports: [ '8080:80' ]
volumes:
  data:
";

/// Debian's engine and clients, of 2024.
#[test]
fn the_walk_of_an_ec2_machine() {
    walk(&Store::new(), PREBAKED, "26.");
}

/// The engine and the clients of today.
#[test]
fn the_walk_with_the_current_docker() {
    walk(&Store::with_current_clients(), CURRENT, "29.");
}

fn walk(store: &Store, image: &str, version: &str) {
    let registry = run(std::process::Command::new("tests/lab/registry").current_dir(env!("CARGO_MANIFEST_DIR"))).ok();
    let created = store.create_ec2(
        image,
        &["--amazonec2-open-port", "8080", "--engine-insecure-registry", &registry, "--engine-label", "tier=walk"],
        "aws-test",
    );
    created.ok();
    let record = store.inspect("aws-test");
    let made: Vec<String> = record["Rmachine"]["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(made.len() >= 2, "a group and an instance: {made:?}");

    for side in ["Client", "Server"] {
        let said = store.sh("aws-test", &format!("docker version --format '{{{{.{side}.Version}}}}'")).ok();
        assert!(said.starts_with(version), "{side}: {said}");
    }
    engine(store, &registry);
    compose(store);
    networks(store);
    swarm(store);
    power(store);
    certificates(store);
    login(store);

    store.rmachine(&["rm", "-y", "aws-test"]).ok();
    assert!(!store.root().join("machines/aws-test").exists());
    let left: Vec<String> = resources().into_iter().filter(|held| made.iter().any(|id| held.ends_with(id))).collect();
    assert_eq!(left, Vec::<String>::new(), "rm ends with nothing");
    store.rmachine(&["inspect", "aws-test"]).fails(4);
}

fn engine(store: &Store, registry: &str) {
    store.import_busybox("aws-test");
    store.file(
        "app/Dockerfile",
        "FROM busybox\nCOPY greeting /www/greeting\nCMD [\"httpd\",\"-f\",\"-p\",\"80\",\"-h\",\"/www\"]\n",
    );
    store.file("app/greeting", "hello from the machine\n");
    let app = store.path("app");
    let sh = |line: &str| store.sh("aws-test", line).ok();
    sh(&format!("docker build -q -t app {}", app.display()));
    sh(&format!("docker buildx build --load -t app:buildx {}", app.display()));
    assert!(sh("docker images --format '{{.Repository}}:{{.Tag}}'").contains("app:buildx"));
    sh("docker run -d --name web -p 8080:80 app");
    assert!(sh("docker ps --format '{{.Names}} {{.Ports}}'").contains("web 0.0.0.0:8080->80/tcp"));
    assert_eq!(sh("docker exec web cat /www/greeting"), "hello from the machine");
    let address = store.rmachine(&["ip", "aws-test"]).ok();
    let fetched = run(store.command("curl").args([
        "-fsS",
        "--retry",
        "5",
        "--retry-connrefused",
        &format!("http://{address}:8080/greeting"),
    ]));
    assert_eq!(fetched.ok(), "hello from the machine", "an open port answers from here");
    sh("docker run --name talker app echo spoken");
    assert_eq!(sh("docker logs talker"), "spoken");
    sh(&format!("docker tag app {registry}/app:1 && docker push -q {registry}/app:1 && docker rmi {registry}/app:1"));
    sh(&format!("docker pull -q {registry}/app:1 && docker run --rm {registry}/app:1 cat /www/greeting"));
    assert!(sh("docker info --format '{{.Labels}}'").contains("tier=walk"));
    sh("docker rm -f web talker");
}

fn compose(store: &Store) {
    let file = store.file("compose/compose.yaml", COMPOSE);
    let compose = |line: &str| store.sh("aws-test", &format!("docker compose -p shop -f {} {line}", file.display()));
    compose("up -d --quiet-pull").ok();
    let address = store.rmachine(&["ip", "aws-test"]).ok();
    eventually("the web service answers with what the database says", Duration::from_secs(30), || {
        run(store.command("curl").args(["-sS", "-m", "5", &format!("http://{address}:8080/")])).stdout.trim() == "0"
    });
    assert_eq!(compose("ps --services --status running").ok().lines().count(), 2);
    compose("exec -T db sh -c 'echo 41 >/data/www/count'").ok();
    compose("down").ok();
    compose("up -d").ok();
    eventually("the named volume keeps its data", Duration::from_secs(30), || {
        run(store.command("curl").args(["-sS", "-m", "5", &format!("http://{address}:8080/")])).stdout.trim() == "41"
    });
    compose("down -v").ok();
}

fn networks(store: &Store) {
    let sh = |line: &str| store.sh("aws-test", line).ok();
    assert_eq!(sh("docker run --rm --network none busybox sh -c 'ls /sys/class/net'"), "lo");
    assert!(sh("docker run --rm --network host busybox sh -c 'ls /sys/class/net'").contains("docker0"));
    assert!(sh("docker run --rm busybox ip -4 -o addr show eth0").contains("172.17."));
    sh(
        "docker network create -d bridge --subnet 10.77.0.0/24 -o com.docker.network.bridge.name=own0 -o com.docker.network.driver.mtu=1400 own",
    );
    sh("docker run -d --name one --network own busybox sleep 600");
    assert!(sh("docker run --rm --network own busybox ping -c 1 one").contains("1 packets received"));
    assert!(sh("docker exec one cat /sys/class/net/eth0/mtu").contains("1400"), "driver options reach the bridge");
    sh("docker rm -f one && docker network rm own");
}

fn swarm(store: &Store) {
    let sh = |line: &str| store.sh("aws-test", line).ok();
    sh("docker swarm init --advertise-addr eth0");
    assert_eq!(sh("docker info --format '{{.Swarm.LocalNodeState}}'"), "active");
    sh("docker swarm leave --force");
}

fn power(store: &Store) {
    let before = store.rmachine(&["ip", "aws-test"]).ok();
    store
        .sh("aws-test", "docker volume create kept && docker run --rm -v kept:/k busybox sh -c 'echo data >/k/file'")
        .ok();
    store.rmachine(&["stop", "aws-test"]).ok();
    assert_eq!(store.rmachine(&["status", "aws-test"]).ok(), "Stopped");
    let refused = store.rmachine(&["env", "aws-test"]).fails(5);
    assert!(refused.contains("rmachine start aws-test"), "{refused}");
    store.rmachine(&["stop", "aws-test"]).ok();
    store.rmachine(&["start", "aws-test"]).ok();
    let after = store.rmachine(&["ip", "aws-test"]).ok();
    assert_ne!(before, after, "the lab gives another address, as EC2 does");
    // No step in between: `env` and `docker` work at once.
    assert_eq!(store.sh("aws-test", "docker run --rm -v kept:/k busybox cat /k/file").ok(), "data");
    store.rmachine(&["start", "aws-test"]).ok();
    store.rmachine(&["restart", "aws-test"]).ok();
    assert_eq!(store.rmachine(&["ip", "aws-test"]).ok(), after, "a reboot keeps the address");
    store.sh("aws-test", "docker ps").ok();
    store.rmachine(&["kill", "aws-test"]).ok();
    store.rmachine(&["start", "aws-test"]).ok();
    store.sh("aws-test", "docker ps").ok();
}

fn certificates(store: &Store) {
    let sh = |line: &str| store.sh("aws-test", line).ok();
    let serial = || {
        let pem = store.root().join("machines/aws-test/server.pem");
        run(store.command("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(pem)).ok()
    };
    sh("docker run -d --name steady busybox sleep 3600");
    let started = sh("docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' steady");
    let first = serial();
    store.rmachine(&["regenerate-certs", "aws-test"]).ok();
    assert_eq!(serial(), first, "a good certificate stays");
    store.rmachine(&["regenerate-certs", "-f", "aws-test"]).ok();
    assert_ne!(serial(), first);
    assert_eq!(
        sh("docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' steady"),
        started,
        "the container kept running"
    );
    assert_eq!(sh("docker inspect -f '{{.State.Running}}' steady"), "true");
    store.rmachine(&["regenerate-certs", "-f", "--client-certs", "aws-test"]).ok();
    sh("docker rm -f steady");
    store.rmachine(&["provision", "aws-test"]).ok();
    sh("docker swarm init --advertise-addr eth0 && docker swarm leave --force");
}

fn login(store: &Store) {
    assert_eq!(store.rmachine(&["ssh", "aws-test", "id -un"]).ok(), "admin");
    assert_eq!(store.rmachine(&["ssh", "aws-test", "--", "sh", "-c", "'exit 42'"]).code, 42);
    let line = format!(
        "head -c 3000000 {} | tee >(sha256sum >&2) | rmachine ssh aws-test sha256sum",
        lab_variable("RMACHINE_LAB_BUSYBOX")
    );
    let sums = run(store.command("bash").args(["-c", &line]));
    assert_eq!(sums.stdout, sums.stderr, "bytes pass unchanged");
}
