//! Ways to a host that cannot be reached straight: jump hosts and proxy commands.

use std::time::Duration;

use rmachine_provider_api::Silent;
use rmachine_ssh::{self as ssh, Budget, Error, HostKeys, Route, Session, Target, WaitPolicy};

use super::{
    binary::Machine,
    login::target,
    sshd::{GUARD, Sshd, free_port, keygen, public, user},
    transcript::Said as _,
};

fn logins(sshd: &Sshd) -> usize {
    sshd.log().lines().filter(|line| line.contains("Accepted publickey")).count()
}

#[tokio::test]
async fn a_chain_of_jump_hosts_leads_to_the_host_with_one_login_each() {
    let (first, second, inner) = (Sshd::start(), Sshd::start(), Sshd::start());
    let second_hop = Target { route: Route::through(target(&first)), ..target(&second) };
    let through = Target { route: Route::through(second_hop), ..target(&inner) };
    let one = Session::connect(&through, GUARD).await.unwrap();
    let two = Session::connect(&through, GUARD).await.unwrap();
    for session in [&one, &two] {
        assert_eq!(session.run("echo $SSH_CLIENT", b"").await.unwrap().stdout.first(), Some(&b'1'));
    }
    assert_eq!((logins(&first), logins(&second), logins(&inner)), (1, 1, 2));
    // A session outlives what it was dialled with.
    drop(through);
    assert!(one.run("true", b"").await.unwrap().exit.is_success());
    let big = vec![7_u8; 3_000_000];
    let budget = Budget { bytes: 2 * big.len(), ..two.budgets().look };
    assert!(two.run_within(budget, "cat", &big).await.unwrap().stdout == big);
}

#[tokio::test]
async fn a_jump_host_is_checked_as_any_other_and_nothing_is_sent_to_a_false_one() {
    let (gate, inner) = (Sshd::start(), Sshd::start());
    let other = keygen(&gate.path(""), "other", &["-t", "ed25519"]);
    let false_gate = Target { host_keys: HostKeys::Pinned(vec![public(&other)]), ..target(&gate) };
    let through = Target { route: Route::through(false_gate), ..target(&inner) };
    let refused = Session::connect(&through, GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::Jump { source, .. } if matches!(**source, Error::HostKey { .. })), "{refused:?}");
    assert!(!gate.log().contains("userauth-request"));
    let shown = rmachine_model::error::Error::from(refused).report();
    assert!(
        shown.starts_with("Error: the jump host 127.0.0.1 does not let us through\nCaused by: the host key"),
        "{shown}"
    );

    // Behind a good one the host's own key is checked all the same.
    let through = Target {
        host_keys: HostKeys::Pinned(vec![public(&other)]),
        route: Route::through(target(&gate)),
        ..target(&inner)
    };
    let refused = Session::connect(&through, GUARD).await.unwrap_err();
    assert!(matches!(refused, Error::HostKey { .. }), "{refused:?}");
    assert!(!inner.log().contains("userauth-request"));
}

#[tokio::test]
async fn a_host_that_boots_is_waited_for_through_one_login_at_the_gate() {
    let (gate, mut inner) = (Sshd::start(), Sshd::prepare(&["ed25519"]));
    let through = Target { route: Route::through(target(&gate)), ..target(&inner) };
    let up = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        inner.run();
    };
    let policy = WaitPolicy::new(GUARD, false);
    let (session, ()) = tokio::join!(Session::wait(&through, &policy, &Silent), up);
    assert!(session.unwrap().run("true", b"").await.unwrap().exit.is_success());
    assert_eq!(logins(&gate), 1);
}

#[tokio::test]
async fn a_gate_that_is_not_there_is_named_and_not_waited_for() {
    let inner = Sshd::start();
    let gone = Target { port: free_port(), ..target(&inner) };
    let through = Target { route: Route::through(gone), ..target(&inner) };
    let ended = tokio::time::timeout(GUARD, Session::wait(&through, &WaitPolicy::new(GUARD * 9, false), &Silent)).await;
    let refused = ended.expect("it is not waited for").unwrap_err();
    assert!(
        matches!(&refused, Error::Jump { source, .. } if matches!(**source, Error::Unreachable { .. })),
        "{refused:?}"
    );
}

fn by_command(sshd: &Sshd, command: String) -> Target {
    Target { route: Route::Command(command), ..target(sshd) }
}

#[tokio::test]
async fn a_proxy_command_carries_the_connection_and_its_last_words_explain() {
    let sshd = Sshd::start();
    let ncat = "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3";
    let session = Session::connect(&by_command(&sshd, format!("bash -c '{ncat}'")), GUARD).await.unwrap();
    let big = vec![7_u8; 1_000_000];
    let budget = Budget { bytes: 2 * big.len(), ..session.budgets().look };
    assert!(session.run_within(budget, "cat", &big).await.unwrap().stdout == big);

    let failing = by_command(&sshd, "sh -c 'echo gate closed for %r >&2; exit 3'".to_owned());
    let refused = Session::connect(&failing, GUARD).await.unwrap_err();
    let shown = rmachine_model::error::Error::from(refused).report();
    assert!(shown.starts_with("Error: the proxy command failed: sh -c "), "{shown}");
    assert!(shown.contains(&format!("\nCaused by: gate closed for {}\n", user())), "{shown}");

    // One that cannot be run is not tried again and again.
    let missing = by_command(&sshd, "/no/such/program %h".to_owned());
    let ended = tokio::time::timeout(GUARD, Session::wait(&missing, &WaitPolicy::new(GUARD * 9, false), &Silent)).await;
    let refused = ended.expect("it is not waited for").unwrap_err();
    assert!(matches!(refused, Error::Proxy { source: Some(_), .. }), "{refused:?}");

    // The host's key is checked behind it.
    let other = keygen(&sshd.path(""), "other", &["-t", "ed25519"]);
    let wrong =
        Target { host_keys: HostKeys::Pinned(vec![public(&other)]), ..by_command(&sshd, format!("bash -c '{ncat}'")) };
    let refused = Session::connect(&wrong, GUARD).await.unwrap_err();
    assert!(matches!(refused, Error::HostKey { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_proxy_command_ends_with_its_connection() {
    let sshd = Sshd::start();
    let mark = sshd.path("ended");
    let command = format!("bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; touch {}'", mark.display());
    let session = Session::connect(&by_command(&sshd, command), GUARD).await.unwrap();
    session.close().await;
    let waited = async {
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(GUARD, waited).await.expect("its input was closed");
}

#[tokio::test]
async fn a_key_is_learnt_through_the_gate() {
    let (gate, inner) = (Sshd::start(), Sshd::start());
    let route = Route::through(target(&gate));
    let shown = ssh::scan_host_key("127.0.0.1", inner.port, &route, GUARD).await.unwrap();
    assert!(ssh::same_key(&shown, &inner.first_host_key()));
}

/// A machine behind a gate: created, logged in to, and in the words of the stock ssh.
#[test]
fn the_program_goes_through_the_gate_and_tells_ssh_how() {
    let (gate, machine) = (Sshd::start(), Machine::bare());
    let ssh_directory = machine.home().join(".ssh");
    std::fs::create_dir(&ssh_directory).unwrap();
    std::fs::copy(gate.path("login"), ssh_directory.join("id_ed25519")).unwrap();
    let (hop, trust) = (format!("{}@127.0.0.1:{}", user(), gate.port), machine.sshd.first_host_key());
    let flags = ["--generic-ssh-host-key", &trust, "--ssh-proxy-jump", &hop];

    let refused = machine.create(&flags).said();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the jump host 127.0.0.1 does not let us through"), "{said}");
    assert!(said.contains("known_hosts"), "{said}");

    let known = format!("[127.0.0.1]:{} {}\n", gate.port, gate.first_host_key());
    std::fs::write(ssh_directory.join("known_hosts"), known).unwrap();
    let made = machine.create(&flags).said();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = machine.command(&["ssh", "m", "echo in"]).said();
    assert_eq!(output.stdout, b"in\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(logins(&gate), 2);

    let config = machine.command(&["ssh-config", "m"]).said();
    let config = String::from_utf8(config.stdout).unwrap();
    assert!(config.contains(&format!("\n  ProxyJump {hop}\n")), "{config}");

    // The gate moves: the machine keeps, the way changes.
    let output = machine
        .command(&["provision", "--ssh-proxy-command", "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3'", "m"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(logins(&gate), 2);
    let config = String::from_utf8(machine.command(&["ssh-config", "m"]).said().stdout).unwrap();
    assert!(config.contains("\n  ProxyCommand bash -c ") && !config.contains("ProxyJump"), "{config}");
    let output = machine.command(&["provision", "--ssh-direct", "m"]).said();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = String::from_utf8(machine.command(&["ssh-config", "m"]).said().stdout).unwrap();
    assert!(!config.contains("Proxy"), "{config}");
    let output = machine.command(&["provision", "--ssh-proxy-jump", "gate,-oProxyCommand=x", "m"]).said();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no jump host"), "{output:?}");
}
