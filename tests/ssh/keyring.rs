//! Keys that do not lie open: in an agent, or under a passphrase.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rmachine_ssh::{self as ssh, Error, Keyring, Session, Target};
use zeroize::Zeroizing;

use super::{
    binary::Machine,
    login::target,
    sshd::{GUARD, Sshd, keygen},
    transcript::Said as _,
};

/// An ssh-agent of its own; ended when dropped.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    pub fn start(sshd: &Sshd) -> Self {
        let socket = sshd.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + GUARD;
        while !socket.exists() {
            assert!(Instant::now() < deadline, "ssh-agent does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, socket }
    }

    /// Gives it a key that has no passphrase.
    pub fn add(&self, key: &Path) {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status();
        assert!(added.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the key under a passphrase; `form` is one of ssh-keygen's (-m).
fn lock(key: &Path, form: &str) {
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-m", form, "-f"])
        .arg(key)
        .stdout(Stdio::null())
        .status();
    assert!(locked.unwrap().success());
}

/// Somebody who answers `word` and counts how often he was asked.
fn answering(word: Option<&'static str>, agent: Option<&Agent>) -> (Arc<Keyring>, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let ask = move |_: &Path| {
        count.fetch_add(1, Ordering::SeqCst);
        word.map(|word| Zeroizing::new(word.to_owned()))
    };
    (Arc::new(Keyring::new(agent.map(|agent| agent.socket.clone()), Some(Arc::new(ask)))), asked)
}

fn with(sshd: &Sshd, keys: &[&PathBuf], keyring: &Arc<Keyring>) -> Target {
    Target { keys: keys.iter().map(|key| (*key).clone()).collect(), keyring: keyring.clone(), ..target(sshd) }
}

#[tokio::test]
async fn locked_keys_of_every_form_open_by_their_passphrase_asked_once() {
    let sshd = Sshd::start();
    let kinds: [(&str, &[&str], &str, &str); 5] = [
        ("ed25519", &["-t", "ed25519"], "RFC4716", "BEGIN OPENSSH"),
        ("ecdsa", &["-t", "ecdsa"], "RFC4716", "BEGIN OPENSSH"),
        ("rsa", &["-t", "rsa", "-b", "2048"], "RFC4716", "BEGIN OPENSSH"),
        ("rsa-pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], "PEM", "Proc-Type: 4,ENCRYPTED"),
        ("rsa-pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "PKCS8", "BEGIN ENCRYPTED"),
    ];
    for (name, arguments, form, head) in kinds {
        let key = keygen(&sshd.path(""), name, arguments);
        sshd.authorize(&key);
        lock(&key, form);
        assert!(std::fs::read_to_string(&key).unwrap().contains(head), "{name} is in the form that it is meant to be");
        let (keyring, asked) = answering(Some("a passphrase"), None);
        for _ in 0..2 {
            let session = Session::connect(&with(&sshd, &[&key], &keyring), GUARD).await;
            session.unwrap_or_else(|e| panic!("{name}: {e:?}")).close().await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{name}");
        assert!(ssh::same_key(&ssh::public_half(&key).unwrap(), &super::sshd::public(&key)), "{name}");
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_only_where_it_helps() {
    let sshd = Sshd::start();
    let stranger = keygen(&sshd.path(""), "stranger", &["-t", "ed25519"]);
    lock(&stranger, "RFC4716");
    let (keyring, asked) = answering(Some("a passphrase"), None);
    // An open key that serves comes first, whatever the order.
    let open = sshd.path("login");
    Session::connect(&with(&sshd, &[&stranger, &open], &keyring), GUARD).await.unwrap();
    // A key that the server would not take is not worth a question.
    let refused = Session::connect(&with(&sshd, &[&stranger], &keyring), GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::AuthRefused { tried, .. } if tried.contains("stranger")), "{refused:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    sshd.authorize(&stranger);
    let (keyring, asked) = answering(Some("wrong"), None);
    let refused = Session::connect(&with(&sshd, &[&stranger], &keyring), GUARD).await.unwrap_err();
    assert!(refused.to_string().ends_with("the passphrase is wrong"), "{refused}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let (keyring, asked) = answering(None, None);
    let refused = Session::connect(&with(&sshd, &[&stranger], &keyring), GUARD).await.unwrap_err();
    assert!(refused.to_string().ends_with("its passphrase was not given"), "{refused}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let refused = Session::connect(&with(&sshd, &[&stranger], &Arc::default()), GUARD).await.unwrap_err();
    let shown = rmachine_model::error::Error::from(refused).report();
    assert!(
        shown.contains("nobody can be asked") && shown.contains("Hint: give it to your agent with `ssh-add`"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_agent_signs_for_locked_files_and_public_ones_and_offers_others_only_where_it_may() {
    let sshd = Sshd::start();
    let agent = Agent::start(&sshd);
    let (keyring, asked) = answering(None, Some(&agent));
    for (name, arguments) in [("a-ed", &["-t", "ed25519"][..]), ("a-rsa", &["-t", "rsa", "-b", "2048"])] {
        let key = keygen(&sshd.path(""), name, arguments);
        sshd.authorize(&key);
        let public = key.with_extension("pub");
        let refused = Session::connect(&with(&sshd, &[&public], &keyring), GUARD).await.unwrap_err();
        assert!(refused.to_string().contains("no agent has its private half"), "{refused}");
        agent.add(&key);
        lock(&key, "RFC4716");
        Session::connect(&with(&sshd, &[&key], &keyring), GUARD).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        Session::connect(&with(&sshd, &[&public], &keyring), GUARD).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // A machine with a key of its own never sees what else the agent has.
    let stranger = keygen(&sshd.path(""), "stranger", &["-t", "ed25519"]);
    let closed = with(&sshd, &[&stranger], &keyring);
    let refused = Session::connect(&closed, GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::AuthRefused { tried, .. } if !tried.contains("agent")), "{refused:?}");
    Session::connect(&Target { offer_agent: true, ..closed.clone() }, GUARD).await.expect("the agent's keys serve");

    drop(agent);
    let refused = Session::connect(&Target { offer_agent: true, ..closed }, GUARD).await.unwrap_err();
    assert!(matches!(&refused, Error::AuthRefused { .. }), "an agent that is gone is no agent: {refused:?}");
}

/// Twenty keys that do not fit must not use up the server's patience before the passphrase is asked for.
#[tokio::test]
async fn a_full_agent_does_not_keep_a_good_key_out() {
    let sshd = Sshd::start();
    let agent = Agent::start(&sshd);
    for index in 0..20 {
        agent.add(&keygen(&sshd.path(""), &format!("no-{index}"), &["-t", "ed25519"]));
    }
    let good = sshd.path("login");
    lock(&good, "RFC4716");
    let (keyring, asked) = answering(Some("a passphrase"), Some(&agent));
    let open = Target { offer_agent: true, ..with(&sshd, &[&good], &keyring) };
    Session::connect(&open, GUARD).await.unwrap_or_else(|e| panic!("{e:?}\n{}", sshd.log()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// The whole program: a create and a login with a locked key, by SSH_ASKPASS and by the agent.
#[test]
fn the_program_asks_by_askpass_and_takes_the_agent() {
    let machine = Machine::bare();
    let key = machine.sshd.path("login");
    lock(&key, "RFC4716");
    let trust = ["--generic-ssh-host-key", &machine.sshd.first_host_key()];
    let refused = machine.create(&trust).env_remove("SSH_AUTH_SOCK").said();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("ssh-add"), "{said}");

    let askpass = machine.sshd.path("askpass");
    std::fs::write(&askpass, "#!/bin/sh\necho \"$1\" >>\"$0.asked\"\necho 'a passphrase'\n").unwrap();
    std::fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let made = machine.create(&trust).env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").said();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let asked = std::fs::read_to_string(machine.sshd.path("askpass.asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.starts_with("Enter the passphrase of the key "), "{asked}");

    let agent = Agent::start(&machine.sshd);
    let loaded = Command::new("ssh-add")
        .arg("-q")
        .arg(&key)
        .envs([("SSH_AUTH_SOCK", agent.socket.as_os_str()), ("SSH_ASKPASS", askpass.as_os_str())])
        .env("SSH_ASKPASS_REQUIRE", "force")
        .status();
    assert!(loaded.unwrap().success());
    let output = machine.command(&["ssh", "m", "echo in"]).env("SSH_AUTH_SOCK", &agent.socket).said();
    assert_eq!(output.stdout, b"in\n", "{}", String::from_utf8_lossy(&output.stderr));
}
