//! Tags: what makes a resource ours, and findable.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use rmachine_provider_api::{CreateRequest, MachineToken, Owner, Resource};

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

/// What is looked for. A filter takes `*` and `?` for all that fits
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html), and a tag is anybody's to write: what it answers is
/// compared before it is changed.
#[derive(Debug, Clone)]
pub(crate) enum Search<'a> {
    /// What was made for this machine.
    Token(&'a MachineToken),
    /// What this owner has, or any owner.
    Owner(Option<&'a Owner>),
    /// What others may have made, to look at.
    Any(Filter),
}

impl From<Filter> for Search<'_> {
    fn from(filter: Filter) -> Self {
        Self::Any(filter)
    }
}

impl Search<'_> {
    pub(crate) fn filter(&self) -> Filter {
        match self {
            Self::Token(token) => filter(&format!("tag:{TOKEN}"), [token.as_str()]),
            Self::Owner(Some(owner)) => filter(&format!("tag:{OWNER}"), [owner.as_str()]),
            Self::Owner(None) => filter("tag-key", [OWNER]),
            Self::Any(filter) => filter.clone(),
        }
    }

    /// Those of `found` that carry what was asked for.
    pub(crate) fn only(&self, mut found: Vec<Resource>) -> Vec<Resource> {
        found.retain(|resource| match self {
            Self::Token(token) => resource.token.as_ref() == Some(*token),
            Self::Owner(Some(owner)) => resource.owner.as_ref() == Some(*owner),
            Self::Owner(None) | Self::Any(_) => true,
        });
        found
    }
}

pub(crate) fn by_token(token: &MachineToken) -> Search<'_> {
    Search::Token(token)
}

/// What carries `owner`'s tag, or any owner's.
pub(crate) fn by_owner(owner: Option<&Owner>) -> Search<'_> {
    Search::Owner(owner)
}

/// Whether `tags` are those of the machine with `token`.
pub(crate) fn are_of(tags: &[Tag], token: &MachineToken) -> bool {
    value(tags, TOKEN) == Some(token.as_str())
}

pub(crate) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::ResourceKind;

    use super::*;

    #[test]
    fn what_a_filter_answers_is_compared() {
        let (token, owner): (_, Owner) = (MachineToken::from_bits(1), "o".parse().unwrap());
        let resource = |id: &str, owner: Option<&str>, bits: Option<u128>| Resource {
            kind: ResourceKind::Instance,
            id: id.to_owned(),
            owner: owner.map(|text| text.parse().unwrap()),
            token: bits.map(MachineToken::from_bits),
            machine: None,
            created: None,
            location: None,
            detail: None,
            monthly_usd: None,
        };
        let all = || {
            vec![
                resource("mine", Some("o"), Some(1)),
                resource("other", Some("p"), Some(2)),
                resource("none", None, None),
            ]
        };
        let ids = |search: Search<'_>| search.only(all()).into_iter().map(|found| found.id).collect::<Vec<_>>();
        assert_eq!(ids(by_token(&token)), ["mine"]);
        assert_eq!(ids(by_owner(Some(&owner))), ["mine"]);
        assert_eq!(ids(by_owner(None)).len(), 3);
        assert_eq!(ids(filter("instance-id", ["i-*"]).into()).len(), 3);
        let tag = |value: &str| [Tag::builder().key(TOKEN).value(value).build()];
        assert!(are_of(&tag(token.as_str()), &token) && !are_of(&tag("*"), &token) && !are_of(&[], &token));
    }
}
