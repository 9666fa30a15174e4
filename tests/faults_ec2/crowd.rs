//! Many first creates at once into an empty store: one store, one CA, and everything undone.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{
    account::{Account, LAST, PATIENCE},
    report::{Report, full},
    running::Running,
    support::run,
};

/// Every content that a file has until `work` ends, looked at as often as possible.
pub fn contents_while<T>(path: &Path, work: impl FnOnce() -> T) -> (BTreeSet<Vec<u8>>, T) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                seen.extend(std::fs::read(path).ok());
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        (seen, result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The CA signed the client's certificate, and the key is that of the certificate.
pub fn check_client(certs: &Path) {
    let openssl = |words: &[&str]| run(std::process::Command::new("openssl").args(words).current_dir(certs)).ok();
    openssl(&["verify", "-CAfile", "ca.pem", "cert.pem"]);
    for (cert, key) in [("cert.pem", "key.pem"), ("ca.pem", "ca-key.pem")] {
        assert_eq!(
            openssl(&["x509", "-in", cert, "-noout", "-pubkey"]),
            openssl(&["pkey", "-in", key, "-pubout"]),
            "{cert}"
        );
    }
}

/// The attempt and the owner's tag in each RunInstances call; one that got no answer in time is sent again.
fn runs(calls: &Value) -> BTreeSet<(String, String)> {
    let runs = calls.as_array().unwrap().iter().filter(|call| call["action"] == "RunInstances");
    let owner = |call: &Value| {
        let parameters = call["parameters"].as_object().unwrap();
        let key = parameters.iter().find(|(_, value)| *value == "rmachine:owner").unwrap().0;
        let text = |key: &str| parameters[key].as_str().unwrap().to_owned();
        (text("ClientToken"), text(&key.replace(".Key", ".Value")))
    };
    runs.map(owner).collect()
}

#[test]
fn many_first_creates_at_once() {
    let report = Report::start("first creates at once into an empty store");
    let count = if full() { 50 } else { 16 };
    let account = Account::new();
    let before = account.furnish();
    let certs = account.root().join("certs");
    let (authorities, mut creates) = contents_while(&certs.join("ca.pem"), || {
        let mut creates: Vec<Running> = (0..count).map(|n| account.create(&[], &format!("m{n}"))).collect();
        for create in &mut creates {
            create.until_said(LAST);
        }
        creates
    });
    assert_eq!(authorities.len(), 1, "there was never another CA");
    check_client(&certs);
    let held = account.resources();
    for kind in ["instances/", "groups/", "volumes/", "interfaces/"] {
        let of = |held: &[String]| held.iter().filter(|id| id.starts_with(kind)).count();
        assert_eq!(of(&held), of(&before) + count, "{kind}: {held:?}");
    }
    let runs = runs(&account.lab("GET", "calls", None));
    assert_eq!(runs.len(), count, "one attempt each: {runs:?}");
    let store = std::fs::read_to_string(account.root().join("rmachine.json")).unwrap();
    assert!(runs.iter().all(|(_, owner)| store.contains(owner)), "one store, one owner: {runs:?}, {store}");
    for create in &creates {
        create.interrupt();
    }
    for (number, create) in creates.drain(..).enumerate() {
        assert_eq!(create.end(PATIENCE).code, Some(130), "m{number}");
        assert!(!account.machine(&format!("m{number}")).exists());
    }
    assert_eq!(account.resources(), before);
    report.end(count, "all rolled back");
}
