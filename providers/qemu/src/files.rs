//! The one place that writes: below the driver's directory, 0700 and 0600, atomically.

#![allow(
    clippy::disallowed_methods,
    reason = "disks and images lie outside the store, which has its own module for this"
)]

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use rmachine_provider_api::{Error, Kind, Result};

/// How often, and how soon again, the removal of a directory is tried that another process still fills.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes `path` and what leads to it, 0700; one that exists stays as it is.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("make the directory", path, e))
}

/// Puts `bytes` at `path` (0600), whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let put = || -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::with_prefix_in(".new-", directory)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        File::open(directory)?.sync_all()
    };
    put().map_err(|e| failed("write", path, e))
}

/// Copies `from` to a new `to` (0600), whole or not at all.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).map_err(|e| failed("read", from, e))?;
    write(to, &bytes)
}

/// Shortens a log that another program appends to, where it has more than `most` bytes: to its last `keep`.
pub(crate) fn shorten(path: &Path, most: u64, keep: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    if length <= most {
        return Ok(());
    }
    let mut last = Vec::new();
    file.seek(io::SeekFrom::Start(length.saturating_sub(keep)))?;
    (&mut file).take(keep).read_to_end(&mut last)?;
    file.set_len(0)?;
    file.write_all(&last)
}

/// Opens `path` to be written from its start.
pub(crate) fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| failed("write", path, e))
}

/// Makes a file that another program has made ours alone.
pub(crate) fn private(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|e| failed("write", path, e))
}

/// Moves `from` to `to` in the same directory; it is on disk when this returns.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let moved = || -> io::Result<()> {
        File::open(from)?.sync_all()?;
        std::fs::rename(from, to)?;
        File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    moved().map_err(|e| failed("write", to, e))
}

/// Removes `path`, whatever it is; a missing one is success.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for attempt in 1.. {
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(e) => Err(e),
        };
        match removed {
            Ok(()) => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !path.exists() => break,
            // A killed build may still be on its way out of its directory.
            Err(e) if path.is_dir() && attempt < ATTEMPTS => {
                tracing::debug!("{}: {e}", path.display());
                std::thread::sleep(PAUSE);
            }
            Err(e) => return Err(failed("remove", path, e)),
        }
    }
    Ok(())
}

/// Refuses when `path`'s disk has less than `bytes` left.
pub(crate) fn require_room(path: &Path, bytes: u64) -> Result<()> {
    let Ok(disk) = rustix::fs::statvfs(path) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    Err(no_room(path, &format!("{} MB are free, and {} are needed", free >> 20, bytes >> 20)))
}

fn no_room(path: &Path, why: &str) -> Error {
    Error::new(Kind::Other, format!("the disk that {} is on is full", path.display()))
        .source(why.to_owned())
        .hint("make room, or keep disks and images elsewhere with --qemu-directory PATH")
}

/// What a failed write means.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return no_room(path, &error.to_string());
    }
    Error::new(Kind::Other, format!("cannot {what} {}", path.display()))
        .source(error)
        .hint("--qemu-directory PATH keeps disks and images elsewhere")
}

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    // Closing it gives the lock back.
    file: File,
}

impl Lock {
    /// Whether the file that is locked is still the one at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let (Ok(ours), Ok(there)) = (self.file.metadata(), path.metadata()) else { return false };
        (ours.dev(), ours.ino()) == (there.dev(), there.ino())
    }
}

/// Takes the lock at `path`; `None` while another process or task has it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Lock>> {
    let file = create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { file })),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(failed("lock", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_ours_alone() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("a/b");
        make_directory(&directory).unwrap();
        make_directory(&directory).unwrap();
        let file = directory.join("f");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no temporary file stays");
        remove(&directory).unwrap();
        remove(&directory).unwrap();
        assert!(!directory.exists());
    }

    #[test]
    fn a_lock_is_held_once_and_given_back() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("lock");
        let held = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_log_keeps_its_end_and_goes_on() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("console.log");
        assert_eq!(shorten(&path, 8, 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut writer = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        writer.write_all(b"12345678").unwrap();
        shorten(&path, 8, 4).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"12345678");
        writer.write_all(b"9").unwrap();
        shorten(&path, 8, 4).unwrap();
        writer.write_all(b"0").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"67890");
    }

    #[test]
    fn no_room_is_said() {
        let error = require_room(Path::new("/tmp"), u64::MAX).unwrap_err();
        assert!(error.to_string().ends_with("is full") && error.hint_text().unwrap().contains("--qemu-directory"));
    }
}
