//! Labels: whose a thing is, and what the container cannot tell by itself.

use std::collections::HashMap;

use rmachine_provider_api::{CreateRequest, MachineToken, Owner};

/// The store that owns it; the same words as the tags on EC2.
pub(crate) const OWNER: &str = "rmachine:owner";
/// The machine that it was made for.
pub(crate) const TOKEN: &str = "rmachine:token";
/// Name of that machine.
pub(crate) const MACHINE: &str = "rmachine:machine";
/// Loopback address of its ports.
pub(crate) const ADDRESS: &str = "rmachine:address";
/// Inputs of an image that we built.
pub(crate) const IMAGE: &str = "rmachine:image";

pub(crate) fn of(request: &CreateRequest) -> HashMap<String, String> {
    HashMap::from([
        (OWNER.to_owned(), request.owner.to_string()),
        (TOKEN.to_owned(), request.token.to_string()),
        (MACHINE.to_owned(), request.name.clone()),
    ])
}

/// Filter of things of `owner`, or of everyone's.
pub(crate) fn owned(owner: Option<&Owner>) -> HashMap<String, Vec<String>> {
    filter(OWNER, owner.map(Owner::as_str))
}

/// Filter of one machine's things.
pub(crate) fn token(token: &MachineToken) -> HashMap<String, Vec<String>> {
    filter(TOKEN, Some(token.as_str()))
}

/// Filter of things with the label `name`, of any value or of one.
pub(crate) fn filter(name: &str, value: Option<&str>) -> HashMap<String, Vec<String>> {
    let label = value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
    HashMap::from([("label".to_owned(), vec![label])])
}
