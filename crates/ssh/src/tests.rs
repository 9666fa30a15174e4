//! What needs the short keepalive of the unit tests; all else is in `tests/ssh`.

#![allow(clippy::disallowed_methods, reason = "a test's own files")]

#[path = "../../../tests/ssh/sshd.rs"]
#[allow(dead_code, reason = "shared with tests/core, which uses all of it")]
mod sshd;

use self::sshd::{GUARD, Sshd, user};
use super::{Exit, HostKeys, Session, Target};

/// A command may be silent for longer than all signs of life together take to be given up.
#[tokio::test]
async fn a_silent_command_is_not_cut_off() {
    let sshd = Sshd::start();
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: sshd.port,
        user: user(),
        keys: vec![sshd.path("login")],
        keyring: Default::default(),
        offer_agent: false,
        host_keys: HostKeys::Pinned(vec![sshd.host_key("ed25519")]),
        route: Default::default(),
        budgets: Default::default(),
    };
    let session = Session::connect(&target, GUARD).await.unwrap();
    let output = session.run("sleep 2; echo still here", b"").await.unwrap();
    assert_eq!((output.exit, output.stdout.as_slice()), (Exit::Code(0), &b"still here\n"[..]));
}

/// A peer that has stopped answering is given up, not waited for for ever.
#[tokio::test]
async fn a_dead_peer_is_given_up() {
    let sshd = Sshd::start();
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: sshd.port,
        user: user(),
        keys: vec![sshd.path("login")],
        keyring: Default::default(),
        offer_agent: false,
        host_keys: HostKeys::Pinned(vec![sshd.host_key("ed25519")]),
        route: Default::default(),
        budgets: Default::default(),
    };
    let session = Session::connect(&target, GUARD).await.unwrap();
    // The connection's own server process stops, as if its host had lost power.
    let output = session.run("kill -STOP $PPID; sleep 60", b"");
    let ended = tokio::time::timeout(GUARD, output).await.expect("it ends");
    assert!(matches!(ended, Ok(super::Output { exit: Exit::Lost, .. }) | Err(_)), "{ended:?}");
}
