//! Login keys of every kind, and refused logins.

use std::path::PathBuf;

use rmachine_ssh::{Error, HostKeys, Session, Target};

use super::sshd::{GUARD, Sshd, keygen, user};

pub fn target(sshd: &Sshd) -> Target {
    Target {
        host: "127.0.0.1".to_owned(),
        port: sshd.port,
        user: user(),
        keys: vec![sshd.path("login")],
        keyring: Default::default(),
        offer_agent: false,
        host_keys: HostKeys::Pinned(vec![sshd.first_host_key()]),
        route: Default::default(),
        budgets: Default::default(),
    }
}

pub async fn connect(sshd: &Sshd) -> Session {
    Session::connect(&target(sshd), GUARD).await.unwrap_or_else(|e| panic!("{e:?}\n{}", sshd.log()))
}

fn with_keys(sshd: &Sshd, keys: Vec<PathBuf>) -> Target {
    Target { keys, ..target(sshd) }
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let sshd = Sshd::start();
    let home = sshd.path("");
    let kinds: [(&str, &[&str], &str); 9] = [
        ("ed25519", &["-t", "ed25519"], "BEGIN OPENSSH"),
        ("ecdsa-256", &["-t", "ecdsa", "-b", "256"], "BEGIN OPENSSH"),
        ("ecdsa-384", &["-t", "ecdsa", "-b", "384"], "BEGIN OPENSSH"),
        ("ecdsa-521", &["-t", "ecdsa", "-b", "521"], "BEGIN OPENSSH"),
        ("ecdsa-sec1", &["-t", "ecdsa", "-m", "PEM"], "BEGIN EC PRIVATE"),
        ("ecdsa-pkcs8", &["-t", "ecdsa", "-m", "PKCS8"], "BEGIN PRIVATE"),
        ("rsa", &["-t", "rsa", "-b", "2048"], "BEGIN OPENSSH"),
        ("rsa-pkcs1", &["-t", "rsa", "-b", "2048", "-m", "PEM"], "BEGIN RSA PRIVATE"),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "BEGIN PRIVATE"),
    ];
    for (name, arguments, head) in kinds {
        let key = keygen(&home, name, arguments);
        assert!(std::fs::read_to_string(&key).unwrap().contains(head), "{name} is in the form that it is meant to be");
        sshd.authorize(&key);
        let session = Session::connect(&with_keys(&sshd, vec![key]), GUARD).await;
        let session = session.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(session.run("true", b"").await.unwrap().exit.is_success(), "{name}");
        session.close().await;
    }
}

#[tokio::test]
async fn keys_are_tried_in_order_and_a_refusal_names_them() {
    let sshd = Sshd::start();
    let stranger = keygen(&sshd.path(""), "stranger", &["-t", "ed25519"]);
    let both = vec![stranger.clone(), sshd.path("login")];
    Session::connect(&with_keys(&sshd, both), GUARD).await.expect("the second key is good");
    let refused = Session::connect(&with_keys(&sshd, vec![stranger.clone()]), GUARD).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("127.0.0.1 refuses the login of \"{}\" with the key {}", user(), stranger.display())
    );
    let refused = Session::connect(&with_keys(&sshd, Vec::new()), GUARD).await.unwrap_err();
    assert!(refused.to_string().ends_with("with no key at all"), "{refused}");
}

#[tokio::test]
async fn a_wrong_user_is_refused() {
    let sshd = Sshd::start();
    let wrong = Target { user: "nobody-of-that-name".to_owned(), ..target(&sshd) };
    let refused = Session::connect(&wrong, GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::AuthRefused { user, .. } if user == "nobody-of-that-name"), "{refused:?}");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_says_why() {
    let sshd = Sshd::start();
    let locked = keygen(&sshd.path(""), "locked", &["-t", "ed25519"]);
    let status = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-f"])
        .arg(&locked)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let no_key = sshd.path("no-key");
    std::fs::write(&no_key, "hello\n").unwrap();
    // Another one that serves is tried all the same.
    let mut keys = vec![locked.clone(), no_key.clone()];
    keys.extend(target(&sshd).keys);
    Session::connect(&with_keys(&sshd, keys), GUARD).await.unwrap();
    for path in [no_key, sshd.path("missing")] {
        let refused = Session::connect(&with_keys(&sshd, vec![path.clone()]), GUARD).await.unwrap_err();
        let shown = rmachine_model::error::Error::from(refused).report();
        assert!(
            shown.starts_with(&format!("Error: the SSH key {} cannot be used\nCaused by: ", path.display())),
            "{shown}"
        );
        assert!(shown.contains("\nHint: it has to be a private key"), "{shown}");
    }
}
