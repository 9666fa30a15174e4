//! The values of a driver's flags: typed, of the environment, or defaults.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Flag, Value};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Typed on the command line.
    CommandLine,
    /// Taken from this environment variable.
    Environment(String),
    /// The flag's default.
    Default,
}

/// The values of one driver's flags; a flag that has none of the three sources is absent.
///
/// In JSON an object of flags' names and values. Only what was typed is written: what the environment or a default says is
/// found where the values are used, and secrets of the environment are never kept. What is read back counts as typed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, serde_json::Value>", into = "BTreeMap<String, Value>")]
pub struct Values {
    map: BTreeMap<String, (Value, Source)>,
}

impl fmt::Debug for Values {
    /// Without the values, some of which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.map.iter().map(|(name, (_, source))| (name, source))).finish()
    }
}

impl TryFrom<BTreeMap<String, serde_json::Value>> for Values {
    type Error = String;

    fn try_from(values: BTreeMap<String, serde_json::Value>) -> Result<Self, String> {
        let read = |(name, value): (String, serde_json::Value)| match serde_json::from_value(value) {
            Ok(value) => Ok((name, (value, Source::CommandLine))),
            Err(_) => {
                Err(format!("the flag {name} takes a string, a whole number, a truth value or a list of strings"))
            }
        };
        Ok(Self { map: values.into_iter().map(read).collect::<Result<_, String>>()? })
    }
}

impl From<Values> for BTreeMap<String, Value> {
    fn from(values: Values) -> Self {
        let typed = |(name, (value, source))| (source == Source::CommandLine).then_some((name, value));
        values.map.into_iter().filter_map(typed).collect()
    }
}

impl Values {
    /// Resolves `flags` from the command line (`given`), the environment and the defaults.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] when a variable of the environment does not parse.
    pub fn resolve(
        flags: &[Flag],
        mut given: impl FnMut(&Flag) -> Option<Value>,
        env: impl Fn(&str) -> Option<String>,
    ) -> crate::Result<Self> {
        let mut values = Self::default();
        for flag in flags {
            let found = match given(flag).filter(|v| !is_empty(v)) {
                Some(value) => Some((value, Source::CommandLine)),
                None => from_environment(flag, &env)?,
            };
            let found = match (found, flag.default.as_deref()) {
                (Some(found), _) => Some(found),
                (None, Some(default)) => Some((flag.parse(default)?, Source::Default)),
                (None, None) => None,
            };
            if let Some(found) = found {
                values.map.insert(flag.name.clone(), found);
            }
        }
        Ok(values)
    }

    /// The same values as `flags` take them: each of the kind of its flag (a text is read as it is on the command line), and
    /// defaults where there is no value. The environment is not asked.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] that names what is no flag, or the flag whose value is of another kind.
    pub fn checked(&self, flags: &[Flag]) -> crate::Result<Self> {
        if let Some(unknown) = self.names().find(|name| !flags.iter().any(|flag| flag.name == *name)) {
            return Err(crate::Error::invalid(format!("--{unknown} is no flag of the driver")));
        }
        let mut values = Self::default();
        for flag in flags {
            let found = match (self.map.get(&flag.name), flag.default.as_deref()) {
                (Some((value, source)), _) => (flag.take(value)?, source.clone()),
                (None, Some(default)) => (flag.parse(default)?, Source::Default),
                (None, None) => continue,
            };
            values.map.insert(flag.name.clone(), found);
        }
        Ok(values)
    }

    /// The names of the flags that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Sets one value, as if typed; for tests and for programs that embed a driver.
    pub fn set(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), (value, Source::CommandLine));
    }

    /// The string of a text flag.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.map.get(name) {
            Some((Value::Text(s), _)) if !s.is_empty() => Some(s),
            _ => None,
        }
    }

    /// The number of an integer flag.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.map.get(name) {
            Some((Value::Integer(n), _)) => Some(*n),
            _ => None,
        }
    }

    /// Whether a switch is on; absent is off.
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.map.get(name), Some((Value::Switch(true), _)))
    }

    /// The strings of a list flag; absent is empty.
    pub fn list(&self, name: &str) -> &[String] {
        match self.map.get(name) {
            Some((Value::List(items), _)) => items,
            _ => &[],
        }
    }

    /// Where a value came from; `None` when there is no value.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.map.get(name).map(|(_, source)| source)
    }

    /// Whether the user gave the value, by flag or environment.
    pub fn is_given(&self, name: &str) -> bool {
        matches!(self.source(name), Some(Source::CommandLine | Source::Environment(_)))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Text(s) => s.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Integer(_) | Value::Switch(_) => false,
    }
}

fn from_environment(flag: &Flag, env: &impl Fn(&str) -> Option<String>) -> crate::Result<Option<(Value, Source)>> {
    for name in &flag.env {
        if let Some(text) = env(name).filter(|text| !text.is_empty()) {
            let value = flag.parse(&text).map_err(|e| {
                crate::Error::invalid(format!("the environment variable {name} is not valid")).source(e)
            })?;
            return Ok(Some((value, Source::Environment(name.clone()))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Vec<Flag> {
        vec![
            Flag::text("x-region", "REGION", "region").env(&["X_REGION", "X_DEFAULT_REGION"]).default("here"),
            Flag::switch("x-monitor", "monitor").env(&["X_MONITOR"]),
            Flag::list("x-group", "NAME", "groups").env(&["X_GROUPS"]),
            Flag::integer("x-size", "GB", "size").env(&["X_SIZE"]).default("16"),
        ]
    }

    fn resolve(env: &[(&str, &str)], given: &[(&str, Value)]) -> crate::Result<Values> {
        Values::resolve(
            &flags(),
            |flag| given.iter().find(|(n, _)| *n == flag.name).map(|(_, v)| v.clone()),
            |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()),
        )
    }

    #[test]
    fn command_line_beats_environment_beats_default() {
        let values = resolve(&[("X_DEFAULT_REGION", "env")], &[]).unwrap();
        assert_eq!(values.text("x-region"), Some("env"));
        assert_eq!(values.source("x-region"), Some(&Source::Environment("X_DEFAULT_REGION".to_owned())));
        let values = resolve(&[("X_REGION", "env")], &[("x-region", Value::Text("typed".into()))]).unwrap();
        assert_eq!(values.text("x-region"), Some("typed"));
        let values = resolve(&[], &[]).unwrap();
        assert_eq!((values.text("x-region"), values.integer("x-size")), (Some("here"), Some(16)));
        assert!(!values.is_given("x-region"));
    }

    #[test]
    fn an_empty_value_counts_as_not_given() {
        let values = resolve(&[("X_REGION", "")], &[("x-region", Value::Text(String::new()))]).unwrap();
        assert_eq!(values.source("x-region"), Some(&Source::Default));
    }

    #[test]
    fn lists_split_on_commas_in_the_environment() {
        let values = resolve(&[("X_GROUPS", "a, b,,c")], &[]).unwrap();
        assert_eq!(values.list("x-group"), ["a", "b", "c"]);
    }

    #[test]
    fn a_bad_variable_is_named() {
        let error = resolve(&[("X_MONITOR", "maybe")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable X_MONITOR is not valid");
    }

    #[test]
    fn values_in_json_are_what_was_typed() {
        let mut values = resolve(&[("X_GROUPS", "of,the,environment")], &[]).unwrap();
        assert_eq!(serde_json::to_string(&values).unwrap(), "{}", "neither the environment's nor defaults");
        values.set("x-region", Value::Text("there".to_owned()));
        values.set("x-size", Value::Integer(8));
        values.set("x-monitor", Value::Switch(true));
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(text, r#"{"x-monitor":true,"x-region":"there","x-size":8}"#);
        let read: Values = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (read.text("x-region"), read.integer("x-size"), read.switch("x-monitor")),
            (Some("there"), Some(8), true)
        );
        for bad in ["1.5", "null", "{}", "[1]"] {
            let error = serde_json::from_str::<Values>(&format!(r#"{{"x-size": {bad}}}"#)).unwrap_err().to_string();
            assert!(error.contains("the flag x-size takes"), "{error}");
        }
        assert!(!format!("{values:?}").contains("there"), "{values:?}");
    }

    #[test]
    fn values_become_what_their_flags_take() {
        let read = |text: &str| serde_json::from_str::<Values>(text).unwrap().checked(&flags());
        let values = read(r#"{"x-region": 7, "x-monitor": "true", "x-group": "a", "x-size": "4"}"#).unwrap();
        assert_eq!((values.text("x-region"), values.integer("x-size")), (Some("7"), Some(4)));
        assert_eq!((values.switch("x-monitor"), values.list("x-group")), (true, ["a".to_owned()].as_slice()));
        let values = read("{}").unwrap();
        assert_eq!((values.integer("x-size"), values.source("x-size")), (Some(16), Some(&Source::Default)));
        for (bad, named) in [
            (r#"{"x-sise": 1}"#, "--x-sise"),
            (r#"{"x-size": "big"}"#, "--x-size"),
            (r#"{"x-size": [1]}"#, "x-size"),
            (r#"{"x-region": true}"#, "--x-region"),
            (r#"{"x-monitor": 1}"#, "--x-monitor"),
        ] {
            let error = serde_json::from_str::<Values>(bad).map_err(|e| e.to_string());
            let error = error.and_then(|values| values.checked(&flags()).map_err(|e| e.to_string())).unwrap_err();
            assert!(error.contains(named), "{bad}: {error}");
        }
    }
}
