//! What another store's record says of a machine, as a driver builds its own part anew.

use serde_json::{Map, Value};

use crate::{HostAddress, InstanceId, LegacyFields, Login, Plan};

/// A machine of a record that others wrote. What the core can check is checked; the rest is as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere<'a> {
    /// The config of the driver there. Every field may be missing or of another type.
    pub config: LegacyFields<'a>,
    /// The driver's own facts of the instance there, likewise.
    pub details: LegacyFields<'a>,
    /// The id of the instance.
    pub id: &'a InstanceId,
    /// The address to dial, where there is one.
    pub address: Option<&'a HostAddress>,
    /// How to log in.
    pub login: &'a Login,
    /// The machine's name here.
    pub name: &'a str,
}

/// What a driver makes of it. Nothing in it names a file, a command, or an account of this computer.
#[derive(Debug, Clone)]
pub struct Vetted {
    /// The config, built anew.
    pub config: Value,
    /// The request, as far as it is of use for a machine that is made.
    pub plan: Plan,
    /// The driver's facts of the instance, built anew.
    pub details: Value,
    /// [`crate::Instance::url`].
    pub url: Option<String>,
}

/// Reads nothing: of a record without such an object.
pub fn no_fields() -> &'static Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    &NONE
}
