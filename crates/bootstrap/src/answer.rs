//! Answers of the host scripts: `KEY=VALUE` lines, some values base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Error, Result};

/// How many lines are taken; a script's answer has a few dozen.
const MOST_LINES: usize = 1024;
/// How much is kept of what a script says besides its answer.
const LAST_WORDS: usize = 4096;
/// How long a fact is, in bytes; a name, a version or a system's title is shorter.
const LONGEST_FACT: usize = 256;

/// The lines of an answer, in order; keys may repeat.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer(Vec<(String, String)>);

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        String::from_utf8_lossy(bytes).lines().for_each(|line| answer.take(line));
        answer
    }

    /// Takes one line; what is no `KEY=VALUE` (a banner, a shell's greeting) is left out.
    pub(super) fn take(&mut self, line: &str) {
        if let Some((key, value)) = line.trim_end_matches('\r').split_once('=')
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            && self.0.len() < MOST_LINES
        {
            self.0.push((key.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// A short value; what is longer than any fact is cut.
    pub(super) fn text(&self, key: &str) -> String {
        let text = self.get(key).unwrap_or_default();
        text[..text.floor_char_boundary(LONGEST_FACT)].to_owned()
    }

    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Whether the value is `yes`.
    pub(super) fn is(&self, key: &str) -> bool {
        self.get(key) == Some("yes")
    }

    /// A base64 value as text; empty when it is missing or does not read.
    pub(super) fn decoded(&self, key: &str) -> String {
        self.get(key).map(decode).unwrap_or_default()
    }

    /// The answer, if its script came to its end.
    pub(super) fn complete(self) -> Result<Self> {
        if self.is("end") { Ok(self) } else { Err(Error::Script("its answer is cut short".to_owned())) }
    }
}

/// The end of what a script said besides its answer, without the space around it.
pub(super) fn last_words(text: &str) -> &str {
    let text = text.trim();
    &text[text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS))..]
}

/// Adds `line` to what was said, of which the end is kept.
pub(super) fn keep_last(said: &mut String, line: &str) {
    said.push_str(line);
    if said.len() > 2 * LAST_WORDS {
        *said = last_words(said).to_owned();
    }
}

pub(super) fn decode(text: &str) -> String {
    STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Answer, LAST_WORDS, MOST_LINES, keep_last};

    #[test]
    fn banners_are_left_out() {
        let answer = Answer::parse(b"Welcome to Foo 1=2\nos_id=debian\r\naddress=1\naddress=2\nX=3\nlog=aGk=\n");
        assert_eq!(answer.get("os_id"), Some("debian"));
        assert_eq!(answer.all("address").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(answer.get("X"), None);
        assert_eq!(answer.decoded("log"), "hi");
        assert!(answer.complete().is_err());
    }

    #[test]
    fn an_answer_without_end_costs_nothing_and_is_none() {
        let endless = Answer::parse(&[b"a=1\n".repeat(100_000), b"end=yes\n".to_vec()].concat());
        assert_eq!(endless.0.len(), MOST_LINES);
        assert!(endless.complete().is_err(), "it is cut short");
        assert_eq!(Answer::parse(format!("hostname={}", "ü".repeat(9999)).as_bytes()).text("hostname").len(), 256);
        let mut said = String::new();
        (0..10_000).for_each(|n| keep_last(&mut said, &format!("wörd {n}")));
        assert!(said.len() < 3 * LAST_WORDS && said.ends_with("wörd 9999"));
    }
}
