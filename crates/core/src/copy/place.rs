//! `[[USER@]MACHINE:]PATH`, as on the command line.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use rmachine_model::error::{Error, Result};
use rmachine_store::check_name;
use rmachine_text::printable;

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this computer.
    Here(PathBuf),
    /// On a machine.
    There {
        /// Login name, where it is not the machine's own.
        user: Option<String>,
        /// Name of the machine.
        machine: String,
        /// Path there; a relative one begins in the login user's home directory.
        path: Vec<u8>,
    },
}

impl Place {
    /// Reads it. What has a `/` before its first colon, or none, is a path of this computer, as is `localhost:PATH`.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`].
    pub fn parse(text: &OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(Error::usage("an empty path is no file").hint("`.` is the directory that you are in"));
        }
        let Some(colon) = bytes.iter().position(|b| *b == b':') else { return Ok(Self::Here(text.into())) };
        if bytes[..colon].contains(&b'/') {
            return Ok(Self::Here(text.into()));
        }
        let (host, path) = (&bytes[..colon], bytes[colon + 1..].to_vec());
        let no_machine = || {
            Error::usage(format!("{text:?} names no machine before its colon"))
                .hint("give [USER@]MACHINE:PATH, or ./PATH for a file of this computer with a colon in its name")
        };
        let host = std::str::from_utf8(host).map_err(|_| no_machine())?;
        let (user, machine) = match host.rsplit_once('@') {
            Some((user, machine)) => (Some(user), machine),
            None => (None, host),
        };
        if machine == "localhost" && user.is_none() {
            let path = if path.is_empty() { b".".to_vec() } else { path };
            return Ok(Self::Here(OsString::from_vec(path).into()));
        }
        let bad_user = |user: &str| user.is_empty() || user.starts_with('-') || user.contains(char::is_control);
        if user.is_some_and(bad_user) {
            return Err(no_machine());
        }
        check_name(machine).map_err(|_| no_machine())?;
        if path.contains(&0) {
            return Err(Error::usage("a path cannot hold a NUL character"));
        }
        Ok(Self::There { user: user.map(str::to_owned), machine: machine.to_owned(), path })
    }

    /// The machine, if it is on one.
    pub fn machine(&self) -> Option<&str> {
        match self {
            Self::Here(_) => None,
            Self::There { machine, .. } => Some(machine),
        }
    }
}

/// `directory/name`.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend(name);
    path
}

/// The last word of a path, where that is a name of its own: not of `.`, `..` and `/`.
pub(super) fn last(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|b| *b != b'/')? + 1;
    let begin = path[..end].iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let name = &path[begin..end];
    (name != b"." && name != b"..").then_some(name)
}

/// The directory that a path is in, and its last word.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b".", path),
    }
}

/// A name for a terminal: what would move its cursor is escaped.
pub(super) fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    String::from_utf8_lossy(path).chars().for_each(|c| printable::push(&mut text, c));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(user: Option<&str>, machine: &str, path: &str) -> Place {
        Place::There { user: user.map(str::to_owned), machine: machine.to_owned(), path: path.into() }
    }

    #[test]
    fn places_are_read_as_docker_machine_and_scp_read_them() {
        for (text, expected) in [
            ("a b", Place::Here("a b".into())),
            ("./m:a", Place::Here("./m:a".into())),
            ("/x/m:a", Place::Here("/x/m:a".into())),
            ("-r", Place::Here("-r".into())),
            ("localhost:/etc/hosts", Place::Here("/etc/hosts".into())),
            ("localhost:", Place::Here(".".into())),
            ("m:", there(None, "m", "")),
            ("m:/etc:x", there(None, "m", "/etc:x")),
            ("me@m:a'b\n", there(Some("me"), "m", "a'b\n")),
            ("a@b@m:x", there(Some("a@b"), "m", "x")),
        ] {
            assert_eq!(Place::parse(text.as_ref()).unwrap(), expected, "{text}");
        }
        for text in ["", ":x", "@m:x", "-o@m:x", "a b:x", "-m:x", "me@:x", "m:a\0"] {
            assert!(Place::parse(text.as_ref()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_are_taken_apart() {
        for (path, expected) in [
            ("a/b//", Some("b")),
            ("/b", Some("b")),
            ("b", Some("b")),
            ("/", None),
            ("..", None),
            ("a/.", None),
            ("", None),
        ] {
            assert_eq!(last(path.as_bytes()), expected.map(str::as_bytes), "{path}");
        }
        assert_eq!(split(b"/a"), (&b"/"[..], &b"a"[..]));
        assert_eq!(split(b"a/b"), (&b"a"[..], &b"b"[..]));
        assert_eq!(split(b"a"), (&b"."[..], &b"a"[..]));
        assert_eq!(join(b"/", b"a"), b"/a");
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(shown(b"a\x1b[2J\n\xff"), "a\\u{1b}[2J\\n\u{fffd}");
    }
}
