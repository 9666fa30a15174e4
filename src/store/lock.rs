//! Locks between processes: one a machine, one for the CA.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::effect;

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
