//! Hosts that others made: whatever opens a session to one asks who vouches for its key, before anything is sent.

use rmachine_certs::Recipient;
use rmachine_core::{Regenerate, RotateKeys};

use crate::{rotate_keys::Hosted, support::text};

#[tokio::test]
async fn every_command_asks_who_vouches_for_the_key() {
    let hosted = Hosted::with_machine().await;
    // As docker-machine's machines are once they are taken over: no key is pinned, and no plan says where one comes from.
    let mut record = hosted.world.record("m");
    (record.imported, record.plan) = (true, None);
    record.ssh.host_keys.clear();
    hosted.world.store().save(&record, Default::default()).unwrap();
    let core = hosted.core();
    let to = Recipient::parse(&rcgen::KeyPair::generate().unwrap().public_key_pem()).unwrap();
    let life = time::Duration::hours(1);
    let refused = [
        ("ssh", core.ssh("m").await.map(|_| ())),
        ("provision", core.provision("m").await),
        ("regenerate-certs", core.regenerate_certificates("m", Regenerate::default()).await.map(|_| ())),
        ("share", core.share("m", &to, life, |_| Ok(())).await.map(|_| ())),
        ("unshare", core.unshare("m", None).await.map(|_| ())),
        ("upgrade", core.upgrade("m").await.map(|_| ())),
        ("rotate-keys", core.rotate_keys("m", &RotateKeys::default()).await.map(|_| ())),
        ("restart", core.restart("m").await),
        ("start", core.start("m").await),
    ];
    for (command, result) in refused {
        let said = text(&result.expect_err(command));
        assert!(said.contains("docker-machine pinned none"), "{command}: {said}");
    }
}
