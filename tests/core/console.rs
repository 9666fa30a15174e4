//! What the console of an instance says of its host's key, where no record of ours does.

use std::path::PathBuf;

use rmachine_core::{AdoptOptions, Created};
use rmachine_model::error::{Kind, Result};
use rmachine_ssh::fingerprint;
use rmachine_store::file;
use time::{Duration, OffsetDateTime};

use crate::{gc::adopt, rotate_keys::Hosted, support::text};

const OTHER: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A machine whose record is lost, and what it was known and logged in to by.
struct Lost {
    hosted: Hosted,
    instance: String,
    owner: String,
    shown: String,
    key: PathBuf,
}

impl Lost {
    async fn new() -> Self {
        let hosted = Hosted::with_machine().await;
        let (record, store) = (hosted.world.record("m"), hosted.world.store());
        let key = hosted.world.directory.path().join("login");
        std::fs::copy(store.machine_file("m", file::LOGIN_KEY), &key).unwrap();
        std::fs::remove_dir_all(store.machine_directory("m")).unwrap();
        let instance = record.instance.as_ref().unwrap().id.to_string();
        let shown = fingerprint(&record.ssh.host_keys[0]).unwrap();
        Self { hosted, instance, owner: record.owner.to_string(), shown, key }
    }

    fn print(&self, key: &str, at: Option<OffsetDateTime>) {
        let text = format!(
            "<14>cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n<14>cloud-init: 256 {key} (ED25519)\r\n\
             <14>cloud-init: -----END SSH HOST KEY FINGERPRINTS-----\r\nlogin: "
        );
        self.hosted.world.account.print_to_console(&text, at);
    }

    async fn adopt(&self, host_key: Option<&str>) -> Result<Created> {
        let options = AdoptOptions {
            ssh_key: Some(self.key.clone()),
            host_key: host_key.map(str::to_owned),
            ..adopt(&self.instance, Some(&self.owner))
        };
        self.hosted.core().adopt(&options).await
    }
}

#[tokio::test]
async fn agreement_is_proof() {
    let lost = Lost::new().await;
    let unknown = lost.adopt(None).await.unwrap_err();
    assert!(text(&unknown).contains("is not known"), "{}", text(&unknown));
    lost.print(&format!("{} root@host", lost.shown), None);
    let adopted = lost.adopt(None).await.unwrap().record;
    let said = lost.hosted.world.said.lines();
    assert!(said.iter().any(|line| line.contains("its console names the key")), "{said:?}");
    // adopt replaces it at once.
    assert_ne!(fingerprint(&adopted.ssh.host_keys[0]).unwrap(), lost.shown);
}

#[tokio::test]
async fn another_key_is_refused_unless_it_is_named() {
    let lost = Lost::new().await;
    let soon = OffsetDateTime::now_utc() + Duration::minutes(5);
    lost.print(OTHER, Some(soon));
    let refused = lost.adopt(None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Ssh);
    let said = text(&refused);
    assert!(said.contains(OTHER) && said.contains(&lost.shown), "{said}");
    assert!(refused.hints().iter().any(|hint| hint.contains(&format!("--host-key {}", lost.shown))), "{said}");
    assert!(lost.hosted.world.store().names().unwrap().is_empty());
    let shown = lost.shown.clone();
    lost.adopt(Some(&shown)).await.unwrap();
}

#[tokio::test]
async fn the_seed_and_what_is_older_than_a_change_from_here_say_nothing() {
    let lost = Lost::new().await;
    let (soon, before) = (OffsetDateTime::now_utc() + Duration::minutes(5), OffsetDateTime::now_utc() - Duration::HOUR);
    let seeds = [format!("{OTHER} rmachine seed"), format!("{} rmachine seed", lost.shown)];
    for (key, at) in [(seeds[0].clone(), Some(soon)), (seeds[1].clone(), Some(soon)), (OTHER.to_owned(), Some(before))]
    {
        lost.print(&key, at);
        let unknown = text(&lost.adopt(None).await.unwrap_err());
        assert!(unknown.contains("is not known") && !unknown.contains(OTHER), "{unknown}");
    }
    // The same from a store that has changed nothing.
    std::fs::remove_file(lost.hosted.world.store().audit_log()).unwrap();
    let refused = text(&lost.adopt(None).await.unwrap_err());
    assert!(refused.contains(OTHER), "{refused}");
}
