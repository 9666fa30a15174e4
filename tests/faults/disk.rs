//! A store on a disk that is full or read-only.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use rmachine_core::{Core, Filter, MachineSpec, RemoveMode};
use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind},
};
use rmachine_provider_api::{ResourceKind, StopMode};
use rmachine_provider_fake::{Account, FakeDriver};
use rmachine_store::Store;
use tokio::runtime::Runtime;

/// What a page of a tmpfs takes.
const PAGE: usize = 4096;

/// A small disk with a store on it.
struct Disk {
    directory: tempfile::TempDir,
    account: Account,
    runtime: Runtime,
}

impl Drop for Disk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.directory.path()).status().unwrap().success());
    }
}

impl Disk {
    /// A disk of `pages`; `None`, said aloud, where nothing can be mounted.
    fn mounted(test: &str, pages: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={}", pages * PAGE), "rmachine-test"])
            .arg(directory.path())
            .status();
        if !disk.is_ok_and(|status| status.success()) {
            rmachine_testkit::skipped(&format!("{test} needs the right to mount a tmpfs"));
            return None;
        }
        let account = Account::new();
        account.plant(ResourceKind::SecurityGroup, "sg-stranger");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Self { directory, account, runtime })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn store(&self) -> Store {
        Store::at(self.path().join("store"))
    }

    fn core(&self) -> Core {
        let driver = FakeDriver::new(self.account.clone());
        Core::builder(self.store()).drivers(Drivers::of(vec![Arc::new(driver)])).build()
    }

    fn create(&self) -> Result<(), Error> {
        self.runtime.block_on(self.core().create(MachineSpec::new("m", "fake"))).map(|_| ())
    }

    fn remove(&self) -> Result<(), Error> {
        self.runtime.block_on(self.core().remove("m", RemoveMode::Normal))
    }

    /// Fills it, but for `pages`.
    fn fill(&self, pages: usize) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        let mut size = 0;
        loop {
            match filler.write(&[0; PAGE]) {
                Ok(written) => size += written,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        filler.set_len((size - pages * PAGE) as u64).unwrap();
        path
    }
}

/// The hint is the same for all writes, and the kind of the error is the store's, whoever found it.
fn assert_says_full(error: &Error, what: &str) {
    let text = error.report();
    assert!(text.contains("No space left on device"), "{what}: {text}");
    assert!(text.contains("free some room on that disk"), "{what}: {text}");
}

/// A create with less and less room, so that it fails at each of its writes.
pub fn full() {
    let mut outcomes = [0; 3];
    for pages in 0.. {
        // With more room it is no other case.
        if outcomes[2] == 2 {
            break;
        }
        let Some(disk) = Disk::mounted("disk::full", 200) else { return };
        let what = format!("{pages} pages are free");
        let filler = disk.fill(pages);
        match disk.create() {
            Ok(()) => outcomes[2] += 1,
            Err(error) => {
                assert_says_full(&error, &what);
                let clean = disk.account.held().len() == 1 && disk.store().names().unwrap().is_empty();
                let recorded = disk.store().load("m").is_ok();
                assert!(clean || recorded, "{what}: {:?}", disk.account.held());
                outcomes[usize::from(recorded)] += 1;
            }
        }
        let there = disk.store().exists("m");
        fs::remove_file(filler).unwrap();
        if there {
            disk.remove().unwrap_or_else(|e| panic!("{what}: {}", e.report()));
        }
        assert_eq!(disk.account.held().len(), 1, "{what}");
        assert_eq!(disk.store().names().unwrap(), Vec::<String>::new(), "{what}");
        disk.create().unwrap_or_else(|e| panic!("{what}: {}", e.report()));
        assert_eq!(disk.account.held().len(), 4, "{what}");
    }
    println!("  nothing left {}, a record left {}, enough room {}", outcomes[0], outcomes[1], outcomes[2]);
    // The roll-back does not need room: what costs money goes, and the record with it.
    assert!(outcomes[0] > 6 && outcomes[1] == 0, "{outcomes:?}");
}

/// The cloud hears of the new name when there is room for it here.
pub fn full_at_a_rename() {
    let Some(disk) = Disk::mounted("disk::full_at_a_rename", 200) else { return };
    disk.create().unwrap();
    let rename = || disk.runtime.block_on(disk.core().rename("m", "n"));
    let held = disk.account.held();
    let filler = disk.fill(0);
    assert_says_full(&rename().unwrap_err(), "rename");
    assert_eq!((disk.account.held(), disk.store().names().unwrap()), (held.clone(), vec!["m".to_owned()]));
    fs::remove_file(filler).unwrap();
    rename().unwrap();
    assert_eq!(disk.store().names().unwrap(), ["n"]);
    assert_ne!(disk.account.held(), held, "the tags follow");
}

pub fn read_only() {
    let Some(disk) = Disk::mounted("disk::read_only", 200) else { return };
    let remount = |mode: &str| {
        let option = format!("remount,{mode}");
        assert!(Command::new("mount").args(["-o", &option]).arg(disk.path()).status().unwrap().success());
    };
    remount("ro");
    let refused = disk.create().unwrap_err();
    assert_eq!(refused.kind(), Kind::Store, "{refused}");
    assert!(refused.causes().iter().any(|cause| cause.contains("Read-only file system")), "{:?}", refused.causes());
    assert!(refused.hints().iter().any(|hint| hint.contains("--storage-path")), "{:?}", refused.hints());
    assert_eq!(disk.account.held().len(), 1);
    remount("rw");
    disk.create().unwrap();
    let held = disk.account.held();
    remount("ro");
    let core = disk.core();
    let lines = core.list_recorded(&Filter::default()).unwrap();
    assert_eq!((lines.len(), lines[0].error.as_deref()), (1, None), "what only reads goes on");
    core.access("m").unwrap();
    let changes = [
        ("rm", disk.remove()),
        ("rm -f", disk.runtime.block_on(core.remove("m", RemoveMode::Force))),
        ("stop", disk.runtime.block_on(core.stop("m", StopMode::Graceful))),
        ("start", disk.runtime.block_on(core.start("m"))),
    ];
    for (what, result) in changes {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Store, "{what}: {error}");
        assert_eq!(error.hints(), ["the store must be writable; nothing was changed"], "{what}");
    }
    assert_eq!(disk.account.held(), held, "nothing was changed");
    remount("rw");
    disk.remove().unwrap();
    assert_eq!(disk.account.held().len(), 1);
}
