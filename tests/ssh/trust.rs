//! Host keys: nothing is trusted that is not known, and nothing is sent before.

use rmachine_ssh::{self as ssh, Error, HostKeys, Session, Target};

use super::{
    login::target,
    sshd::{GUARD, Sshd, keygen, public},
};

fn trusting(sshd: &Sshd, host_keys: HostKeys) -> Target {
    Target { host_keys, ..target(sshd) }
}

/// Whether anybody got as far as to name a user.
fn was_asked_to_log_in(sshd: &Sshd) -> bool {
    sshd.log().contains("userauth-request")
}

#[tokio::test]
async fn only_the_pinned_key_is_negotiated_whatever_its_type() {
    let sshd = Sshd::start_with(&["ed25519", "ecdsa", "rsa"]);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let pinned = trusting(&sshd, HostKeys::Pinned(vec![sshd.host_key(kind)]));
        let session = Session::connect(&pinned, GUARD).await.unwrap_or_else(|e| panic!("{kind}: {e:?}"));
        assert!(ssh::same_key(session.host_key(), &sshd.host_key(kind)), "{kind}: {}", session.host_key());
    }
}

#[tokio::test]
async fn two_pins_are_alternatives() {
    let sshd = Sshd::start();
    let other = keygen(&sshd.path(""), "other", &["-t", "ed25519"]);
    let pinned = HostKeys::Pinned(vec![public(&other), sshd.host_key("ed25519")]);
    Session::connect(&trusting(&sshd, pinned), GUARD).await.unwrap();
}

#[tokio::test]
async fn another_key_is_refused_before_anything_is_sent() {
    let sshd = Sshd::start();
    let other = keygen(&sshd.path(""), "other", &["-t", "ed25519"]);
    let pinned = HostKeys::Pinned(vec![public(&other)]);
    let refused = Session::connect(&trusting(&sshd, pinned), GUARD).await.unwrap_err();
    let Error::HostKey { shown, expected, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(*shown, ssh::fingerprint(&sshd.host_key("ed25519")).unwrap());
    assert_eq!(*expected, ssh::fingerprint(&public(&other)).unwrap());
    assert!(!was_asked_to_log_in(&sshd), "{}", sshd.log());
    Session::connect(&target(&sshd), GUARD).await.unwrap();
    assert!(was_asked_to_log_in(&sshd), "this is how the log shows it");
}

#[tokio::test]
async fn a_host_without_a_key_of_a_pinned_type_is_refused() {
    let sshd = Sshd::start_with(&["rsa"]);
    let pin = keygen(&sshd.path(""), "pin", &["-t", "ed25519"]);
    let refused = Session::connect(&trusting(&sshd, HostKeys::Pinned(vec![public(&pin)])), GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::HostKey { shown, .. } if shown == "no key of a known type"), "{refused:?}");
    assert!(!was_asked_to_log_in(&sshd));
}

#[tokio::test]
async fn a_fingerprint_fits_whichever_of_the_hosts_keys_it_is_of() {
    let sshd = Sshd::start_with(&["ed25519", "ecdsa", "rsa"]);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let fingerprint = ssh::fingerprint(&sshd.host_key(kind)).unwrap();
        let session = Session::connect(&trusting(&sshd, HostKeys::Fingerprint(fingerprint)), GUARD).await;
        let session = session.unwrap_or_else(|e| panic!("{kind}: {e:?}"));
        assert!(ssh::same_key(session.host_key(), &sshd.host_key(kind)), "{kind}");
    }
    let other = ssh::fingerprint(&public(&keygen(&sshd.path(""), "other", &["-t", "ed25519"]))).unwrap();
    let refused = Session::connect(&trusting(&sshd, HostKeys::Fingerprint(other)), GUARD).await.unwrap_err();
    assert!(matches!(refused, Error::HostKey { .. }), "{refused:?}");
}

#[tokio::test]
async fn known_hosts_files_decide_as_they_do_for_ssh() {
    let sshd = Sshd::start();
    let key = sshd.host_key("ed25519");
    let host = format!("[127.0.0.1]:{}", sshd.port);
    let file = sshd.path("known_hosts");
    let known = || trusting(&sshd, HostKeys::KnownHosts(vec![sshd.path("missing"), file.clone()]));

    let unknown = Session::connect(&known(), GUARD).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownHost { .. }), "{unknown:?}");

    let other = public(&keygen(&sshd.path(""), "other", &["-t", "ed25519"]));
    std::fs::write(&file, format!("# a comment\nelsewhere {other}\n[127.0.0.1]:1 {other}\n")).unwrap();
    let unknown = Session::connect(&known(), GUARD).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownHost { .. }), "{unknown:?}");

    std::fs::write(&file, format!("elsewhere,{host} {key} a comment\n")).unwrap();
    Session::connect(&known(), GUARD).await.expect("a plain entry");
    assert!(ssh::known_hosts_knows(std::slice::from_ref(&file), "127.0.0.1", sshd.port).unwrap());

    // Hashed, as Debian's ssh writes them.
    std::fs::write(&file, format!("{host} {key}\n")).unwrap();
    let hashed = std::process::Command::new("ssh-keygen").args(["-H", "-f"]).arg(&file).output().unwrap();
    assert!(hashed.status.success());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    Session::connect(&known(), GUARD).await.expect("a hashed entry");

    std::fs::write(&file, format!("{host} {other}\n")).unwrap();
    let changed = Session::connect(&known(), GUARD).await.unwrap_err();
    assert!(matches!(changed, Error::HostKey { .. }), "{changed:?}");

    std::fs::write(&file, format!("{host} {key}\n@revoked * {key}\n")).unwrap();
    Session::connect(&known(), GUARD).await.expect_err("a revoked key is no key");
}

#[tokio::test]
async fn a_scan_learns_the_key_and_sends_nothing() {
    let sshd = Sshd::start();
    let shown = ssh::scan_host_key("127.0.0.1", sshd.port, &ssh::Route::Direct, GUARD).await.unwrap();
    assert!(ssh::same_key(&shown, &sshd.host_key("ed25519")));
    assert!(!was_asked_to_log_in(&sshd));
}

/// What OpenSSH's server offers by default has a type in common with what we ask for, for every key it may have.
#[tokio::test]
async fn openssh_offers_what_we_ask_for() {
    let sshd = Sshd::prepare(&["ed25519", "ecdsa", "rsa"]);
    let output = std::process::Command::new("/usr/sbin/sshd").args(["-T", "-f"]).arg(sshd.path("sshd_config")).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("hostkeyalgorithms ")).expect("sshd -T lists them");
    let offered: Vec<&str> = line.split(',').collect();
    for wanted in ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"] {
        assert!(offered.contains(&wanted), "{wanted} is not in {line}");
    }
    assert!(!offered.contains(&"ssh-rsa"), "current servers do not, which is where docker-machine fails: {line}");
}
