//! One CA a store, however many creates begin at once.

use std::sync::Arc;

use crate::{
    one_ca::{self, read},
    support::{World, none, options},
};

fn assert_one_ca(world: &World, names: &[String]) {
    one_ca::assert(&world.store(), names);
}

/// In processes: tests/cli/first_creates.rs, and `many::fifty_first_creates_at_once` of tests/faults.
#[test]
fn parallel_first_creates_in_threads_make_one_ca() {
    let world = Arc::new(World::new());
    let names: Vec<String> = (0..8).map(|n| format!("m{n}")).collect();
    let barrier = Arc::new(std::sync::Barrier::new(names.len()));
    let threads: Vec<_> = names
        .iter()
        .cloned()
        .map(|name| {
            let (world, barrier) = (world.clone(), barrier.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                barrier.wait();
                runtime.block_on(world.core().create(options(&name))).unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_one_ca(&world, &names);
    let owners: std::collections::BTreeSet<String> = names.iter().map(|n| world.record(n).owner.to_string()).collect();
    assert_eq!(owners.len(), 1, "one store, one owner");
}

#[tokio::test]
async fn a_lost_ca_certificate_comes_back_from_a_machine() {
    let world = World::new();
    world.core().create(options("one")).await.unwrap();
    let path = world.store().certs_directory().join("ca.pem");
    let ca = read(&path);
    std::fs::remove_file(&path).unwrap();
    world.core().create(options("two")).await.unwrap();
    assert_eq!(read(&path), ca, "machines trust the CA that they know");
    assert_one_ca(&world, &["one".to_owned(), "two".to_owned()]);
}

#[tokio::test]
async fn a_lost_ca_key_is_said_and_never_replaced() {
    let world = World::new();
    world.core().create(options("one")).await.unwrap();
    let directory = world.store().certs_directory();
    let ca = read(&directory.join("ca.pem"));
    std::fs::remove_file(directory.join("ca-key.pem")).unwrap();
    let error = world.core().create(options("two")).await.unwrap_err();
    assert!(error.to_string().contains("ca-key.pem is missing"), "{error}");
    assert_eq!(read(&directory.join("ca.pem")), ca);
    assert_eq!(world.store().names().unwrap(), ["one"]);
    assert_eq!(world.account.held().len(), 3, "the failed create made nothing");
}

#[tokio::test]
async fn a_torn_client_pair_is_issued_anew() {
    let world = World::new();
    world.core().create(options("one")).await.unwrap();
    let directory = world.store().certs_directory();
    world.spoil();
    // As after a crash between the two writes of a renewal.
    std::fs::copy(directory.join("ca-key.pem"), directory.join("key.pem")).unwrap();
    world.core().create(none("two", "tcp://127.0.0.1:1")).await.unwrap();
    assert_one_ca(&world, &["two".to_owned()]);
}

#[tokio::test]
async fn a_new_ca_starts_where_only_a_key_is_left_of_a_first_create_that_died() {
    let world = World::new();
    world.core().create(options("one")).await.unwrap();
    world.core().remove("one", rmachine_core::RemoveMode::Normal).await.unwrap();
    std::fs::remove_file(world.store().certs_directory().join("ca.pem")).unwrap();
    world.core().create(options("two")).await.unwrap();
    assert_one_ca(&world, &["two".to_owned()]);
}
