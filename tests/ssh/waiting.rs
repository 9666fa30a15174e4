//! Hosts that do not answer, answer wrongly, or are only booting.

use std::time::Duration;

use rmachine_provider_api::Silent;
use rmachine_ssh::{Error, HostKeys, Session, WaitPolicy};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    login::target,
    sshd::{GUARD, Sshd, free_port, keygen, public},
};

#[tokio::test]
async fn a_closed_port_a_silent_one_and_a_web_server_are_told_apart() {
    let sshd = Sshd::prepare(&["ed25519"]);
    let mut target = target(&sshd);
    target.port = free_port();
    let closed = Session::connect(&target, GUARD).await.unwrap_err();
    assert!(matches!(closed, Error::Unreachable { .. }), "{closed:?}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    target.port = silent.local_addr().unwrap().port();
    let error = Session::connect(&target, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");

    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    target.port = web.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = Session::connect(&target, GUARD).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_that_boots_is_waited_for() {
    let mut sshd = Sshd::prepare(&["ed25519"]);
    let target = target(&sshd);
    let policy = WaitPolicy::new(GUARD, false);
    let wait = Session::wait(&target, &policy, &Silent);
    let boot = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sshd.run();
    };
    let (session, ()) = tokio::join!(wait, boot);
    session.unwrap();
}

#[tokio::test]
async fn a_first_boot_may_still_be_putting_our_login_key_in() {
    let sshd = Sshd::start();
    let late = keygen(&sshd.path(""), "late", &["-t", "ed25519"]);
    let mut target = target(&sshd);
    target.keys = vec![late.clone()];
    for first_boot in [true, false] {
        let policy = WaitPolicy::new(Duration::from_millis(300), first_boot);
        let refused = Session::wait(&target, &policy, &Silent).await.unwrap_err();
        assert!(matches!(refused, Error::AuthRefused { .. }), "the last word is the host's: {refused:?}");
    }
    let policy = WaitPolicy::new(GUARD, true);
    let (session, ()) = tokio::join!(Session::wait(&target, &policy, &Silent), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sshd.authorize(&late);
    });
    session.unwrap();
}

#[tokio::test]
async fn a_wrong_host_key_is_final_unless_it_is_the_first_boot() {
    let sshd = Sshd::start();
    let other = public(&keygen(&sshd.path(""), "other", &["-t", "ed25519"]));
    let mut target = target(&sshd);
    target.host_keys = HostKeys::Pinned(vec![other]);
    let refused = Session::wait(&target, &WaitPolicy::new(GUARD, false), &Silent).await.unwrap_err();
    assert!(matches!(refused, Error::HostKey { .. }), "{refused:?}");
    let policy = WaitPolicy::new(Duration::from_millis(500), true);
    let refused = Session::wait(&target, &policy, &Silent).await.unwrap_err();
    assert!(matches!(refused, Error::HostKey { .. }), "{refused:?}");
    assert!(sshd.log().matches("Connection closed").count() + sshd.log().matches("Connection from").count() > 2);
    assert!(!sshd.log().contains("userauth-request"), "nothing was sent in all that time");
}
