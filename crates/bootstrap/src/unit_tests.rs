use super::*;

fn facts() -> HostFacts {
    HostFacts {
        os_id: "debian".into(),
        known_os: true,
        systemd: true,
        os_version: "13".into(),
        os_pretty: "Debian".into(),
        arch: "amd64".into(),
        hostname: "h".into(),
        boot_id: "b".into(),
        addresses: vec![],
        login_user: "debian".into(),
        ipv6: true,
        swarm: false,
        dockerd: None,
        daemon_json: String::new(),
        clock_skew: 0,
    }
}

fn unit(exec: &str, environment: &str) -> UnitFacts {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = format!(
        "load_state=loaded\nexec_start={}\nsocket=yes\nactive=inactive\nenvironment={}\nend=yes\n",
        STANDARD.encode(exec),
        STANDARD.encode(environment)
    );
    UnitFacts::read(&Answer::parse(text.as_bytes())).unwrap()
}

fn at_port(env: &[&str]) -> EngineSpec {
    EngineSpec { port: 2376, env: env.iter().map(|text| (*text).to_owned()).collect(), ..EngineSpec::default() }
}

const DEBIAN: &str = "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS ; ignore_errors=no ; start_time=[n/a] ; pid=0 }";

#[test]
fn debians_command_is_kept() {
    let drop_in = unit(DEBIAN, "# DOCKER_OPTS=\"--dns 8.8.8.8\"\n").drop_in(&facts(), &at_port(&[]), &BTreeSet::new());
    insta::assert_snapshot!(drop_in, @"
    # Made by rmachine.
    [Service]
    ExecStart=
    ExecStart=/usr/sbin/dockerd -H fd:// -H tcp://[::]:2376 --tlscacert=/etc/docker/ca.pem --tlscert=/etc/docker/server.pem --tlskey=/etc/docker/server-key.pem --tlsverify --containerd=/run/containerd/containerd.sock $DOCKER_OPTS
    ");
}

#[test]
fn a_second_time_changes_nothing() {
    let first = unit(DEBIAN, "").drop_in(&facts(), &at_port(&[]), &BTreeSet::new());
    let command = first.lines().last().unwrap().strip_prefix("ExecStart=").unwrap();
    let exec = format!("{{ path=x ; argv[]={command} ; ignore_errors=no }}");
    assert_eq!(unit(&exec, "").drop_in(&facts(), &at_port(&[]), &BTreeSet::new()), first);
}

#[test]
fn options_that_daemon_json_sets_too_are_dropped() {
    let settled: BTreeSet<String> = ["dns".to_owned(), "s".to_owned()].into();
    let exec = DEBIAN.replace("$DOCKER_OPTS", "-s vfs $DOCKER_OPTS $UNKNOWN");
    let drop_in = unit(&exec, "DOCKER_OPTS=\"--dns 8.8.8.8 --mtu=1400 -H tcp://0.0.0.0:2375\"\n").drop_in(
        &facts(),
        &at_port(&["A=b \"c\" 100%"]),
        &settled,
    );
    assert!(drop_in.contains("--containerd=/run/containerd/containerd.sock --mtu=1400 $UNKNOWN"), "{drop_in}");
    assert!(!drop_in.contains("2375") && !drop_in.contains("vfs") && !drop_in.contains("8.8.8.8"), "{drop_in}");
    assert!(drop_in.contains(r#"Environment="A=b \"c\" 100%%""#), "{drop_in}");
}

#[test]
fn behind_a_tunnel_it_listens_on_the_loopback_only() {
    let spec = EngineSpec { on_loopback: true, ..at_port(&[]) };
    let drop_in = unit(DEBIAN, "").drop_in(&facts(), &spec, &BTreeSet::new());
    assert!(drop_in.contains("-H tcp://127.0.0.1:2376 ") && !drop_in.contains("[::]"), "{drop_in}");
}
