//! The one filter for text that others wrote (hosts, engines, clouds, records), before it reaches a terminal, a table or
//! an error: whoever prints goes through it, so that no text moves the cursor, turns the reading direction, or looks like
//! a line of ours.
//!
//! A terminal obeys the control characters of ECMA-48 (C0, DEL, C1). The marks of Unicode's bidirectional algorithm (UAX
//! 9) show a text in another order than that of its characters.

use std::borrow::Cow;

/// The longest text of one line that is printed, in characters.
const LONGEST_LINE: usize = 4096;

/// Whether a terminal does something else with `c` than to show it.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || is_bidi_mark(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

fn is_bidi_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` as one line of bounded length: line breaks and tabs are spaces, what else a terminal would obey is escaped.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_LINE && !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(2 * LONGEST_LINE));
    let mut rest = text.trim_end_matches(['\r', '\n']).chars().peekable();
    let mut count = 0;
    while let Some(c) = rest.next() {
        if count == LONGEST_LINE {
            shown.push('…');
            break;
        }
        count += 1;
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => shown.push(' '),
            c => push(&mut shown, c),
        }
    }
    Cow::Owned(shown)
}

/// `text` with its lines and tabs, and nothing else that a terminal would obey.
pub fn block(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_hidden(c) && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\t' => shown.push(c),
            c => push(&mut shown, c),
        }
    }
    Cow::Owned(shown)
}

/// [`block`] in which every line but the first is indented, so that none looks like a line of ours.
pub fn indented(text: &str) -> String {
    block(text).replace('\n', "\n  ")
}

/// One event of the log, which ends with a line break, with the colours (SGR, ECMA-48 section 8.3.117) of the logger.
pub fn event(text: &str) -> String {
    let (body, end) = text.strip_suffix('\n').map_or((text, ""), |body| (body, "\n"));
    let mut shown = String::with_capacity(text.len());
    for (index, part) in body.split('\u{1b}').enumerate() {
        let colour = part.strip_prefix('[').and_then(|sequence| {
            let length = sequence.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
            sequence[length..].starts_with('m').then_some(length + 2)
        });
        match colour.filter(|_| index > 0) {
            Some(length) => {
                shown.push('\u{1b}');
                shown.push_str(&part[..length]);
                shown.push_str(&indented(&part[length..]));
            }
            None if index > 0 => shown.push_str(&format!("\\u{{1b}}{}", indented(part))),
            None => shown.push_str(&indented(part)),
        }
    }
    shown + end
}

/// Pushes `c`, or how Rust would write it in a literal.
pub fn push(shown: &mut String, c: char) {
    if !is_hidden(c) {
        shown.push(c);
    } else if c.is_control() {
        shown.extend(c.escape_default());
    } else {
        shown.extend(c.escape_unicode());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        assert_eq!(line("a\u{1b}]52;c;x\u{7}b\u{9b}2J\u{7f}"), "a\\u{1b}]52;c;x\\u{7}b\\u{9b}2J\\u{7f}");
        assert_eq!(line("good\r\nError: bad\nHint: worse\n"), "good Error: bad Hint: worse");
        assert_eq!(line("user\u{202e}gpj.exe\u{200f}\u{61c}"), "user\\u{202e}gpj.exe\\u{200f}\\u{61c}");
        assert_eq!(block("one\r\n\ttwo\rthree\n"), "one\n\ttwo\\rthree\n");
        assert_eq!(indented("one\nError: two"), "one\n  Error: two");
        assert_eq!(line("Grüße, 世界 👩‍🚀"), "Grüße, 世界 👩‍🚀");
    }

    #[test]
    fn a_log_keeps_its_colours_and_no_others_escapes() {
        let text = "\u{1b}[2m12:00\u{1b}[0m said: \u{1b}]0;title\u{7}\u{1b}[2J\nError: forged\n";
        assert_eq!(event(text), "\u{1b}[2m12:00\u{1b}[0m said: \\u{1b}]0;title\\u{7}\\u{1b}[2J\n  Error: forged\n");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use rmachine_testkit::cases::{self, hostile_text};

    use super::*;

    proptest! {
        #![proptest_config(cases::config(1))]

        #[test]
        fn nothing_hidden_is_left(text in hostile_text()) {
            prop_assert!(!line(&text).contains(is_hidden), "{:?}", line(&text));
            prop_assert!(line(&text).chars().count() <= 10 * LONGEST_LINE + 1);
            prop_assert!(!block(&text).contains(|c| is_hidden(c) && !matches!(c, '\n' | '\t')));
            prop_assert!(indented(&text).split('\n').skip(1).all(|line| line.starts_with("  ")));
        }
    }
}
