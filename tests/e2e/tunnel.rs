//! `--ssh-tunnel`: everything works, and nothing but SSH is open.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::Duration,
};

use crate::{
    ec2::held_for,
    hosts::{Host, Key},
    support::{PREBAKED, Store, eventually, run},
};

/// The TCP ports of `address` that take a connection from here.
fn open_ports(address: &str) -> Vec<u16> {
    let mut open = Vec::new();
    let ports: Vec<u16> = (1..=u16::MAX).collect();
    std::thread::scope(|scope| {
        let scans: Vec<_> = ports
            .chunks(1024)
            .map(|chunk| {
                scope.spawn(|| {
                    let takes = |port: &&u16| {
                        let to = SocketAddr::new(address.parse().unwrap(), **port);
                        TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok()
                    };
                    chunk.iter().filter(takes).copied().collect::<Vec<_>>()
                })
            })
            .collect();
        open.extend(scans.into_iter().flat_map(|scan| scan.join().unwrap()));
    });
    open
}

/// Twenty services.
fn compose() -> String {
    let services: String = (1..=20)
        .map(|n| format!("  s{n}:\n    image: app\n    command: sh -c 'echo up-{n}; exec sleep 600'\n"))
        .collect();
    format!("services:\n{services}")
}

#[test]
fn an_engine_that_only_ssh_leads_to() {
    let store = Store::new();
    let key = Key::make(&store, "login", "-t ed25519");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    host.create(&store, "debian", &key, &["--ssh-tunnel"], "quiet").ok();
    let url = store.rmachine(&["url", "quiet"]).ok();
    assert!(url.starts_with("tcp://127.0.0.1:"), "{url}");
    assert_eq!(store.rmachine(&["ip", "quiet"]).ok(), host.address, "published ports are the host's");
    assert_eq!(open_ports(&host.address), [22], "a scan from outside finds SSH only");
    assert!(host.exec("ss -Hltn 'sport = 2376'").contains("127.0.0.1:2376"));

    store.import_busybox("quiet");
    store.file("app/Dockerfile", "FROM busybox\nCOPY big /big\n");
    let big: String = (0..200_000).map(|n| format!("{n:019}\n")).collect();
    let context = store.file("app/big", &big).parent().unwrap().display().to_string();
    let sh = |line: &str| store.sh("quiet", line).ok();
    sh(&format!("docker build -q -t app {context}"));
    assert_eq!(sh("docker run --rm app wc -c /big"), format!("{} /big", big.len()), "four megabytes arrive whole");
    let file = store.file("compose.yaml", &compose());
    sh(&format!("docker compose -p many -f {} up -d", file.display()));
    assert_eq!(sh("docker ps -q --filter label=com.docker.compose.project=many | wc -l"), "20");

    // A log is followed while it is written, and input reaches a container and ends there.
    let script = "eval $(rmachine env quiet); exec docker logs -f slow";
    sh("docker run -d --name slow busybox sh -c 'for n in 1 2 3 4 5; do echo line-$n; sleep 1; done'");
    let mut logs = store.command("bash").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = BufReader::new(logs.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(logs.wait().unwrap().success());
    assert_eq!(lines, ["line-1", "line-2", "line-3", "line-4", "line-5"]);
    assert_eq!(sh("printf typed | docker run --rm -i busybox cat"), "typed");

    // A tunnel whose process was killed comes back at the same place; a restart of the host is followed.
    sh("docker compose -p many down -t 0");
    let process = run(std::process::Command::new("pgrep")
        .args(["-f", &format!("^{}.* tunnel --foreground quiet", crate::support::program().display())]))
    .ok();
    assert_eq!(process.lines().count(), 1, "one tunnel a machine: {process}");
    run(std::process::Command::new("kill").args(["-9", &process])).ok();
    assert_eq!(store.sh("quiet", "docker ps -q | wc -l").ok(), "0");
    assert_eq!(store.rmachine(&["url", "quiet"]).ok(), url);
    store.rmachine(&["restart", "quiet"]).ok();
    sh("docker version");
    assert!(store.rmachine(&["ls"]).ok().contains("v26"), "ls asks the engine through the tunnel");
    store.rmachine(&["regenerate-certs", "-f", "quiet"]).ok();
    sh("docker swarm init --advertise-addr eth0 && docker swarm leave --force");

    // Ended, it is not there, and the next `env` opens it again.
    store.rmachine(&["tunnel", "--stop", "quiet"]).ok();
    let at: SocketAddr = url.trim_start_matches("tcp://").parse().unwrap();
    assert!(TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err());
    assert!(store.rmachine(&["ls"]).ok().contains("v26"), "ls works without it");
    sh("docker version");
    store.rmachine(&["rm", "-y", "quiet"]).ok();
    eventually("the tunnel ends with the machine", Duration::from_secs(5), || {
        TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err()
    });
}

#[test]
fn a_group_that_admits_ssh_only() {
    let store = Store::new();
    store.create_ec2(PREBAKED, &["--ssh-tunnel"], "hidden").ok();
    let group = held_for("hidden").into_iter().find(|id| id.starts_with("sg-")).unwrap();
    let ports = || {
        let rules = format!(
            "[r.get('FromPort') for r in ec2.describe_security_groups(GroupIds=['{group}'])['SecurityGroups'][0]['IpPermissions']]"
        );
        crate::ec2::boto(&rules).to_string()
    };
    assert_eq!(ports(), "[22]");
    store.sh("hidden", "docker version").ok();
    store.rmachine(&["allow", "hidden", "192.0.2.0/24"]).ok();
    assert_eq!(ports(), "[22]", "allow opens no more than there was");
    store.rmachine(&["rm", "-y", "hidden"]).ok();
}
