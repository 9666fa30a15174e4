//! The one way to write under the store: whole and durable, or not at all.

#![allow(clippy::disallowed_methods, reason = "this is the place that the ban points to")]

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rmachine_model::effect;
use tempfile::{NamedTempFile, PersistError};

/// Mode of files that only the owner reads.
pub const PRIVATE: u32 = 0o600;
/// How the names of temporary files begin.
pub(super) const TEMPORARY: &str = ".tmp-";
/// How the names of directories begin that are being removed.
pub(super) const REMOVED: &str = ".removed-";
/// Mode of directories that only the owner enters.
pub(super) const PRIVATE_DIRECTORY: u32 = 0o700;

/// Replaces `path` by `bytes` with permission bits `mode`.
///
/// Writes a temporary file beside it, syncs it, renames it over `path` and syncs the directory:
/// after a crash or on a full disk the old content is there, whole.
///
/// # Errors
///
/// When a step fails; the temporary file is removed.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_with(path, bytes, mode, |file| file.persist(path))
}

/// Writes `path` as [`write`] does, never over something that is there.
///
/// # Errors
///
/// When a step fails, and [`io::ErrorKind::AlreadyExists`].
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_with(path, bytes, mode, |file| file.persist_noclobber(path))
}

fn write_with(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    persist: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    effect::before("write", last(path));
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY).permissions(Permissions::from_mode(mode)).tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    effect::amid("write", last(path));
    persist(file).map_err(|e| e.error)?;
    effect::after("write", last(path));
    sync_directory(directory)
}

/// Writes the small file `path` in its place: nothing is lost when a half of it is there, and no lock is needed that
/// another process sweeps under. Only its owner reads it.
///
/// # Errors
///
/// When it cannot be written.
pub fn mark(path: &Path, bytes: &[u8]) -> io::Result<()> {
    effect::before("mark", last(path));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    effect::amid("mark", last(path));
    file.write_all(bytes)?;
    effect::after("mark", last(path));
    Ok(())
}

/// Opens the empty log `path`, for a process that appends to it. Only its owner reads it.
///
/// # Errors
///
/// When it cannot be made.
pub fn new_log(path: &Path) -> io::Result<File> {
    effect::before("mark", last(path));
    let log = OpenOptions::new().append(true).create(true).mode(PRIVATE).open(path)?;
    log.set_len(0)?;
    effect::after("mark", last(path));
    Ok(log)
}

/// Appends `bytes`, whole lines, to the log `file` at `path`, durably: all of them, or none where they do not fit.
///
/// # Errors
///
/// When they cannot be written; the log is as long as before then.
pub(super) fn append(mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    effect::before("append", last(path));
    let written = file.write_all(bytes).and_then(|()| {
        effect::amid("append", last(path));
        file.sync_all()
    });
    if let Err(error) = written {
        file.set_len(length)?;
        return Err(error);
    }
    effect::after("append", last(path));
    if length == 0 { path.parent().map_or(Ok(()), sync_directory) } else { Ok(()) }
}

/// Opens the log `path` to read it and append to it. Only its owner reads it.
///
/// # Errors
///
/// When it cannot be opened or made.
pub(super) fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE).open(path)
}

/// Removes the file `path`.
///
/// # Errors
///
/// When it cannot be removed, or is missing.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    effect::before("delete", last(path));
    fs::remove_file(path)?;
    effect::after("delete", last(path));
    Ok(())
}

/// Whether a file is one that [`write`] had not finished.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Makes `path` and its parents, those that are new with mode 0700.
///
/// # Errors
///
/// When one cannot be made.
pub fn create_directory(path: &Path) -> io::Result<()> {
    effect::before("mkdir", last(path));
    fs::DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path)?;
    effect::after("mkdir", last(path));
    Ok(())
}

/// Removes the directory `path` with all in it, so that nobody sees it half removed: it first
/// gets a name with a leading dot. Missing is success.
///
/// # Errors
///
/// When it cannot be renamed or removed.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("not a directory below another"));
    };
    let hidden = parent.join(format!("{REMOVED}{}-{:08x}", name.to_string_lossy(), rand::random::<u32>()));
    effect::before("remove", last(path));
    match fs::rename(path, &hidden) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    effect::amid("remove", last(path));
    sync_directory(parent)?;
    fs::remove_dir_all(&hidden)?;
    effect::after("remove", last(path));
    Ok(())
}

/// Removes the directory `path`, which nobody sees, with all in it.
///
/// # Errors
///
/// When it cannot be removed.
pub(super) fn delete_directory(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// Gives the directory `from` the new path `to`, on the same file system, durably.
///
/// # Errors
///
/// When it cannot be renamed.
pub fn move_directory(from: &Path, to: &Path) -> io::Result<()> {
    effect::before("move", last(to));
    fs::rename(from, to)?;
    effect::after("move", last(to));
    for path in [from, to] {
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}

fn last(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_content_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("a");
        assert!(write(&path, b"one", PRIVATE).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn removing_a_missing_directory_is_success() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        create_directory(&path.join("deep")).unwrap();
        remove_directory(&path).unwrap();
        remove_directory(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
