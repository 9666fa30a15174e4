//! Flags as data: the command line, the docs and the completions are made from these tables.

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

impl Flag {
    /// `value` as this flag has it.
    pub(super) fn take(&self, value: &Value) -> crate::Result<Value> {
        Ok(match (self.kind, value) {
            (FlagKind::List, Value::Text(text)) => Value::List(vec![text.clone()]),
            (FlagKind::List, Value::Integer(number)) => Value::List(vec![number.to_string()]),
            (FlagKind::Text, Value::Integer(number)) => Value::Text(number.to_string()),
            (_, Value::Text(text)) => self.parse(text)?,
            (FlagKind::List, Value::List(_))
            | (FlagKind::Integer, Value::Integer(_))
            | (FlagKind::Switch, Value::Switch(_)) => value.clone(),
            (kind, _) => {
                let takes = match kind {
                    FlagKind::Text => "a text",
                    FlagKind::Integer => "a whole number",
                    FlagKind::Switch => "true or false",
                    FlagKind::List => "a list of texts",
                };
                return Err(crate::Error::invalid(format!("--{} takes {takes}", self.name)));
            }
        })
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
