//! JSON as Go's encoding/json writes it: map keys in order, `<`, `>` and `&` escaped.

use std::fmt::Write;

use super::{float, value::Value};

/// On one line.
pub(super) fn compact(value: &Value) -> String {
    let mut text = String::new();
    write(value, None, &mut text);
    text
}

/// Four spaces a level.
pub(super) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, Some(0), &mut text);
    text
}

fn write(value: &Value, level: Option<usize>, out: &mut String) {
    match value {
        Value::Missing | Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // A String takes all that is written to it.
        Value::Int(value) => _ = write!(out, "{value}"),
        Value::Float(value) => out.push_str(&float::json(*value)),
        Value::Text(text) => string(text, out),
        Value::List(list) => members(list.iter().map(|value| (None, value)), ['[', ']'], level, out),
        Value::Map(map) => members(map.iter().map(|(k, v)| (Some(k.as_str()), v)), ['{', '}'], level, out),
        Value::Record(record) => {
            members(record.fields.iter().map(|(k, v)| (Some(k.as_str()), v)), ['{', '}'], level, out);
        }
    }
}

fn members<'v>(
    members: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
    marks: [char; 2],
    level: Option<usize>,
    out: &mut String,
) {
    let inner = level.map(|level| level + 1);
    let new_line = |level: Option<usize>, out: &mut String| {
        if let Some(level) = level {
            out.push('\n');
            out.push_str(&"    ".repeat(level));
        }
    };
    out.push(marks[0]);
    let mut empty = true;
    for (key, value) in members {
        if !empty {
            out.push(',');
        }
        empty = false;
        new_line(inner, out);
        if let Some(key) = key {
            string(key, out);
            out.push_str(if level.is_some() { ": " } else { ":" });
        }
        write(value, inner, out);
    }
    if !empty {
        new_line(level, out);
    }
    out.push(marks[1]);
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}
