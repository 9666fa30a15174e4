//! docker-machine's records of machines, as a driver reads them.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::{Error, Instance, Malformed, Plan, ResourceKind, Result, Secrets};

/// What a driver makes of docker-machine's record of one of its machines.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The config that [`crate::Driver::configure`] would have made; no secrets.
    pub config: Value,
    /// Secrets that the record has in the clear, under the names that [`crate::Driver::connect`] reads.
    pub secrets: Secrets,
    /// Fields of the record that hold them: they are left empty from now on.
    pub secret_fields: &'static [&'static str],
    /// TCP port of the engine, where the record says so; else 2376.
    pub engine_port: Option<u16>,
    /// The request as far as the record tells it, with how to log in. The core finds the login key's file.
    pub plan: Plan,
    /// What exists; `None`: the create of docker-machine did not get that far.
    pub instance: Option<Instance>,
    /// What docker-machine made for this machine alone, besides what goes with the instance: `rm` deletes it.
    pub made: Vec<(ResourceKind, String)>,
}

/// The object `Driver` of docker-machine's record: every field may be missing or of another type.
#[derive(Clone, Copy)]
pub struct LegacyFields<'a>(pub &'a Map<String, Value>);

impl fmt::Debug for LegacyFields<'_> {
    /// Names only: docker-machine keeps cloud keys in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'a> LegacyFields<'a> {
    /// A text that is not empty.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A switch; missing is off.
    pub fn switch(self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A number.
    pub fn number(self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// The texts of a list; missing is empty.
    pub fn list(self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect()
    }

    /// A text of a form of its own, such as an address.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] that names the field.
    pub fn parsed<T: FromStr<Err = Malformed>>(self, name: &str) -> Result<Option<T>> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error| Error::invalid(format!("{name}: {error}")))
    }

    /// A TCP port; missing and 0 are `default`.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::InvalidInput`] for a number that is no port.
    pub fn port(self, name: &str, default: u16) -> Result<u16> {
        match self.number(name) {
            None | Some(0) => Ok(default),
            Some(number) => {
                u16::try_from(number).map_err(|_| Error::invalid(format!("{name} is {number}, which is no port")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_another_type_are_missing() {
        let value = json!({ "a": "x", "b": "", "c": 7, "d": [1, "y", ""], "p": 70000 });
        let fields = LegacyFields(value.as_object().unwrap());
        assert_eq!((fields.text("a"), fields.text("b"), fields.text("c")), (Some("x"), None, None));
        assert_eq!((fields.number("c"), fields.number("a"), fields.list("d")), (Some(7), None, vec!["y".to_owned()]));
        assert_eq!(fields.port("none", 22).unwrap(), 22);
        assert!(fields.port("p", 22).is_err() && !fields.switch("a"));
        assert!(!format!("{fields:?}").contains('x'));
    }
}
