//! Bytes of the store's files, and what to say when they cannot be had.

use std::{fs, io, path::Path};

use rmachine_model::error::{Error, Kind, Result};
use serde::Serialize;

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8192);
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, serde_json::ser::PrettyFormatter::with_indent(b"    "));
    value
        .serialize(&mut serializer)
        .map_err(|e| Error::new(Kind::Store, "the record cannot be written as JSON").source(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(super) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(cannot("read", path, e)),
    }
}

/// Most bytes of a file in a store that others wrote; theirs have some KB.
const MOST: u64 = 16 << 20;

/// The same of a store at `root` that others wrote: a link may lead to any file of this computer, and is refused where it
/// leads out of the store; so is what is no file, or too large.
pub(super) fn read_within(root: &Path, path: &Path) -> Result<Option<Vec<u8>>> {
    let whole = match fs::canonicalize(path) {
        Ok(whole) => whole,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(cannot("read", path, e)),
    };
    let root = fs::canonicalize(root).map_err(|e| cannot("read", root, e))?;
    let refused = |why: &str| {
        Err(Error::new(Kind::Store, format!("{} is not taken: {why}", path.display()))
            .hint("put a copy there, if it belongs to the machine"))
    };
    if !whole.starts_with(&root) {
        return refused(&format!("it leads to {}, outside of {}", whole.display(), root.display()));
    }
    let found = fs::metadata(&whole).map_err(|e| cannot("read", path, e))?;
    if !found.is_file() {
        return refused("it is no file");
    }
    if found.len() > MOST {
        return refused("it is too large");
    }
    read_optional(&whole)
}

pub(super) fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some room on that disk; nothing was changed")
        }
        io::ErrorKind::NotADirectory => Some("choose another place with --storage-path DIR"),
        _ => None,
    };
    let error = Error::new(Kind::Store, format!("cannot {what} {}", path.display())).source(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

pub(super) fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Store, format!("{} is damaged", path.display()))
        .source(error)
        .hint("restore the file from a backup")
}
