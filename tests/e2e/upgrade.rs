//! `upgrade` on real hosts, with packages of the lab's signed stand-in for Docker's repository.

use crate::{
    hosts::{Host, Key},
    support::{Store, lab_variable, run},
};

/// Puts an older engine on the host, without a word to rmachine: the same one, but that it says and is packed as `version`.
fn go_back(host: &Host, repository: &str, newest: &str, version: &str) {
    assert_eq!(newest.len(), version.len(), "a program is patched");
    host.exec(&format!(
        r#"set -e
        cd /tmp
        file=$(curl -fsS {repository}/linux/debian/dists/trixie/stable/binary-amd64/Packages | sed -n 's/^Filename: \(.*docker-ce_.*\)/\1/p')
        curl -fsS -o newest.deb "{repository}/linux/debian/$file"
        dpkg-deb -R newest.deb older
        sed -i 's/^Version: .*/Version: 5:{version}-1/' older/DEBIAN/control
        sed -i 's/{newest}/{version}/g' older/usr/bin/dockerd
        dpkg-deb -b -Znone older older.deb
        DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold ./older.deb
        systemctl restart docker"#
    ));
}

#[test]
fn an_older_engine_of_dockers_repository() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13", "debian", &key, true);
    let repository = lab_variable("RMACHINE_DOCKER_REPOSITORY");
    let rmachine = |arguments: &[&str]| {
        let mut command = store.command("rmachine");
        command.args(arguments).env("RMACHINE_DOCKER_REPOSITORY", &repository);
        run(command.env("RMACHINE_DOCKER_APT_FINGERPRINT", lab_variable("RMACHINE_DOCKER_APT_FINGERPRINT")))
    };
    let key_path = key.path.to_str().unwrap();
    let mut create =
        vec!["create", "-d", "generic", "--generic-ip-address", &host.address, "--engine-source", "docker"];
    create.extend([
        "--generic-ssh-host-key",
        host.key_line(),
        "--generic-ssh-user",
        "debian",
        "--generic-ssh-key",
        key_path,
    ]);
    create.extend(["--engine-label", "tier=e2e", "up"]);
    rmachine(&create).ok();
    let newest = store.sh("up", "docker version --format '{{.Server.Version}}'").ok();
    let started = host.engine_start();
    let done = rmachine(&["upgrade", "up"]);
    assert!(done.stderr.contains(&format!("the engine {newest} is the newest there is")), "{done:?}");
    done.ok();
    assert_eq!(host.engine_start(), started, "nothing newer, nothing done");
    // As after packages whose engine was not started anew, because whoever upgraded was killed.
    host.exec("file=$(command -v dockerd); cp -a $file $file.new && mv $file.new $file");
    let done = rmachine(&["upgrade", "up"]);
    assert!(done.stderr.contains("what an earlier upgrade had left to do is done"), "{done:?}");
    done.ok();
    assert_ne!(host.engine_start(), started, "the new program runs");

    let plain = newest.split('+').next().unwrap();
    let old = newest.replace(plain, &format!("1{}", &plain[1..]));
    go_back(&host, &repository, plain, old.split('+').next().unwrap());
    let version = "curl -fsS --unix-socket /run/docker.sock http://h/version";
    let shown = host.exec(version);
    assert!(shown.contains(&old), "the older one runs: {shown}");
    host.exec(&format!(
        "set -e; curl -fsS {}/busybox.tar | docker import - busybox >/dev/null
        docker run -d --name back --restart unless-stopped busybox sleep 3600
        docker run -d --name gone busybox sleep 3600",
        crate::hosts::serve(&[("busybox.tar", std::fs::read(lab_variable("RMACHINE_LAB_BUSYBOX")).unwrap())])
    ));
    let certificate = || host.exec("sha256sum /etc/docker/server.pem /etc/docker/server-key.pem");
    let before = certificate();

    let done = rmachine(&["upgrade", "up"]);
    let said = done.stderr.clone();
    done.ok();
    assert!(said.contains("docker-ce 5:1"), "the packages are named: {said}");
    let warned = said.find("the engine restarts (containers: 2 running, which end with it").expect("said before");
    assert!(warned < said.find(&format!("upgraded from {old} to {newest}")).expect("from and to"), "{said}");
    assert_eq!(store.sh("up", "docker version --format '{{.Server.Version}}'").ok(), newest, "over TLS");
    assert_eq!(certificate(), before, "the certificates stay");
    assert!(store.sh("up", "docker info --format '{{json .Labels}}'").ok().contains("tier=e2e"), "and the options");
    assert_eq!(store.sh("up", "docker ps --format '{{.Names}}'").ok(), "back", "containers are as the engine has it");
    assert_eq!(store.inspect("up")["Rmachine"]["Host"]["EngineVersion"], newest.as_str());

    // Its repository goes away.
    host.exec("sed -i 's|http://[^/ ]*|http://127.0.0.1:9|' /etc/apt/sources.list.d/docker.list");
    let failed = rmachine(&["upgrade", "up"]).fails(1);
    assert!(failed.contains("Error: the engine cannot be upgraded: apt-get update failed"), "{failed}");
    store.sh("up", "docker version").ok();
}

#[test]
fn the_distributions_engine_and_those_of_others() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    host.create(&store, "debian", &key, &["--engine-source", "existing"], "theirs").ok();
    let refused = store.rmachine(&["upgrade", "theirs"]).fails(1);
    assert!(
        refused.contains("is not rmachine's to upgrade") && refused.contains("Hint: upgrade it on its host"),
        "{refused}"
    );
    store.rmachine(&["rm", "-y", "theirs"]).ok();
    host.create(&store, "debian", &key, &["--engine-source", "none"], "bare").ok();
    let refused = store.rmachine(&["upgrade", "bare"]).fails(1);
    assert!(refused.contains("was made without an engine"), "{refused}");
    store.rmachine(&["rm", "-y", "bare"]).ok();

    host.create(&store, "debian", &key, &[], "distro").ok();
    let done = store.rmachine(&["upgrade", "distro"]);
    assert!(done.stderr.contains("is the newest there is"), "{done:?}");
    done.ok();
    host.exec("apt-mark hold docker.io");
    store.rmachine(&["upgrade", "distro"]).ok();
    host.exec("mv /usr/sbin/dockerd /usr/local/bin/dockerd");
    let refused = store.rmachine(&["upgrade", "distro"]).fails(1);
    assert!(refused.contains("/usr/local/bin/dockerd is of no package"), "{refused}");
}
