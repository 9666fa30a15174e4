//! Bytes of the store's files, and what to say when they cannot be had.

use std::{fs, io, path::Path};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

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
