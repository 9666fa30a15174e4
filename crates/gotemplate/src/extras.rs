//! Functions that docker-machine and docker add to those of text/template.

use std::rc::Rc;

use super::{MAX_TEXT, builtins::text, functions::Answer, json as encode, value::Value};

/// The value as JSON on one line, keys in order; `<`, `>` and `&` escaped, as Go does.
pub(super) fn json(arguments: &[Value]) -> Answer {
    Ok(Value::text(encode::compact(&arguments[0])))
}

/// The value as JSON, four spaces a level.
pub(super) fn prettyjson(arguments: &[Value]) -> Answer {
    Ok(Value::text(encode::pretty(&arguments[0])))
}

/// `split "a,b" ","`.
pub(super) fn split(arguments: &[Value]) -> Answer {
    let (whole, separator) = (text(&arguments[0])?, text(&arguments[1])?);
    let words: Rc<[Value]> = if separator.is_empty() {
        whole.chars().map(|c| Value::text(c.encode_utf8(&mut [0; 4]))).collect()
    } else {
        whole.split(separator).map(Value::text).collect()
    };
    Ok(Value::List(words))
}

/// `join .List ","`.
pub(super) fn join(arguments: &[Value]) -> Answer {
    let list: &[Value] = match &arguments[0] {
        Value::List(list) => list,
        nil if nil.is_nil() => &[],
        other => return Err(format!("wrong type for value; expected a list of strings; got {}", other.kind())),
    };
    let separator = text(&arguments[1])?;
    let words = list.iter().map(text).collect::<Result<Vec<&str>, String>>()?;
    let length = words.iter().map(|word| word.len()).sum::<usize>() + separator.len().saturating_mul(words.len());
    if length > MAX_TEXT {
        return Err(too_long());
    }
    Ok(Value::text(words.join(separator)))
}

/// In lower case.
pub(super) fn lower(arguments: &[Value]) -> Answer {
    Ok(Value::text(text(&arguments[0])?.to_lowercase()))
}

/// In upper case.
pub(super) fn upper(arguments: &[Value]) -> Answer {
    Ok(Value::text(text(&arguments[0])?.to_uppercase()))
}

/// Each word with a capital, as strings.Title.
pub(super) fn title(arguments: &[Value]) -> Answer {
    let mut titled = String::new();
    let mut separated = true;
    for c in text(&arguments[0])?.chars() {
        if separated {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        separated = if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() };
    }
    Ok(Value::text(titled))
}

fn too_long() -> String {
    format!("a text has more than {MAX_TEXT} bytes")
}

/// A count of characters.
fn count(value: &Value) -> Result<usize, String> {
    match value {
        Value::Int(count) => usize::try_from(*count).map_err(|_| format!("{count} is negative")),
        value => Err(format!("wrong type for value; expected int; got {}", value.kind())),
    }
}

/// `pad .Name 1 2`: spaces before and after a text that is not empty.
pub(super) fn pad(arguments: &[Value]) -> Answer {
    let (inner, before, after) = (text(&arguments[0])?, count(&arguments[1])?, count(&arguments[2])?);
    if inner.is_empty() {
        return Ok(Value::text(""));
    }
    if before.saturating_add(after) > MAX_TEXT {
        return Err(too_long());
    }
    Ok(Value::text(format!("{}{inner}{}", " ".repeat(before), " ".repeat(after))))
}

/// `truncate .Name 5`: at most so many bytes, and no character cut apart.
pub(super) fn truncate(arguments: &[Value]) -> Answer {
    let (whole, length) = (text(&arguments[0])?, count(&arguments[1])?);
    Ok(Value::text(&whole[..whole.floor_char_boundary(length)]))
}
