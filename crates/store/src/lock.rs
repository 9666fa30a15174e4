//! Locks between processes: one a machine, one for the CA.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rmachine_model::{
    effect,
    error::{Error, Kind, Result},
};

use super::{Store, atomic, bytes::cannot, debris};

/// How long a command waits for another one that works on the same machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// An exclusive lock, held until it is dropped. The file stays: removing it would let two
/// processes hold "the" lock on two files.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process held it for the whole time.
    #[error("another rmachine process is working on it (lock {})", .0.display())]
    Busy(PathBuf),
    /// The file system cannot lock (as some NFS mounts), or the file cannot be opened.
    #[error("cannot lock {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

const POLL: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes the lock at `path`, waiting at most `patience`; `on_wait` is called once when it has to wait.
    ///
    /// # Errors
    ///
    /// [`LockError`]; a file system without locks is an error, never ignored.
    pub fn acquire(path: &Path, patience: Duration, on_wait: impl FnOnce()) -> Result<Self, LockError> {
        let io = |e| LockError::Io(path.to_owned(), e);
        #[allow(clippy::disallowed_methods, reason = "an empty file: nothing is written that could be lost")]
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(io)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        effect::before("lock", &name);
        let deadline = Instant::now() + patience;
        let mut on_wait = Some(on_wait);
        loop {
            match file.try_lock() {
                Ok(()) => {
                    effect::after("lock", &name);
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(e)) => return Err(io(e)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(LockError::Busy(path.to_owned()));
                }
                Err(TryLockError::WouldBlock) => {
                    if let Some(say) = on_wait.take() {
                        say();
                    }
                    std::thread::sleep(POLL);
                }
            }
        }
    }
}

impl Store {
    /// Takes the lock of machine `name`, waiting for another process; `on_wait` is called when it has to wait.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when the other one does not end, [`Kind::Store`] when the file system cannot lock.
    pub fn lock_machine(&self, name: &str, on_wait: impl FnOnce()) -> Result<Lock> {
        self.lock(&format!("machine-{name}"), on_wait)
    }

    /// Takes the lock of machine `name`, without waiting.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when another process holds it, [`Kind::Store`] when the file system cannot lock.
    pub fn try_lock_machine(&self, name: &str) -> Result<Lock> {
        self.lock_within(&format!("machine-{name}"), Duration::ZERO, || {})
    }

    /// Takes the lock that the tunnel of machine `name` holds while it runs; `None` when one runs.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the file system cannot lock.
    pub fn lock_tunnel(&self, name: &str, patience: Duration) -> Result<Option<Lock>> {
        let path = self.root.join("locks").join(format!("tunnel-{name}.lock"));
        match Lock::acquire(&path, patience, || {}) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Busy(_)) => Ok(None),
            Err(LockError::Io(path, source)) => Err(cannot("lock", &path, source)),
        }
    }

    /// Whether a process holds the lock that a tunnel to machine `name` has.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when that cannot be told.
    pub fn is_tunnel_locked(&self, name: &str) -> Result<bool> {
        let path = self.root.join("locks").join(format!("tunnel-{name}.lock"));
        // It is not made here: machines without a tunnel have none. Nobody is kept from having it meanwhile, but for an
        // instant, which a tunnel waits for.
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(cannot("read", &path, e)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(cannot("lock", &path, e)),
        }
    }

    /// Takes the lock of the CA.
    ///
    /// # Errors
    ///
    /// As [`Store::lock_machine`].
    pub fn lock_ca(&self) -> Result<Lock> {
        self.lock("ca", || {})
    }

    pub(super) fn lock(&self, what: &str, on_wait: impl FnOnce()) -> Result<Lock> {
        self.lock_within(what, PATIENCE, on_wait)
    }

    fn lock_within(&self, what: &str, patience: Duration, on_wait: impl FnOnce()) -> Result<Lock> {
        let directory = self.root.join("locks");
        atomic::create_directory(&directory).map_err(|e| {
            cannot("make the directory", &directory, e).hint("choose another place with --storage-path DIR")
        })?;
        let lock = Lock::acquire(&directory.join(format!("{what}.lock")), patience, on_wait).map_err(|e| match e {
            LockError::Busy(_) => {
                Error::new(Kind::Conflict, format!("another rmachine process holds the lock of {what}"))
                    .hint("wait for it to end, or end it")
            }
            LockError::Io(path, source) => {
                let hint = match source.kind() {
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                        "the store must be writable; nothing was changed"
                    }
                    _ => "the store needs a file system with locks; choose another place with --storage-path",
                };
                Error::new(Kind::Store, format!("cannot lock {}", path.display())).source(source).hint(hint)
            }
        })?;
        debris::sweep(&self.root, what);
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_and_gives_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let held = Lock::acquire(&path, Duration::ZERO, || {}).unwrap();
        let mut waited = false;
        let second = Lock::acquire(&path, Duration::from_millis(60), || waited = true);
        assert!(matches!(second, Err(LockError::Busy(_))) && waited);
        drop(held);
        Lock::acquire(&path, Duration::ZERO, || {}).unwrap();
    }
}
