//! Locks and atomic writes.

use std::sync::mpsc;

use rmachine_provider_api::StopMode;
use rmachine_store::{Store, atomic};

use crate::support::{World, options};

#[tokio::test]
async fn a_second_command_waits_for_the_first_and_says_so() {
    let world = World::new();
    world.core().create(options("m")).await.unwrap();
    let held = world.store().lock_machine("m", || {}).unwrap();
    let core = world.core();
    let stop = core.stop("m", StopMode::Graceful);
    let release = async {
        let waiting = "m: waiting for another rmachine process to finish with it".to_owned();
        while !world.said.lines().contains(&waiting) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(world.record("m").power, rmachine_store::Power::Running, "nothing happened yet");
        drop(held);
    };
    let (stopped, ()) = tokio::join!(stop, release);
    stopped.unwrap();
    assert_eq!(world.record("m").power, rmachine_store::Power::Stopped);
}

#[test]
fn a_lock_is_free_when_its_holder_dies() {
    let world = World::new();
    let (sent, received) = mpsc::channel();
    let store = world.store();
    let holder = std::thread::spawn(move || {
        let _held = store.lock_machine("m", || {}).unwrap();
        sent.send(()).unwrap();
        panic!("the holder dies");
    });
    received.recv().unwrap();
    assert!(holder.join().is_err());
    world.store().lock_machine("m", || panic!("nobody holds it")).unwrap();
}

#[test]
fn locks_of_two_machines_are_two() {
    let world = World::new();
    let _one = world.store().lock_machine("one", || {}).unwrap();
    world.store().lock_machine("two", || panic!("nobody holds it")).unwrap();
}

/// Readers see the old or the new content, whole, however often it is replaced.
#[test]
fn a_reader_never_sees_half_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let (one, two) = (vec![b'1'; 300_000], vec![b'2'; 200_000]);
    atomic::write(&path, &one, 0o600).unwrap();
    let writer = std::thread::spawn({
        let (path, one, two) = (path.clone(), one.clone(), two.clone());
        move || {
            for round in 0..40 {
                atomic::write(&path, if round % 2 == 0 { &two } else { &one }, 0o600).unwrap();
            }
        }
    });
    let mut reads = 0;
    while !writer.is_finished() {
        let seen = std::fs::read(&path).unwrap();
        assert!(seen == one || seen == two, "{} bytes", seen.len());
        reads += 1;
    }
    writer.join().unwrap();
    assert!(reads > 0);
}

/// A file system that is full: the old content stays, and the error says what to do.
#[test]
fn a_full_disk_leaves_the_old_record() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "rmachine-test"])
        .arg(directory.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return rmachine_testkit::skipped("a_full_disk_leaves_the_old_record needs the right to mount a tmpfs");
    }
    let store = Store::at(directory.path());
    let path = directory.path().join("rmachine.json");
    let result = store.write(&path, b"old").and_then(|()| store.write(&path, &vec![0; 1024 * 1024]));
    let content = std::fs::read(&path);
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(std::process::Command::new("umount").arg(directory.path()).status().unwrap().success());
    let error = result.unwrap_err();
    assert_eq!(error.hints(), ["free some room on that disk; nothing was changed"]);
    assert_eq!(content.unwrap(), b"old");
    assert_eq!(files, 1, "no temporary file is left");
}
