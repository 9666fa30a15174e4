//! Comparisons: eq, ne, lt, le, gt, ge.

use std::cmp::Ordering;

use super::{functions::Answer, value::Value, verbs};

/// Whether the first argument equals one of the others.
pub(super) fn eq(arguments: &[Value]) -> Answer {
    let [first, others @ ..] = arguments else { return Err("missing argument for comparison".into()) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// Whether two arguments differ.
pub(super) fn ne(arguments: &[Value]) -> Answer {
    match eq(arguments)? {
        Value::Bool(equal) => Ok(Value::Bool(!equal)),
        other => Ok(other),
    }
}

/// `<`.
pub(super) fn lt(arguments: &[Value]) -> Answer {
    order(arguments, Ordering::is_lt)
}

/// `<=`.
pub(super) fn le(arguments: &[Value]) -> Answer {
    order(arguments, Ordering::is_le)
}

/// `>`.
pub(super) fn gt(arguments: &[Value]) -> Answer {
    order(arguments, Ordering::is_gt)
}

/// `>=`.
pub(super) fn ge(arguments: &[Value]) -> Answer {
    order(arguments, Ordering::is_ge)
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.kind(), b.kind())
}

fn not_comparable(value: &Value) -> String {
    let mut shown = String::new();
    verbs::display(value, &mut shown);
    format!("non-comparable type {shown}: {}", value.kind())
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Missing | Value::Null, b) => b.is_nil(),
        (_, Value::Missing | Value::Null) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => match floats(a, b) {
            Some((a, b)) => a == b,
            None if a.kind() == b.kind() => return Err(not_comparable(a)),
            None => return Err(incompatible(a, b)),
        },
    })
}

/// Both as floats, where they are numbers.
fn floats(a: &Value, b: &Value) -> Option<(f64, f64)> {
    #[allow(clippy::cast_precision_loss, reason = "a float beside it has no more precision either")]
    let float = |value: &Value| match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    };
    Some((float(a)?, float(b)?))
}

fn order(arguments: &[Value], test: fn(Ordering) -> bool) -> Answer {
    let [a, b] = arguments else { return Err("missing argument for comparison".into()) };
    let ordering = match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Int(_) | Value::Float(_) | Value::Text(_), Value::Int(_) | Value::Float(_) | Value::Text(_)) => {
            let (a, b) = floats(a, b).ok_or_else(|| incompatible(a, b))?;
            a.partial_cmp(&b).ok_or_else(|| "invalid type for comparison".to_owned())?
        }
        _ => return Err("invalid type for comparison".into()),
    };
    Ok(Value::Bool(test(ordering)))
}
