//! `generic`: hosts that run already, on every image of the lab.

use std::os::unix::fs::PermissionsExt;

use crate::{
    hosts::{Host, Key, serve},
    short,
    support::{Store, lab_variable},
};

/// What every such machine ends with: reboot over SSH, login, `rm` that leaves the host as it is.
#[track_caller]
fn restart_and_remove(store: &Store, host: &Host, name: &str, user: &str) {
    let boot = || host.exec("cat /proc/sys/kernel/random/boot_id");
    let before = boot();
    store.rmachine(&["restart", name]).ok();
    assert_ne!(boot(), before, "the host booted anew");
    store.sh(name, "docker ps").ok();
    assert_eq!(store.rmachine(&["ssh", name, "id -un"]).ok(), user);
    assert!(store.rmachine(&["stop", name]).fails(6).contains("cannot stop a host"));
    let engine = host.engine_start();
    store.rmachine(&["rm", "-y", name]).ok();
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "");
    assert_eq!(host.engine_start(), engine, "the host stays as it is");
}

/// `auto` prefers Docker's repository here, which nobody answers at.
#[test]
fn debian_12_without_an_engine() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian12", "debian", &key, true);
    let fingerprint = host.fingerprint();
    let arguments = ["--generic-ssh-host-key", &fingerprint, "--generic-ssh-user", "debian", "--generic-ssh-key"];
    let created = host.create_bare(&store, &[&arguments[..], &[key.path.to_str().unwrap()]].concat(), "twelve");
    let talk = created.stderr.clone();
    created.ok();
    assert!(talk.contains("Warning: (twelve) Docker's repository"), "the fallback is said: {talk}");
    assert!(talk.contains("speaks API 1.41, which current docker clients refuse"), "{talk}");
    short::walk(&store, "twelve");

    // Nothing differs, so nothing is done; the engine and its containers run on.
    let before = host.engine_start();
    store.rmachine(&["provision", "twelve"]).ok();
    assert_eq!(host.engine_start(), before, "provision restarts nothing");
    restart_and_remove(&store, &host, "twelve", "debian");
}

#[test]
fn debian_13_with_all_options_of_the_engine() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ecdsa");
    let host = Host::boot("debian13", "debian", &key, true);
    let proxy = r#"http://user:p%40 $w"o'r\d@proxy.invalid:3128"#;
    let variable = format!("HTTP_PROXY={proxy}");
    let arguments = [
        "--engine-source=distro",
        "--engine-label=tier=e2e",
        "--engine-opt=log-opt=max-size=11m",
        "--engine-opt=dns=192.0.2.53",
        "--engine-env",
        &variable,
        "--engine-insecure-registry=registry.invalid:5000",
        "--engine-registry-mirror=http://mirror.invalid/",
        "--engine-storage-driver=overlay2",
        "--tls-san=e2e.invalid",
    ];
    host.create(&store, "debian", &key, &arguments, "thirteen").ok();
    let info = |format: &str| store.sh("thirteen", &format!("docker info --format '{{{{{format}}}}}'")).ok();
    let labels = info("json .Labels");
    assert!(labels.contains("tier=e2e") && labels.contains("provider=generic"), "{labels}");
    assert_eq!(info(".Driver"), "overlay2");
    assert_eq!(info("json .RegistryConfig.Mirrors"), r#"["http://mirror.invalid/"]"#);
    assert_eq!(info(r#"(index .RegistryConfig.IndexConfigs "registry.invalid:5000").Secure"#), "false");
    let environment = host.exec("tr '\\0' '\\n' </proc/$(pidof dockerd)/environ | grep ^HTTP_PROXY=");
    assert_eq!(environment, variable, "every character arrives");
    short::walk(&store, "thirteen");
    let line = "docker run -d --name seen busybox sleep 60 >/dev/null; \
        docker inspect -f '{{index .HostConfig.LogConfig.Config \"max-size\"}}' seen; \
        docker exec seen cat /etc/resolv.conf; docker rm -f seen";
    let seen = store.sh("thirteen", line).ok();
    assert!(seen.starts_with("11m\n") && seen.contains("nameserver 192.0.2.53"), "{seen}");
    let pem = store.root().join("machines/thirteen/server.pem");
    let names = crate::support::run(
        store.command("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(pem),
    )
    .ok();
    assert!(names.contains("DNS:e2e.invalid") && names.contains(&format!("IP Address:{}", host.address)), "{names}");
    let secret = |path: &str| host.exec(&format!("stat -c %a {path}"));
    assert_eq!(secret("/etc/docker/server-key.pem"), "600");
    assert_eq!(secret("/etc/systemd/system/docker.service.d/20-rmachine.conf"), "600");
    let config = std::fs::read_to_string(store.root().join("machines/thirteen/config.json")).unwrap();
    assert!(!config.contains("$w"), "the proxy's password is not in config.json");
    restart_and_remove(&store, &host, "thirteen", "debian");
}

/// An engine that was there before, with settings, data and a running container of its own.
#[test]
fn debian_12_with_an_engine_of_its_own() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t rsa -m PEM");
    assert!(std::fs::read_to_string(&key.path).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let host = Host::boot("debian12-docker", "debian", &key, true);
    let url = serve(&[("busybox.tar", std::fs::read(lab_variable("RMACHINE_LAB_BUSYBOX")).unwrap())]);
    host.exec(&format!(
        r#"set -e
        until [ "$(systemctl is-active docker)" = active ]; do sleep 0.2; done
        mkdir -p /etc/docker
        echo '{{"data-root": "/var/lib/docker/own", "labels": ["rack=7"], "log-opts": {{"max-file": "3"}}}}' >/etc/docker/daemon.json
        systemctl restart docker
        curl -fsS {url}/busybox.tar | docker import - busybox
        docker run -d --name old -v old:/old busybox sh -c 'echo kept >/old/file; exec sleep 3600'"#
    ));
    let before = host.exec("docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' old");
    host.create(&store, "debian", &key, &["--engine-label", "tier=e2e"], "old-engine").ok();
    let sh = |line: &str| store.sh("old-engine", line).ok();
    assert_eq!(sh("docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' old"), before, "its container ran on");
    assert_eq!(sh("docker exec old cat /old/file"), "kept");
    assert_eq!(sh("docker info --format '{{.DockerRootDir}}'"), "/var/lib/docker/own");
    let labels = sh("docker info --format '{{json .Labels}}'");
    assert!(labels.contains("rack=7") && labels.contains("tier=e2e"), "{labels}");
    assert!(host.exec("cat /etc/docker/daemon.json").contains("max-file"));
    short::walk(&store, "old-engine");
    assert_eq!(sh("docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' old"), before, "still");
    let engine = host.engine_start();
    store.rmachine(&["provision", "old-engine"]).ok();
    assert_eq!(host.engine_start(), engine, "provision restarts nothing");
    restart_and_remove(&store, &host, "old-engine", "debian");
    assert!(host.exec("docker volume ls -q").contains("old"));
}

/// As root, with the user's default key and known_hosts and no flag for either.
#[test]
fn debian_13_by_known_hosts_and_the_default_key() {
    let store = Store::new();
    let key = Key::make(&store, ".ssh/id_ed25519", "-t ed25519");
    let host = Host::boot("debian13-docker", "root", &key, true);
    let unknown = host.create_bare(&store, &["--engine-source", "existing"], "root").fails(7);
    assert!(unknown.contains(&host.fingerprint()), "the key is shown: {unknown}");
    assert!(unknown.contains("Hint: then give it with --generic-ssh-host-key"), "{unknown}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "");

    let known = store.file(".ssh/known_hosts", &format!("{} {}\n", host.address, host.key_line()));
    std::fs::set_permissions(known, std::fs::Permissions::from_mode(0o600)).unwrap();
    host.create_bare(&store, &["--engine-source", "existing"], "root").ok();
    short::walk(&store, "root");
    restart_and_remove(&store, &host, "root", "root");
}

#[test]
fn every_engine_source() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13", "debian", &key, true);
    let create = |arguments: &[&str], name: &str| host.create(&store, "debian", &key, arguments, name);

    let absent = create(&["--engine-source", "existing"], "source").fails(1);
    assert!(absent.contains("there is no engine on this host, as --engine-source existing asks for"), "{absent}");
    let docker = create(&["--engine-source", "docker"], "source").fails(1);
    assert!(docker.contains("Docker's repository http://127.0.0.1:9 cannot be reached"), "{docker}");
    assert!(docker.contains("Hint: choose another --engine-source"), "{docker}");
    assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "");

    create(&["--engine-source", "none"], "source").ok();
    assert_eq!(store.rmachine(&["ssh", "source", "echo in"]).ok(), "in");
    assert_eq!(host.exec("ls /usr/sbin/dockerd /usr/bin/dockerd 2>/dev/null || :"), "", "no engine was installed");
    store.rmachine(&["rm", "-y", "source"]).ok();

    let url = serve(&[
        ("fails.sh", b"echo the mirror is down; exit 3\n".to_vec()),
        (
            "install.sh",
            b"set -e\napt-get install -q -y --no-install-recommends docker.io\ntouch /run/by-script\n".to_vec(),
        ),
    ]);
    let failed = create(&["--engine-install-url", &format!("{url}/fails.sh")], "source").fails(1);
    assert!(failed.contains("the install script failed") && failed.contains("the mirror is down"), "{failed}");
    let missing = create(&["--engine-install-url", &format!("{url}/absent.sh")], "source").fails(1);
    assert!(missing.contains("the install script cannot be downloaded"), "{missing}");
    create(&["--engine-source", "url", "--engine-install-url", &format!("{url}/install.sh")], "source").ok();
    host.exec("test -e /run/by-script");
    store.sh("source", "docker version").ok();
}
