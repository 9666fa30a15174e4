//! Go's literals: numbers, strings and characters.

use super::value::Value;

/// The value of a number: an integer, or a float where it is written as one.
pub(super) fn number(text: &str) -> Result<Value, String> {
    let illegal = || format!("illegal number syntax: {text:?}");
    let unsigned = text.trim_start_matches(['+', '-']);
    let bytes = unsigned.as_bytes();
    let prefixed = bytes.len() > 2 && bytes[0] == b'0' && !bytes[1].is_ascii_digit() && bytes[1] != b'.';
    if !underscores_are_between_digits(unsigned, prefixed) {
        return Err(illegal());
    }
    let plain = unsigned.replace('_', "");
    let sign = if text.starts_with('-') { "-" } else { "" };
    let base = match plain.get(..2).unwrap_or_default() {
        "0x" | "0X" => Some((2, 16)),
        "0o" | "0O" => Some((2, 8)),
        "0b" | "0B" => Some((2, 2)),
        _ if plain.contains(['.', 'e', 'E']) => None,
        _ if plain.starts_with('0') && plain.len() > 1 => Some((1, 8)),
        _ => Some((0, 10)),
    };
    let Some((skip, base)) = base else {
        let value: f64 = format!("{sign}{plain}").parse().map_err(|_| illegal())?;
        return if value.is_finite() { Ok(Value::Float(value)) } else { Err(illegal()) };
    };
    let digits = &plain[skip..];
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(illegal());
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base)
        .map(Value::Int)
        .map_err(|_| format!("integer overflow: {text:?}"))
}

/// Each `_` stands between two digits, or between the base's prefix and a digit.
fn underscores_are_between_digits(unsigned: &str, prefixed: bool) -> bool {
    let bytes = unsigned.as_bytes();
    let digit = |index: Option<usize>| {
        let byte = index.and_then(|index| bytes.get(index));
        byte.is_some_and(u8::is_ascii_hexdigit) || (prefixed && index == Some(1))
    };
    let places = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').map(|(index, _)| index);
    places.into_iter().all(|index| digit(index.checked_sub(1)) && digit(Some(index + 1)))
}

/// The text of a quoted string, its quotes included.
pub(super) fn string(quoted: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = inner(quoted);
    while !rest.is_empty() {
        let (unit, length) = unit(rest, '"').ok_or("invalid syntax")?;
        match unit {
            Unit::Byte(byte) => bytes.push(byte),
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[length..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a character constant, its quotes included.
pub(super) fn character(quoted: &str) -> Result<Value, String> {
    let rest = inner(quoted);
    let (unit, length) = unit(rest, '\'').ok_or("invalid syntax")?;
    if length < rest.len() {
        return Err(format!("malformed character constant: {quoted}"));
    }
    Ok(Value::Int(match unit {
        Unit::Byte(byte) => i64::from(byte),
        Unit::Char(c) => i64::from(u32::from(c)),
    }))
}

fn inner(quoted: &str) -> &str {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
}

enum Unit {
    Byte(u8),
    Char(char),
}

/// The character or escape that `rest` begins with, and its length.
fn unit(rest: &str, quote: char) -> Option<(Unit, usize)> {
    let mut chars = rest.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((Unit::Char(first), first.len_utf8()));
    }
    let escape = chars.next()?;
    let number = |skip: usize, length: usize, base: u32| {
        let digits = rest.get(skip..skip + length)?;
        digits.chars().all(|c| c.is_digit(base)).then(|| u32::from_str_radix(digits, base).ok())?
    };
    let simple = |c| Some((Unit::Char(c), 2));
    match escape {
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        '\\' => simple('\\'),
        c if c == quote => simple(c),
        'x' => Some((Unit::Byte(u8::try_from(number(2, 2, 16)?).ok()?), 4)),
        '0'..='7' => Some((Unit::Byte(u8::try_from(number(1, 3, 8)?).ok()?), 4)),
        'u' => Some((Unit::Char(char::from_u32(number(2, 4, 16)?)?), 6)),
        'U' => Some((Unit::Char(char::from_u32(number(2, 8, 16)?)?), 10)),
        _ => None,
    }
}
