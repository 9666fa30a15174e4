//! Flags as data: the command line, the docs and the completions are made from these tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagKind {
    /// One string; an empty one counts as not given.
    Text,
    /// One whole number.
    Integer,
    /// On or off: `--flag`, `--flag=true`, `--flag=false`.
    Switch,
    /// Several strings: repeated, or separated by commas in the environment.
    List,
}

/// One flag of a driver, as shown by `create --driver NAME --help`.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Long name without dashes, starting with the driver's name and a dash.
    pub name: String,
    /// What it takes.
    pub kind: FlagKind,
    /// Environment variables that stand in for it; the first non-empty one counts.
    pub env: Vec<String>,
    /// Value when neither the flag nor the environment gives one, in the form the user would type.
    pub default: Option<String>,
    /// One line of help.
    pub help: String,
    /// Placeholder of the value in help texts.
    pub value_name: String,
    /// Whether its value is a secret: never shown, kept out of `config.json`.
    pub secret: bool,
    /// Other spellings, accepted but not shown.
    pub aliases: Vec<String>,
    /// Whether it says where to look or how to get in: commands besides `create` take it then.
    pub connects: bool,
    /// Default where the program stands in for docker-machine, whose own default was another one.
    pub drop_in_default: Option<String>,
    /// Those of the environment variables that docker-machine does not read.
    pub own_env: Vec<String>,
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Flag {
    /// A flag called `name` without dashes, that takes a `kind`; `value_name` stands for its value in the one line of `help`.
    pub fn of(name: &str, kind: FlagKind, value_name: &str, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            env: Vec::new(),
            default: None,
            help: help.to_owned(),
            value_name: value_name.to_owned(),
            secret: false,
            aliases: Vec::new(),
            connects: false,
            drop_in_default: None,
            own_env: Vec::new(),
        }
    }

    /// A flag with one string.
    pub fn text(name: &str, value_name: &str, help: &str) -> Self {
        Self::of(name, FlagKind::Text, value_name, help)
    }

    /// A flag with a whole number.
    pub fn integer(name: &str, value_name: &str, help: &str) -> Self {
        Self::of(name, FlagKind::Integer, value_name, help)
    }

    /// A flag that is on or off.
    pub fn switch(name: &str, help: &str) -> Self {
        Self::of(name, FlagKind::Switch, "BOOL", help)
    }

    /// A flag that may be repeated.
    pub fn list(name: &str, value_name: &str, help: &str) -> Self {
        Self::of(name, FlagKind::List, value_name, help)
    }

    /// With another default where the program stands in for docker-machine.
    #[must_use]
    pub fn drop_in_default(self, value: &str) -> Self {
        Self { drop_in_default: Some(value.to_owned()), ..self }
    }

    /// With variables that are not read where the program stands in for docker-machine.
    #[must_use]
    pub fn own_env(self, env: &[&str]) -> Self {
        Self { own_env: owned(env), ..self }
    }

    /// Names the environment variables that stand in for it.
    #[must_use]
    pub fn env(self, env: &[&str]) -> Self {
        Self { env: owned(env), ..self }
    }

    /// Gives the default, as the user would type it.
    #[must_use]
    pub fn default(self, default: &str) -> Self {
        Self { default: Some(default.to_owned()), ..self }
    }

    /// Marks the value as a secret.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Marks a flag that says where to look or how to get in.
    #[must_use]
    pub fn connects(self) -> Self {
        Self { connects: true, ..self }
    }

    /// Names other accepted spellings.
    #[must_use]
    pub fn aliases(self, aliases: &[&str]) -> Self {
        Self { aliases: owned(aliases), ..self }
    }

    /// Reads `text` as a value of this flag; booleans are those of Go's `strconv.ParseBool`.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] that names the flag; a secret is not repeated.
    pub fn parse(&self, text: &str) -> crate::Result<Value> {
        let wrong = |what: &str| match self.secret {
            true => crate::Error::invalid(format!("--{} takes {what}", self.name)),
            false => crate::Error::invalid(format!("--{} takes {what}, not \"{text}\"", self.name)),
        };
        match self.kind {
            FlagKind::Text => Ok(Value::Text(text.to_owned())),
            FlagKind::Integer => text.trim().parse().map(Value::Integer).map_err(|_| wrong("a whole number")),
            FlagKind::Switch => match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Switch(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Switch(false)),
                _ => Err(wrong("true or false")),
            },
            FlagKind::List => {
                Ok(Value::List(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()))
            }
        }
    }
}

/// A parsed value; in JSON a string, a number, a truth value or a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of [`FlagKind::Switch`].
    Switch(bool),
    /// Of [`FlagKind::Integer`].
    Integer(i64),
    /// Of [`FlagKind::Text`].
    Text(String),
    /// Of [`FlagKind::List`].
    List(Vec<String>),
}

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

/// The values of one driver's flags; a flag that has none of the three sources is absent. In JSON an object of flags' names
/// and values, which count as typed when they are read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
pub struct Values {
    map: BTreeMap<String, (Value, Source)>,
}

impl From<BTreeMap<String, Value>> for Values {
    fn from(values: BTreeMap<String, Value>) -> Self {
        Self { map: values.into_iter().map(|(name, value)| (name, (value, Source::CommandLine))).collect() }
    }
}

impl From<Values> for BTreeMap<String, Value> {
    fn from(values: Values) -> Self {
        values.map.into_iter().map(|(name, (value, _))| (name, value)).collect()
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
        let mut values = Values::default();
        values.set("x-region", Value::Text("there".to_owned()));
        values.set("x-size", Value::Integer(8));
        values.set("x-monitor", Value::Switch(true));
        values.set("x-group", Value::List(vec!["a".to_owned(), "b".to_owned()]));
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(text, r#"{"x-group":["a","b"],"x-monitor":true,"x-region":"there","x-size":8}"#);
        assert_eq!(serde_json::from_str::<Values>(&text).unwrap(), values);
    }
}
