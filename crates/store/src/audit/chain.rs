//! The lines of the log: JSON, each with the SHA-256 of the one before it, so that a line that was changed, taken out or
//! put in shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::Event;

/// What the first line has for the hash of the one before.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Name of the event of a line that follows one which was cut off.
const TORN: &str = "line-torn";

/// Who writes.
#[derive(Debug, Clone, Serialize)]
pub struct Writer {
    /// Name of the user of the operating system; their number where they have none.
    pub user: String,
    /// Name of the computer.
    pub host: String,
    /// Number of the process.
    pub pid: u32,
    /// Name and version of the program.
    pub program: String,
}

/// One line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(flatten)]
    writer: &'a Writer,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
    previous: &'a str,
}

/// One line as it is read. Events that a later version wrote are read as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The user of the operating system.
    pub user: String,
    /// The computer.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Name and version of the program.
    pub program: String,
    /// The machine, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// What.
    pub event: String,
    /// Its particulars.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
    /// SHA-256 of the line before, in hexadecimal.
    pub previous: String,
}

/// The bytes to append after the line `last` (without its line break) for `events`, whole lines. `torn`: that line has no
/// line break, as its writer was killed.
///
/// # Errors
///
/// When an event cannot be written as JSON.
pub fn lines(
    last: Option<&[u8]>,
    torn: bool,
    writer: &Writer,
    at: OffsetDateTime,
    machine: Option<&str>,
    events: &[Event],
) -> serde_json::Result<Vec<u8>> {
    let mut previous = last.map_or_else(|| GENESIS.to_owned(), hash);
    let mut bytes = Vec::new();
    if torn {
        bytes.push(b'\n');
    }
    let said = torn.then_some((None, &Event::LineTorn));
    for (machine, event) in said.into_iter().chain(events.iter().map(|event| (machine, event))) {
        let line = serde_json::to_vec(&Line { at, writer, machine, event, previous: &previous })?;
        previous = hash(&line);
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A log that was read.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The lines that read, in order, with their numbers from 1.
    pub entries: Vec<(usize, Entry)>,
    /// Numbers of the lines that were cut off when their writers were killed.
    pub torn: Vec<usize>,
    /// The first line with which the chain does not hold.
    pub broken: Option<Break>,
    /// SHA-256 of the last line: who keeps it elsewhere sees later whether lines were taken off the end.
    pub head: String,
}

impl Chain {
    /// Reads the bytes of a log, whatever they are.
    pub fn read(bytes: &[u8]) -> Self {
        let mut chain = Self { entries: Vec::new(), torn: Vec::new(), broken: None, head: GENESIS.to_owned() };
        // The number of a line that does not read, until the next one says that it was cut off.
        let mut unread = None;
        let mut rest = bytes;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let (line, ended) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let line = &rest[..at];
                    rest = &rest[at + 1..];
                    (line, true)
                }
                None => (std::mem::take(&mut rest), false),
            };
            let before = std::mem::replace(&mut chain.head, hash(line));
            let entry = serde_json::from_slice::<Entry>(line).ok();
            let (unread_before, is_torn_mark) =
                (unread.take(), entry.as_ref().is_some_and(|entry| entry.event == TORN));
            match unread_before {
                Some(cut) if is_torn_mark => chain.torn.push(cut),
                Some(cut) => chain.broken_at(cut, "it does not read"),
                None => {}
            }
            match entry {
                // A whole line whose line break alone is missing was cut off as well; its successor says so.
                Some(entry) => {
                    if entry.previous != before {
                        chain.broken_at(number, "it does not follow the line before it");
                    } else if is_torn_mark && unread_before.is_none() {
                        chain.torn.push(number - 1);
                    }
                    if !ended {
                        chain.torn.push(number);
                    }
                    chain.entries.push((number, entry));
                }
                None if ended => unread = Some(number),
                None => chain.torn.push(number),
            }
        }
        if let Some(cut) = unread {
            chain.broken_at(cut, "it does not read");
        }
        chain
    }

    fn broken_at(&mut self, line: usize, what: &'static str) {
        if self.broken.as_ref().is_none_or(|known| line < known.line) {
            self.broken = Some(Break { line, what });
        }
    }
}

fn hash(line: &[u8]) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
