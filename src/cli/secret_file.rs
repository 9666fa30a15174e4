//! Secrets that come from a file or the standard input instead of an answer.

use std::{
    io::{self, Read},
    path::Path,
};

use rmachine_model::error::{Error, Result};
use zeroize::Zeroizing;

/// More than any passphrase or key.
const MOST: u64 = 64 << 10;

/// The first line of `path`, or of the standard input for `-`.
pub(super) fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let text = whole(path)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
        None => Err(Error::usage(format!("{} has no passphrase on its first line", shown(path)))),
    }
}

/// The text of `path`, or of the standard input for `-`.
pub(super) fn whole(path: &Path) -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(MOST).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Error::usage(format!("cannot read {}", shown(path))).source(e))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Error::usage(format!("{} is no text", shown(path)))),
    }
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "the standard input".to_owned() } else { path.display().to_string() }
}
