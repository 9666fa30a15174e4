//! Escapes: HTML, JavaScript, URL queries, and Go's quoted strings.

use std::fmt::Write;

/// As html/template's HTMLEscapeString.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// As text/template's JSEscapeString.
pub(super) fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => escaped.extend(['\\', c]),
            '<' | '>' | '&' | '=' => append(&mut escaped, format_args!("\\u{:04X}", u32::from(c))),
            c if is_print(c) => escaped.push(c),
            c => append(&mut escaped, format_args!("\\u{:04X}", u32::from(c))),
        }
    }
    escaped
}

/// As net/url's QueryEscape.
pub(super) fn urlquery(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => append(&mut escaped, format_args!("%{byte:02X}")),
        }
    }
    escaped
}

/// A Go string in `mark`s (`"` or `'`), as strconv.Quote; only ASCII where `ascii`.
pub(super) fn quote(text: &str, mark: char, ascii: bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(mark);
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if c == mark || c == '\\' => quoted.extend(['\\', c]),
            c if is_print(c) && (c.is_ascii() || !ascii) => quoted.push(c),
            c if c < ' ' || c == '\x7f' => append(&mut quoted, format_args!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => append(&mut quoted, format_args!("\\u{:04x}", u32::from(c))),
            c => append(&mut quoted, format_args!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push(mark);
    quoted
}

/// Whether Go would write `text` between backquotes.
pub(super) fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| c != '`' && c != '\u{feff}' && (c == '\t' || c >= ' ') && c != '\x7f')
}

/// Whether `c` can be seen; of the spaces only U+0020.
pub(super) fn is_print(c: char) -> bool {
    // Marks that combine are escaped by Rust only where they begin a text.
    c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && !format!("{:?}", format!("a{c}")).contains('\\'))
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes all that is written to it.
    let _ = text.write_fmt(what);
}
