//! How many cases the property tests try, and the texts that most of them try.

use proptest::{prelude::*, test_runner::Config};

/// 10,000; a million where `RMACHINE_PROPTEST_FULL` is set, as `tests/run --full` does. Where one process or one template
/// takes `batch` values, each value is a case.
pub fn config(batch: u32) -> Config {
    let full = std::env::var("RMACHINE_PROPTEST_FULL").is_ok_and(|value| !value.is_empty());
    let cases = if full { 1_000_000 } else { 10_000 };
    // Nothing is written beside the sources; a failure prints its smallest case. That of a batch names its value anyway.
    let max_shrink_iters = if batch > 1 { 50 } else { 10_000 };
    Config { cases: (cases / batch).max(1), failure_persistence: None, max_shrink_iters, ..Config::default() }
}

/// Values that one process or one template takes.
pub const BATCH: u32 = 500;

/// A batch of values. The one that fails is in the message, and the others would hide it.
pub struct Batch<T>(
    /// The values.
    pub Vec<T>,
);

impl<T> std::fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

/// [`BATCH`] of `value`.
pub fn batch<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Batch<T>> {
    prop::collection::vec(value, BATCH as usize).prop_map(Batch)
}

/// What some shell, parser or file format gives a meaning. If a quoting fails, the shell of the tests runs these.
const FRAGMENTS: [&str; 43] = [
    "a",
    " ",
    "  ",
    "'",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "$(echo x)",
    "`echo x`",
    "$HOME",
    "${HOME}",
    "$",
    "%",
    "%n",
    "%PATH%",
    "%%",
    "!",
    "!!",
    "!x",
    "{{ x }}",
    "{% raw %}",
    "#",
    "# ",
    ";",
    "& echo x",
    "| cat",
    ">made",
    "<",
    "*",
    "~",
    "[a-z]",
    "=",
    ",",
    ":",
    "--==rmachine==",
    "\u{85}\u{2028}\u{feff}",
    "\u{2018}\u{2019}\u{201a}\u{201b}",
    "\u{201c}",
    "\u{201d}",
    "\u{201e}",
    "-",
];

/// A text of any characters but NUL, and of what means something to somebody.
pub fn text() -> impl Strategy<Value = String> {
    texts(0..20)
}

/// As [`text`], of as many pieces as `length` says. Numbers stand for the pieces: regular expressions take thirty times as
/// long to generate, and these shrink as well.
pub fn texts(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u32>(), length).prop_map(|picks| {
        let mut text = String::with_capacity(picks.len() * 4);
        picks.into_iter().for_each(|pick| push(&mut text, pick));
        text
    })
}

fn push(text: &mut String, pick: u32) {
    let (kind, rest) = (pick % 4, pick / 4);
    let scalar = match kind {
        0 => return text.push_str(FRAGMENTS[rest as usize % FRAGMENTS.len()]),
        1 => u32::from(b' ') + rest % 95,
        2 => 1 + rest % 0x2ff,
        _ => 1 + rest % 0x10_ffff,
    };
    text.push(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// Any text of these characters, for where a grammar would refuse nearly all others at once.
pub fn of(characters: &'static str, length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let all: Vec<char> = characters.chars().collect();
    prop::collection::vec(0..all.len(), length).prop_map(move |picks| picks.into_iter().map(|pick| all[pick]).collect())
}

/// As [`text`], on one line.
pub fn line() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\n', '\r'], " "))
}

/// What a host, an engine or a record may say to make a terminal do something, or to look like a line of ours.
const HOSTILE: [&str; 18] = [
    "\u{1b}[2J",
    "\u{1b}]52;c;Zm9v\u{7}",
    "\u{1b}]0;title\u{1b}\\",
    "\u{1b}[8m",
    "\u{1b}c",
    "\u{9b}31m",
    "\u{90}q\u{9c}",
    "\u{7f}\u{8}\u{8}",
    "\0",
    "\r",
    "\nError: forged",
    "\r\nHint: forged",
    "\u{2028}Caused by: forged",
    "\u{85}Warning: forged",
    "\u{202e}txt.exe",
    "\u{2066}\u{2069}\u{202a}\u{202d}",
    "\u{200e}\u{200f}\u{61c}",
    "\n\n\n",
];

/// As [`text`], with NUL and what is hostile to a terminal.
pub fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![prop::sample::select(HOSTILE.as_slice()).prop_map(str::to_owned), texts(1..4)];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn texts_are_of_every_kind() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let all: String = (0..2000).map(|_| text().new_tree(&mut runner).unwrap().current()).collect();
    for fragment in FRAGMENTS {
        assert!(all.contains(fragment), "{fragment:?}");
    }
    let has = |test: fn(char) -> bool| all.chars().any(test);
    assert!(has(|c| c.is_control()) && has(|c| u32::from(c) > 0xffff) && has(|c| c.is_ascii_uppercase()));
    assert!(!all.contains('\0'));
}
