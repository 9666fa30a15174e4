//! The CA is replaced: at every half-way state, and when it has run out.

use rmachine_certs as certs;
use rmachine_core::Rotate;
use rmachine_store::{Store, file};
use time::{Duration, OffsetDateTime};

use crate::{
    one_ca::read,
    support::{World, options},
};

fn certificates(store: &Store) -> usize {
    read(&store.certs_directory().join(file::CA_CERT)).matches("BEGIN CERTIFICATE").count()
}

/// The present CA has its key and signed the client's certificate; the old one follows it while `overlap`.
#[track_caller]
fn assert_whole(store: &Store, old: &str, overlap: bool) {
    let text = |name: &str| read(&store.certs_directory().join(name));
    let ca = text(file::CA_CERT);
    assert!(certs::key_matches(&ca, &text(file::CA_KEY)).unwrap());
    assert!(certs::signed_by(&text(file::CLIENT_CERT), &ca).unwrap());
    assert!(!certs::same(&ca, old), "it is another one");
    assert_eq!(ca.contains(old.trim()), overlap);
    assert_eq!(certificates(store), if overlap { 2 } else { 1 });
    assert_eq!(store.certs_directory().join(file::OLD_CA_CERT).exists(), overlap);
    assert_eq!(store.certs_directory().join(file::OLD_CA_KEY).exists(), overlap);
}

#[tokio::test]
async fn it_begins_goes_on_and_ends() {
    let world = World::new();
    world.core().create(options("one")).await.unwrap();
    let store = world.store();
    let old = read(&store.certs_directory().join(file::CA_CERT));
    let error = world.core().rotate_ca(Rotate::Finish, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "no CA is being replaced");
    world.core().rotate_ca(Rotate::Begin, &[]).await.unwrap();
    assert_whole(&store, &old, true);
    let begun = read(&store.certs_directory().join(file::CA_CERT));
    world.core().rotate_ca(Rotate::Begin, &[]).await.unwrap();
    assert_eq!(read(&store.certs_directory().join(file::CA_CERT)), begun, "a repeat goes on with the same one");
    world.core().create(options("two")).await.unwrap();
    assert_eq!(read(&store.machine_file("two", file::CA_CERT)), begun, "new clients know both");
    world.core().rotate_ca(Rotate::Finish, &[]).await.unwrap();
    assert_whole(&store, &old, false);
    world.core().rotate_ca(Rotate::Now, &[]).await.unwrap();
    assert_whole(&store, &begun, false);
}

/// As if it had been killed after each of its writes.
#[tokio::test]
async fn a_repeat_ends_what_was_interrupted() {
    for writes in 0..5 {
        let world = World::new();
        world.core().create(options("one")).await.unwrap();
        world.core().remove("one", rmachine_core::RemoveMode::Normal).await.unwrap();
        let store = world.store();
        let path = |name: &str| store.certs_directory().join(name);
        let (old, key) = (read(&path(file::CA_CERT)), read(&path(file::CA_KEY)));
        let steps: [&dyn Fn(); 4] = [
            &|| store.write(&path(file::OLD_CA_KEY), key.as_bytes()).unwrap(),
            &|| std::fs::write(path(file::OLD_CA_CERT), &old).unwrap(),
            &|| std::fs::remove_file(path(file::CA_CERT)).unwrap(),
            &|| {
                let new = certs::new_ca("another", OffsetDateTime::now_utc()).unwrap();
                store.write(&path(file::CA_KEY), new.key_pem.as_bytes()).unwrap();
            },
        ];
        steps.iter().take(writes).for_each(|step| step());
        world.core().rotate_ca(Rotate::Begin, &[]).await.unwrap();
        assert_whole(&store, &old, true);
        // Killed in the middle of the end, before the old one's files were removed.
        let new = certs::first(&read(&path(file::CA_CERT))).unwrap();
        std::fs::write(path(file::CA_CERT), &new).unwrap();
        world.core().rotate_ca(Rotate::Finish, &[]).await.unwrap();
        assert_whole(&store, &old, false);
        assert_eq!(read(&path(file::CA_CERT)), new);
    }
}

#[tokio::test]
async fn one_that_has_run_out_is_replaced_by_the_next_command() {
    let world = World::new();
    let store = world.store();
    store.prepare().unwrap();
    let then = OffsetDateTime::now_utc() - Duration::days(3654);
    let ca = certs::new_ca("store", then).unwrap();
    let path = |name: &str| store.certs_directory().join(name);
    std::fs::write(path(file::CA_CERT), &ca.cert_pem).unwrap();
    store.write(&path(file::CA_KEY), ca.key_pem.as_bytes()).unwrap();
    world.core().create(options("one")).await.unwrap();
    assert_whole(&store, &ca.cert_pem, false);
}
