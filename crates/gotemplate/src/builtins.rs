//! The functions of text/template that are no comparisons.

use super::{escape, functions::Answer, printf as formats, value::Value, verbs};

/// Whether the argument is false.
pub(super) fn not(arguments: &[Value]) -> Answer {
    Ok(Value::Bool(!arguments.iter().all(Value::truth)))
}

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Length of a string in bytes, or of a list or map.
pub(super) fn len(arguments: &[Value]) -> Answer {
    match &arguments[0] {
        Value::Text(text) => Ok(int(text.len())),
        Value::List(list) => Ok(int(list.len())),
        Value::Map(map) => Ok(int(map.len())),
        value if value.is_nil() => Err("len of nil pointer".into()),
        value => Err(format!("len of type {}", value.kind())),
    }
}

/// An index into what has `length` elements; `length` itself is one where `inclusive`.
fn position(index: &Value, length: usize, inclusive: bool) -> Result<usize, String> {
    let index = match index {
        Value::Int(index) => *index,
        value if value.is_nil() => return Err("cannot index slice/array with nil".into()),
        value => return Err(format!("cannot index slice/array with type {}", value.kind())),
    };
    usize::try_from(index)
        .ok()
        .filter(|index| *index < length || (inclusive && *index == length))
        .ok_or_else(|| format!("index out of range: {index}"))
}

/// `index x 1 "a"` is `x[1]["a"]`.
pub(super) fn index(arguments: &[Value]) -> Answer {
    let (first, indexes) = arguments.split_first().ok_or("index of untyped nil")?;
    if first.is_nil() {
        return Err("index of untyped nil".into());
    }
    let mut value = first.clone();
    for index in indexes {
        value = match &value {
            Value::List(list) => list[position(index, list.len(), false)?].clone(),
            Value::Text(text) => Value::Int(i64::from(text.as_bytes()[position(index, text.len(), false)?])),
            Value::Map(map) => match index {
                Value::Text(key) => map.get(&**key).cloned().unwrap_or(Value::Null),
                index if index.is_nil() => return Err("value is nil; should be of type string".into()),
                index => return Err(format!("value has type {}; should be string", index.kind())),
            },
            nil if nil.is_nil() => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.kind())),
        };
    }
    Ok(value)
}

/// `slice x 1 2` is `x[1:2]`.
pub(super) fn slice(arguments: &[Value]) -> Answer {
    let (value, indexes) = arguments.split_first().ok_or("slice of untyped nil")?;
    if value.is_nil() {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match value {
        Value::Text(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.kind())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length, true)?;
    }
    let [start, end, capacity] = bounds;
    for (low, high) in [(start, end), (end, capacity)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
    }
    Ok(match value {
        Value::Text(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[start..end])),
        Value::List(list) => Value::List(list[start..end].into()),
        _ => Value::Missing,
    })
}

/// fmt.Sprint: a space between operands of which neither is a string.
fn sprint(arguments: &[Value]) -> String {
    let mut text = String::new();
    let mut after_string = true;
    for value in arguments {
        let string = matches!(value, Value::Text(_));
        if !after_string && !string {
            text.push(' ');
        }
        verbs::display(value, &mut text);
        after_string = string;
    }
    text
}

/// fmt.Sprint.
pub(super) fn print(arguments: &[Value]) -> Answer {
    Ok(Value::text(sprint(arguments)))
}

/// fmt.Sprintln.
pub(super) fn println(arguments: &[Value]) -> Answer {
    let mut text = String::new();
    for (index, value) in arguments.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        verbs::display(value, &mut text);
    }
    text.push('\n');
    Ok(Value::text(text))
}

/// fmt.Sprintf.
pub(super) fn printf(arguments: &[Value]) -> Answer {
    let (format, values) = arguments.split_first().ok_or("a format is missing")?;
    formats::sprintf(text(format)?, values).map(Value::text)
}

/// The text of an argument that has to be one.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        value if value.is_nil() => Err("invalid value; expected string".into()),
        value => Err(format!("wrong type for value; expected string; got {}", value.kind())),
    }
}

/// The arguments as one text, as html, js and urlquery take them.
fn joined(arguments: &[Value]) -> String {
    let shown: Vec<Value> =
        arguments.iter().map(|value| if value.is_nil() { Value::text("<no value>") } else { value.clone() }).collect();
    sprint(&shown)
}

/// Escapes for HTML.
pub(super) fn html(arguments: &[Value]) -> Answer {
    Ok(Value::text(escape::html(&joined(arguments))))
}

/// Escapes for a string of JavaScript.
pub(super) fn js(arguments: &[Value]) -> Answer {
    Ok(Value::text(escape::js(&joined(arguments))))
}

/// Escapes for the query of a URL.
pub(super) fn urlquery(arguments: &[Value]) -> Answer {
    Ok(Value::text(escape::urlquery(&joined(arguments))))
}

/// Calls a function value, of which there are none.
pub(super) fn call(arguments: &[Value]) -> Answer {
    Err(match &arguments[0] {
        value if value.is_nil() => "call of nil".into(),
        value => format!("non-function of type {}", value.kind()),
    })
}
