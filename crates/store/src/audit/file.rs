//! `audit.jsonl`: the file of the audit log. It is locked itself while a line is appended, so that the hash of the last
//! one is that of the last one.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rmachine_model::error::{Error, Kind, Result};
use time::OffsetDateTime;

use super::{Event, Writer};
use crate::{Store, atomic, bytes::cannot};

/// How long a process waits for others to append, which takes each of them a moment.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);
/// How much of the end is read at a time.
const CHUNK: u64 = 8192;

impl Store {
    /// Where the audit log is.
    pub fn audit_log(&self) -> PathBuf {
        self.root().join("audit.jsonl")
    }

    /// Appends `events`, about `machine` where that is one, to the audit log.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; nothing is appended then.
    pub fn audit(&self, machine: Option<&str>, events: &[Event]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let path = self.audit_log();
        let failed = |e| cannot("write", &path, e);
        let mut file = match lock(&path) {
            // `gc` works for a store that was lost as well.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                atomic::create_directory(self.root()).and_then(|()| lock(&path)).map_err(failed)?
            }
            locked => locked.map_err(failed)?,
        };
        let (last, torn) = last_line(&mut file).map_err(failed)?;
        // By the time of its turn, so that the lines are in order.
        let lines = super::lines(last.as_deref(), torn, &writer(), OffsetDateTime::now_utc(), machine, events)
            .map_err(|e| Error::new(Kind::Store, "the audit log's line cannot be written as JSON").source(e))?;
        atomic::append(&file, &path, &lines).map_err(failed)
    }
}

/// Opens the log for a line of ours. One that was moved aside meanwhile is not the log any more.
fn lock(path: &Path) -> io::Result<File> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = atomic::open_log(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds its lock"));
                }
            }
        }
        let (held, there) = (file.metadata()?, std::fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

/// The last line without its line break, and whether that is missing.
fn last_line(file: &mut File) -> io::Result<(Option<Vec<u8>>, bool)> {
    let mut start = file.metadata()?.len();
    let mut end = Vec::new();
    while start > 0 {
        let size = start.min(CHUNK);
        start -= size;
        let mut chunk = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(size).read_to_end(&mut chunk)?;
        chunk.append(&mut end);
        end = chunk;
        // The last byte is the line's own break.
        if let Some(at) = end[..end.len().saturating_sub(1)].iter().rposition(|byte| *byte == b'\n') {
            end.drain(..=at);
            break;
        }
    }
    let whole = end.last() == Some(&b'\n');
    if whole {
        end.pop();
    }
    let empty = end.is_empty() && !whole;
    Ok(((!empty).then_some(end), !empty && !whole))
}

/// This process.
fn writer() -> Writer {
    Writer {
        user: user(),
        host: host(),
        pid: std::process::id(),
        program: concat!("rmachine ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// The name of the user that the process runs as (passwd(5)), not what the environment says; a number without one.
fn user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// The computer's name.
fn host() -> String {
    let kernel =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    kernel.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Chain;

    fn log_of(store: &Store) -> Vec<u8> {
        std::fs::read(store.audit_log()).unwrap()
    }

    #[test]
    fn many_writers_make_one_chain() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(directory.path());
        thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..10 {
                        // Some lines are longer than what is read at a time.
                        let names = vec!["x".repeat(3000); writer];
                        let event = Event::Collected {
                            driver: "d".into(),
                            owner: "o".into(),
                            token: "t".into(),
                            resources: names,
                        };
                        store.audit(Some("m"), &[event, Event::Removed]).unwrap();
                    }
                });
            }
        });
        let chain = Chain::read(&log_of(&store));
        assert_eq!((chain.entries.len(), chain.broken, chain.torn), (160, None, vec![]));
        let entry = &chain.entries[0].1;
        assert_eq!((entry.pid, entry.user.is_empty(), entry.host.is_empty()), (std::process::id(), false, false));
    }

    #[test]
    fn a_log_that_was_moved_aside_is_followed_by_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(directory.path());
        store.audit(None, &[Event::Removed]).unwrap();
        let aside = directory.path().join("audit-1.jsonl");
        #[allow(clippy::disallowed_methods, reason = "as a user does it")]
        std::fs::rename(store.audit_log(), &aside).unwrap();
        store.audit(None, &[Event::Removed]).unwrap();
        assert_eq!(Chain::read(&log_of(&store)).entries.len(), 1);
        assert_eq!(Chain::read(&std::fs::read(aside).unwrap()).entries.len(), 1);
    }
}
