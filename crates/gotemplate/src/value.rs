//! Values as templates see them: JSON's kinds as Go decodes them, integers, and structs.

use std::{collections::BTreeMap, fmt, rc::Rc};

/// A value.
#[derive(Clone)]
pub enum Value {
    /// What is not there, such as a key that a map does not have.
    Missing,
    /// JSON's null, Go's nil.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer: of the template, or of functions that count.
    Int(i64),
    /// A number of JSON, which Go decodes as float64.
    Float(f64),
    /// A string.
    Text(Rc<str>),
    /// A slice.
    List(Rc<[Value]>),
    /// A map; a key that it does not have is [`Value::Missing`].
    Map(Rc<BTreeMap<String, Value>>),
    /// A struct; a field that it does not have is an error.
    Record(Rc<Record>),
}

/// A struct: a type's name, and fields in their order.
#[derive(Debug)]
pub struct Record {
    /// Name of the type, for error messages.
    pub name: &'static str,
    /// Names and values of the fields.
    pub fields: Vec<(String, Value)>,
}

impl Value {
    /// A string.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Rc::from(text.as_ref()))
    }

    /// A struct of the type `name`.
    pub fn record(name: &'static str, fields: Vec<(String, Value)>) -> Self {
        Self::Record(Rc::new(Record { name, fields }))
    }

    /// Go's name of the type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing | Self::Null => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Record(record) => record.name,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// Whether `if` takes it for true: what is not zero and not empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Missing | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Record(_) => true,
        }
    }

    /// Bytes of text in it, roughly; data that came with the command counts as nothing.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(list) => list.len(),
            _ => 0,
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => Self::Float(number.as_f64().unwrap_or_default()),
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(Rc::new(map.into_iter().map(|(key, value)| (key, Self::from(value))).collect()))
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::json::compact(self))
    }
}
