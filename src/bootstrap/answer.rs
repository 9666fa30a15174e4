//! Answers of the host scripts: `KEY=VALUE` lines, some values base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Error, Result};

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
        {
            self.0.push((key.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default().to_owned()
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

pub(super) fn decode(text: &str) -> String {
    STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn banners_are_left_out() {
        let answer = Answer::parse(b"Welcome to Foo 1=2\nos_id=debian\r\naddress=1\naddress=2\nX=3\nlog=aGk=\n");
        assert_eq!(answer.get("os_id"), Some("debian"));
        assert_eq!(answer.all("address").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(answer.get("X"), None);
        assert_eq!(answer.decoded("log"), "hi");
        assert!(answer.complete().is_err());
    }
}
