//! Flags that are lists in the order of preference: markets, types, zones.

use rmachine_provider_api::{Error, Result, Values};
use serde::{Deserialize, Serialize};

use crate::values::{one_of, small};

/// How an instance is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Market {
    Spot,
    OnDemand,
}

impl Market {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }
}

/// What is asked of the spot market, where it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    pub(crate) price: Option<String>,
    pub(crate) persistent: bool,
}

pub(crate) fn spot(values: &Values) -> Result<Spot> {
    if values.integer("amazonec2-block-duration-minutes").unwrap_or(0) != 0 {
        return Err(Error::invalid("AWS offers no spot instances of a fixed duration any more")
            .hint("leave out --amazonec2-block-duration-minutes"));
    }
    let kind = one_of(values, "amazonec2-spot-type", &["one-time", "persistent"])?;
    let price = values.text("amazonec2-spot-price").map(str::to_owned);
    if let Some(price) = &price
        && !price.parse::<f64>().is_ok_and(|p| p.is_finite() && p > 0.0)
    {
        return Err(Error::invalid(format!("--amazonec2-spot-price takes US dollars, not {price:?}")));
    }
    Ok(Spot { price, persistent: kind.as_deref() == Some("persistent") })
}

/// The markets in their order; `--amazonec2-request-spot-instance` is the old word for the first of them.
pub(crate) fn markets(values: &Values) -> Result<Vec<Market>> {
    let named = split(values.list("amazonec2-market"))
        .iter()
        .map(|word| match word.as_str() {
            "spot" => Ok(Market::Spot),
            "on-demand" => Ok(Market::OnDemand),
            _ => Err(Error::invalid(format!("--amazonec2-market takes spot and on-demand, not {word:?}"))),
        })
        .collect::<Result<Vec<_>>>()?;
    match (values.switch("amazonec2-request-spot-instance"), named.is_empty()) {
        (true, true) => Ok(vec![Market::Spot]),
        (false, true) => Ok(vec![Market::OnDemand]),
        (true, false) if !named.contains(&Market::Spot) => {
            Err(Error::invalid("--amazonec2-request-spot-instance contradicts --amazonec2-market on-demand"))
        }
        _ => Ok(named),
    }
}

pub(crate) fn instance_types(values: &Values) -> Result<Vec<String>> {
    let types = split(values.list("amazonec2-instance-type"));
    match types.iter().find(|name| !name.contains('.')) {
        Some(name) => {
            Err(Error::invalid(format!("invalid instance type {name:?}")).hint("a type is one like t3.micro"))
        }
        None => Ok(types),
    }
}

/// `a` → `us-east-1a`.
pub(crate) fn zones(values: &Values, region: &str) -> Result<Vec<String>> {
    let whole = |zone: &String| {
        let letter = zone.strip_prefix(region).unwrap_or(zone);
        let good = !letter.is_empty() && letter.len() <= 24;
        if good && letter.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            Ok(format!("{region}{letter}"))
        } else {
            Err(Error::invalid(format!("invalid zone {zone:?}")).hint("a zone is a letter, or us-east-1a"))
        }
    };
    split(values.list("amazonec2-zone")).iter().map(whole).collect()
}

/// Values that were repeated, or separated by commas, without repeats.
fn split(values: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for value in values.iter().flat_map(|text| text.split(',')).map(str::trim) {
        if !value.is_empty() && !once.iter().any(|known| known == value) {
            once.push(value.to_owned());
        }
    }
    once
}

/// How often a failed call is repeated; docker-machine turns that off by -1.
pub(crate) fn retries(values: &Values) -> Result<u8> {
    match values.integer("amazonec2-retries") {
        Some(-1) => Ok(0),
        _ => Ok(small(values, "amazonec2-retries", 0, 100)?.unwrap_or(5)),
    }
}
