//! Values of flags: numbers, ids, ports, networks and tags as they are typed.

use std::collections::BTreeMap;

use ipnet::IpNet;
use rmachine_provider_api::{Error, Result, Values};
use serde::{Deserialize, Serialize};

/// A port range that is open to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenPort {
    pub(crate) protocol: String,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// Most tags that a resource may have (docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html), less our four.
const MOST_TAGS: usize = 50 - 4;

/// Whether `text` has the form of an EC2 id: a prefix and 8 or 17 hexadecimal digits.
pub(crate) fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| (8..=17).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub(crate) fn id(values: &Values, flag: &str, prefix: &str) -> Result<Option<String>> {
    match values.text(flag) {
        Some(text) if !is_id(text, prefix) => {
            Err(Error::invalid(format!("--{flag} takes an id like {prefix}0123456789abcdef0, not {text:?}")))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

pub(crate) fn number(values: &Values, flag: &str, least: i32, most: i32) -> Result<Option<i32>> {
    let Some(number) = values.integer(flag) else { return Ok(None) };
    match i32::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Error::invalid(format!("--{flag} takes a number from {least} to {most}, not {number}"))),
    }
}

/// A number of a small type.
pub(crate) fn small<T>(values: &Values, flag: &str, least: T, most: T) -> Result<Option<T>>
where
    T: TryFrom<i32> + Into<i32>,
{
    let number = number(values, flag, least.into(), most.into())?;
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

pub(crate) fn one_of(values: &Values, flag: &str, words: &[&str]) -> Result<Option<String>> {
    match values.text(flag) {
        Some(text) if !words.contains(&text) => {
            Err(Error::invalid(format!("--{flag} takes {}, not {text:?}", words.join(" or "))))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

/// Reads `80`, `80/tcp`, `53/udp`, `8000-8010`.
pub(crate) fn open_ports(ports: &[String]) -> Result<Vec<OpenPort>> {
    let one = |text: &String| {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first > 0 && first <= last && matches!(protocol, "tcp" | "udp") => {
                Ok(OpenPort { protocol: protocol.to_owned(), first, last })
            }
            _ => Err(Error::invalid(format!("invalid port {text:?}")).hint("a port is 80, 53/udp or 8000-8010/tcp")),
        }
    };
    ports.iter().map(one).collect()
}

pub(crate) fn networks(texts: &[String]) -> Result<Vec<IpNet>> {
    let one = |text: &String| {
        text.parse::<IpNet>()
            .map(|network| network.trunc())
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map_err(|e| {
                Error::invalid(format!("invalid network {text:?}")).source(e).hint("a network is 192.0.2.0/24")
            })
    };
    texts.iter().flat_map(|text| text.split(',')).map(|text| one(&text.trim().to_owned())).collect()
}

/// Reads docker-machine's `key1,value1,key2,value2` and `key1=value1,key2=value2`.
pub(crate) fn tags(text: &str) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    if text.trim().is_empty() {
        return Ok(tags);
    }
    let words: Vec<&str> = text.split(',').collect();
    let pairs: Vec<(&str, &str)> = if words.iter().all(|word| word.contains('=')) {
        words.iter().filter_map(|word| word.split_once('=')).collect()
    } else if words.len().is_multiple_of(2) {
        words.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    } else {
        return Err(Error::invalid("--amazonec2-tags takes pairs, and the last key has no value")
            .hint("tags are key1,value1,key2,value2 or key1=value1,key2=value2"));
    };
    for (key, value) in pairs {
        let key = key.trim();
        // Using_Tags.html, "Tag restrictions": 128 and 256 characters, no key that begins with aws:.
        let reserved = key.to_ascii_lowercase().starts_with("aws:") || key.starts_with("rmachine:");
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 || reserved {
            return Err(Error::invalid(format!("invalid tag {key:?}"))
                .hint("a key has 1 to 128 characters and begins neither with aws: nor with rmachine:"));
        }
        tags.insert(key.to_owned(), value.trim().to_owned());
    }
    if tags.len() > MOST_TAGS {
        return Err(Error::invalid(format!("{} tags are given, and {MOST_TAGS} are allowed", tags.len())));
    }
    Ok(tags)
}
