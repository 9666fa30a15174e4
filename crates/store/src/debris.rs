//! What killed processes leave: temporary files, and directories that were being made or removed. All of it has a
//! leading dot, so that nobody takes it for a machine; whoever holds the lock next sweeps it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::atomic;

/// Where the directory of machine `name` is filled before it gets its own name.
pub(super) fn unfinished(root: &Path, name: &str) -> PathBuf {
    root.join("machines").join(format!(".new-{name}-{:08x}", rand::random::<u32>()))
}

/// Removes what earlier processes left that held the lock of `what`; the caller holds it now.
///
/// What cannot be removed stays until the next time: it is in nobody's way.
pub(super) fn sweep(root: &Path, what: &str) {
    match what.strip_prefix("machine-") {
        Some(name) => sweep_machine(root, name),
        None if what == "ca" => sweep_files(&root.join("certs")),
        None => sweep_files(root),
    }
}

/// Removes what is left of earlier processes that worked on machine `name`.
pub(super) fn sweep_machine(root: &Path, name: &str) {
    let machines = root.join("machines");
    for entry in names(&machines) {
        if is_of(&entry, name) {
            let path = machines.join(entry);
            if let Err(error) = atomic::delete_directory(&path) {
                tracing::debug!("{} stays: {error}", path.display());
            }
        }
    }
    sweep_files(&machines.join(name));
}

/// How old a temporary directory is that nobody works in any more: no lock says so.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// Removes temporary files in `directory`, and old temporary directories.
fn sweep_files(directory: &Path) {
    for entry in names(directory).into_iter().filter(|entry| entry.starts_with(atomic::TEMPORARY)) {
        let path = directory.join(entry);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {
                let age = found.modified().ok().and_then(|time| time.elapsed().ok());
                if age.is_none_or(|age| age < OLD) {
                    continue;
                }
                atomic::delete_directory(&path)
            }
            _ => fs::remove_file(&path),
        };
        if let Err(error) = removed {
            tracing::debug!("{} stays: {error}", path.display());
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    // A directory that cannot be read has nothing to sweep.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether `entry` is a directory that was being made or removed for machine `name`, and no other.
fn is_of(entry: &str, name: &str) -> bool {
    [".new-", atomic::REMOVED].iter().any(|prefix| {
        let rest = entry.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(name)?.strip_prefix('-'));
        rest.is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_debris_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let machines = root.path().join("machines");
        let (ours, others) = (
            [".new-a-00000001", ".removed-a-deadbeef"],
            [".new-a-b-00000001", ".removed-b-deadbeef", ".new-a-12345678-00000001", ".removed-a-x", "a", "b"],
        );
        for directory in ours.iter().chain(&others) {
            atomic::create_directory(&machines.join(directory).join("deep")).unwrap();
        }
        for file in ["a/.tmp-1", "a/config.json", "b/.tmp-1"] {
            atomic::write(&machines.join(file), b"", atomic::PRIVATE).unwrap();
        }
        sweep_machine(root.path(), "a");
        let mut left = names(&machines);
        left.sort();
        let mut expected = others.to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert!(machines.join("a/config.json").exists() && machines.join("b/.tmp-1").exists());
        assert!(!machines.join("a/.tmp-1").exists());
    }
}
