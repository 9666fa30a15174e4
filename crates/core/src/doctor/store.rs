//! The store's directory: can it be written, who can read it, what did killed processes leave in it.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rmachine_provider_api::Finding;
use rmachine_store::{Store, file};
use time::{Duration, OffsetDateTime};

use super::failed;

/// Less room than this is said: a machine's files are some 50 KB, but engines and images fill disks fast.
const LITTLE_ROOM: u64 = 64 << 20;
/// What a write or an rm that is under way may be at most.
const UNDER_WAY: Duration = Duration::hours(1);

/// Looks at the store as it is at `now`.
pub(super) fn check(store: &Store, now: OffsetDateTime) -> Vec<Finding> {
    let root = store.root();
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return vec![Finding::bad(
                "place",
                format!("{} is no directory", root.display()),
                "move it away, or choose another place with --storage-path DIR",
            )];
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![not_there(root)],
        Err(error) => return vec![unwritable(root, &error)],
    }
    let mut findings = vec![write_and_lock(root)];
    if let Ok(Some(room)) = room(root).as_ref().map(little) {
        findings.push(room);
    }
    let mut walk = Walk::default();
    walk.directory(root, true);
    findings.extend(walk.findings(root, now));
    match store.owner() {
        Ok(Some(_)) => {}
        Ok(None) if walk.files == 0 => {}
        Ok(None) => findings.push(Finding::warning(
            "id",
            format!("{} is missing, by which clouds know what belongs to this store", root.join("rmachine.json").display()),
            "restore it from a backup; else the next create makes another one, and machines keep the one in their records",
        )),
        Err(error) => findings.push(failed("id", &error)),
    }
    findings.extend(tombstones(&store.tombstones()));
    findings
}

/// No store yet: whether one could be made.
fn not_there(root: &Path) -> Finding {
    let above = root.ancestors().skip(1).find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(above, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => Finding::good("place", format!("{} is not there yet; the first create makes it", root.display())),
        Err(error) => unwritable(root, &error.into()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Finding {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some room on that disk".to_owned(),
        io::ErrorKind::PermissionDenied => format!("`sudo chown -R $(id -u) {}`", quoted(path)),
        _ => "choose another place with --storage-path DIR".to_owned(),
    };
    Finding::bad("place", format!("{} cannot be written: {error}", path.display()), remedy)
}

/// Writes a temporary file and locks it, as every command does; it is gone when this returns.
fn write_and_lock(root: &Path) -> Finding {
    let written = || -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(root)?;
        file.write_all(&[0; 4096])?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    let file = match written() {
        Ok(file) => file,
        Err(error) => return unwritable(root, &error),
    };
    if let Err(fs::TryLockError::Error(error)) = file.as_file().try_lock() {
        return Finding::bad(
            "place",
            format!("the file system of {} has no locks: {error}", root.display()),
            "choose another place with --storage-path DIR",
        );
    }
    let free = room(root).map(|bytes| format!(", {} free", size(bytes))).unwrap_or_default();
    Finding::good("place", format!("{} can be written and locked{free}", root.display()))
}

/// Bytes that are free where `path` is.
fn room(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn little(room: &u64) -> Option<Finding> {
    (*room < LITTLE_ROOM).then(|| {
        Finding::warning(
            "room",
            format!("only {} are free where the store is", size(*room)),
            "free some room on that disk",
        )
    })
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

/// What was seen below the store's directory.
#[derive(Debug, Default)]
struct Walk {
    files: usize,
    open_files: Vec<PathBuf>,
    open_directories: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
    closed: Vec<(PathBuf, io::Error)>,
    leftovers: Vec<(PathBuf, OffsetDateTime)>,
}

/// Directories of ours below the root; what else is there is not looked at.
const OURS: [&str; 4] = ["machines", "certs", "locks", "tombstones"];

impl Walk {
    fn directory(&mut self, path: &Path, is_root: bool) {
        let entries = match fs::symlink_metadata(path).and_then(|found| Ok((found, fs::read_dir(path)?))) {
            Ok((found, entries)) => {
                self.owner(path, &found);
                if found.mode() & 0o077 != 0 {
                    self.open_directories.push(path.to_owned());
                }
                entries
            }
            Err(error) => return self.closed.push((path.to_owned(), error)),
        };
        // A file system that is mounted read-only was said with the place.
        let access = rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
        if access == Err(rustix::io::Errno::ACCESS) {
            self.closed.push((path.to_owned(), io::ErrorKind::PermissionDenied.into()));
        }
        for entry in entries {
            let (path, found) = match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok(seen) => seen,
                // It went between the list and the look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.closed.push((path.to_owned(), error));
                    continue;
                }
            };
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if [".tmp-", ".new-", ".removed-"].iter().any(|prefix| name.starts_with(prefix)) {
                // The time of the last change of any kind: a rename sets it, too.
                let since = OffsetDateTime::from_unix_timestamp(found.ctime()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
                self.leftovers.push((path, since));
            } else if found.is_dir() && (!is_root || OURS.contains(&name.as_str())) {
                self.directory(&path, false);
            } else if found.is_file() && (!is_root || name == "rmachine.json") {
                self.files += 1;
                self.owner(&path, &found);
                if is_secret(&name) && found.mode() & 0o077 != 0 {
                    self.open_files.push(path);
                }
            }
        }
    }

    fn owner(&mut self, path: &Path, found: &fs::Metadata) {
        if found.uid() != rustix::process::geteuid().as_raw() {
            self.foreign.push(path.to_owned());
        }
    }

    fn findings(&self, root: &Path, now: OffsetDateTime) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.open_files.is_empty() {
            findings.push(Finding::bad(
                "permissions",
                format!("others can read or change what gives root on the machines: {}", list(&self.open_files)),
                format!("`chmod 600 {}`", arguments(&self.open_files)),
            ));
        }
        if !self.open_directories.is_empty() {
            findings.push(Finding::warning(
                "permissions",
                format!("others can look into {}", list(&self.open_directories)),
                format!("`chmod 700 {}`", arguments(&self.open_directories)),
            ));
        }
        for (path, error) in &self.closed {
            findings.push(Finding::bad(
                "permissions",
                format!("{} cannot be used: {error}", path.display()),
                format!("`chmod 700 {}`", quoted(path)),
            ));
        }
        if !self.foreign.is_empty() {
            let text = format!("another user owns {}", list(&self.foreign));
            let remedy = format!("`sudo chown -R $(id -u) {}`", quoted(root));
            let is_root = rustix::process::geteuid().is_root();
            findings.push(if is_root {
                Finding::warning("owner", text, format!("work as that user, or {remedy}"))
            } else {
                Finding::bad("owner", text, remedy)
            });
        }
        if findings.is_empty() && self.files > 0 {
            findings.push(Finding::good("permissions", format!("{} files, and nobody else can read them", self.files)));
        }
        let old: Vec<PathBuf> =
            self.leftovers.iter().filter(|(_, since)| now - *since > UNDER_WAY).map(|(path, _)| path.clone()).collect();
        if !old.is_empty() {
            findings.push(Finding::warning(
                "leftovers",
                format!("a process that was killed left {}", list(&old)),
                format!("`rm -r {}`", arguments(&old)),
            ));
        }
        findings
    }
}

/// Whether a file holds a secret: all do that are not known to be public.
fn is_secret(name: &str) -> bool {
    const PUBLIC: [&str; 4] = [file::CA_CERT, file::CLIENT_CERT, file::SERVER_CERT, "rmachine.json"];
    !PUBLIC.contains(&name) && !name.ends_with(".pub") && !name.ends_with(".lock")
}

fn tombstones(directory: &Path) -> Option<Finding> {
    // One that cannot be read was said with the permissions.
    let Ok(entries) = fs::read_dir(directory) else { return None };
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|n| !n.starts_with('.'))
        .collect();
    (!names.is_empty()).then(|| {
        Finding::warning(
            "tombstones",
            format!("forgotten by force, and something may be left of them: {}", names.join(", ")),
            "`rmachine gc --yes` removes what is left",
        )
    })
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn arguments(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(" ")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Health;

    use super::*;
    use rmachine_store::atomic;

    #[test]
    fn what_killed_processes_left_is_said_when_it_is_old() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::at(base.path().join("it's a store"));
        store.prepare().unwrap();
        atomic::create_directory(&store.root().join("machines/.removed-m-00000001")).unwrap();
        atomic::create_directory(&store.machine_directory("m")).unwrap();
        atomic::write(&store.machine_file("m", ".tmp-abc"), b"", atomic::PRIVATE).unwrap();
        let now = OffsetDateTime::now_utc();
        let ill = |now| check(&store, now).into_iter().filter(|f| f.health != Health::Good).collect::<Vec<_>>();
        assert_eq!(ill(now), [], "a command may be at work");
        let old = ill(now + Duration::hours(2));
        assert_eq!((old.len(), old[0].subject.as_str()), (1, "leftovers"), "{old:?}");
        assert!(old[0].text.contains(".removed-m-00000001") && old[0].text.contains("m/.tmp-abc"));
        // The remedy can be pasted into a shell, wherever the store is.
        let command = old[0].remedy.as_ref().unwrap().trim_matches('`').to_owned();
        assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        assert_eq!(ill(now + Duration::hours(2)), []);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_a_warning() {
        assert_eq!(little(&(64 << 20)), None);
        assert_eq!(little(&(3 << 20)).unwrap().text, "only 3 MiB are free where the store is");
    }
}
