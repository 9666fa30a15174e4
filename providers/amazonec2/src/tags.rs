//! Tags: what makes a resource ours, and findable.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use rmachine_provider_api::{CreateRequest, MachineToken, Owner};

/// The store that owns a resource.
pub(crate) const OWNER: &str = "rmachine:owner";
/// The machine that a resource was made for.
pub(crate) const TOKEN: &str = "rmachine:token";
/// Name of that machine.
pub(crate) const MACHINE: &str = "rmachine:machine";

/// The tags of everything that `request` makes.
pub(crate) fn of(request: &CreateRequest, own: &BTreeMap<String, String>) -> Vec<Tag> {
    let mut tags: BTreeMap<&str, &str> = own.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    tags.entry("Name").or_insert(&request.name);
    tags.insert(OWNER, request.owner.as_str());
    tags.insert(TOKEN, request.token.as_str());
    tags.insert(MACHINE, &request.name);
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(crate) fn specification(kind: ResourceType, tags: &[Tag]) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.to_vec())).build()
}

pub(crate) fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

pub(crate) fn by_token(token: &MachineToken) -> Filter {
    filter(&format!("tag:{TOKEN}"), [token.as_str()])
}

/// What carries `owner`'s tag, or any owner's.
pub(crate) fn by_owner(owner: Option<&Owner>) -> Filter {
    match owner {
        Some(owner) => filter(&format!("tag:{OWNER}"), [owner.as_str()]),
        None => filter("tag-key", [OWNER]),
    }
}

pub(crate) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
