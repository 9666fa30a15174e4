//! A shorter walk than `walk.rs`, for every image and driver.

use crate::support::Store;

const COMPOSE: &str = "\
services:
  counter:
    image: busybox
    command: sh -c 'echo x >>/data/starts; exec sleep 600'
    volumes: [ 'data:/data' ]
volumes:
  data:
";

/// Walks on machine `name`: engine, Compose, a network, swarm, certificates. Leaves it as it was.
#[track_caller]
pub fn walk(store: &Store, name: &str) {
    let sh = |line: &str| store.sh(name, line).ok();
    assert!(store.rmachine(&["env", name]).ok().contains("export DOCKER_TLS_VERIFY=\"1\""));
    assert!(!sh("docker version --format '{{.Server.Version}}'").is_empty());
    store.import_busybox(name);
    assert_eq!(sh("docker run --rm busybox echo spoken"), "spoken");
    sh("docker run -d --name steady --restart always busybox sh -c 'echo logged; exec sleep 3600'");
    assert_eq!(sh("docker exec steady cat /proc/1/comm"), "sleep");
    assert_eq!(sh("docker logs steady"), "logged");

    let file = store.file(&format!("{name}/compose.yaml"), COMPOSE);
    let compose = format!("docker compose -p short -f {}", file.display());
    sh(&format!("{compose} up -d && {compose} down && {compose} up -d"));
    assert_eq!(sh(&format!("{compose} exec -T counter cat /data/starts")), "x\nx", "the volume outlives the service");
    sh(&format!("{compose} down -v"));

    sh("docker network create own && docker run -d --name one --network own busybox sleep 600");
    assert!(sh("docker run --rm --network own busybox ping -c 1 one").contains("1 packets received"));
    sh("docker rm -f one && docker network rm own");

    sh("docker swarm init --advertise-addr eth0 >/dev/null");
    assert_eq!(sh("docker info --format '{{.Swarm.LocalNodeState}}'"), "active");
    sh("docker swarm leave --force");

    let state = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' steady";
    let before = sh(state);
    store.rmachine(&["regenerate-certs", "-f", name]).ok();
    assert_eq!(sh(state), before, "the container kept running");
    sh("docker rm -f steady");
}
