//! The filters of `ls`.

use regex_lite::Regex;
use rmachine_model::error::{Error, Result};

use super::{Listed, Status};

/// What `ls --filter KEY=VALUE` selects; values of one key are alternatives, keys add up.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    drivers: Vec<String>,
    states: Vec<String>,
    names: Vec<Regex>,
    labels: Vec<String>,
    swarms: Vec<String>,
}

impl Filter {
    /// Reads `KEY=VALUE` filters; the keys are docker-machine's: driver, state, name, label, swarm.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Usage`] that names the keys.
    pub fn parse(filters: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        for filter in filters {
            let Some((key, value)) = filter.split_once('=') else {
                return Err(Error::usage(format!("invalid filter {filter:?}")).hint(FILTER_HINT));
            };
            match key.to_ascii_lowercase().as_str() {
                "driver" => parsed.drivers.push(value.to_owned()),
                "state" => {
                    if !Status::ALL.iter().any(|state| state.word().eq_ignore_ascii_case(value)) {
                        let words: Vec<&str> = Status::ALL.iter().map(|state| state.word()).collect();
                        return Err(Error::usage(format!("unknown state \"{value}\""))
                            .hint(format!("states are {}", words.join(", "))));
                    }
                    parsed.states.push(value.to_owned());
                }
                "label" => parsed.labels.push(value.to_owned()),
                "swarm" => parsed.swarms.push(value.to_owned()),
                "name" => {
                    parsed.names.push(Regex::new(value).map_err(|e| {
                        Error::usage(format!("the filter {filter:?} is no regular expression")).source(e)
                    })?);
                }
                _ => return Err(Error::usage(format!("unknown filter \"{key}\"")).hint(FILTER_HINT)),
            }
        }
        Ok(parsed)
    }

    /// Whether the state of the machines has to be known.
    pub fn needs_state(&self) -> bool {
        !self.states.is_empty()
    }

    pub(super) fn admits_record(&self, listed: &Listed) -> bool {
        let any = |wanted: &[String], test: &dyn Fn(&str) -> bool| wanted.is_empty() || wanted.iter().any(|w| test(w));
        any(&self.drivers, &|w| listed.driver.eq_ignore_ascii_case(w))
            && any(&self.labels, &|w| listed.labels.iter().any(|label| same_label(label, w)))
            && any(&self.swarms, &|w| w.is_empty())
            && (self.names.is_empty() || self.names.iter().any(|name| name.is_match(&listed.name)))
    }

    pub(super) fn admits_state(&self, state: Status) -> bool {
        self.states.is_empty() || self.states.iter().any(|w| state.word().eq_ignore_ascii_case(w))
    }
}

/// Keys are compared as they are, values without case, as docker-machine does.
fn same_label(label: &str, wanted: &str) -> bool {
    match (label.split_once('='), wanted.split_once('=')) {
        (Some((key, value)), Some((wanted_key, wanted))) => key == wanted_key && value.eq_ignore_ascii_case(wanted),
        _ => label == wanted,
    }
}

const FILTER_HINT: &str = "filters are driver=NAME, state=STATE, name=REGEX, label=KEY=VALUE and swarm=NAME";

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn filters_name_their_keys() {
        let parse = |f: &str| Filter::parse(&[f.to_owned()]);
        assert!(parse("state=Running").unwrap().needs_state());
        assert!(!parse("driver=none").unwrap().needs_state());
        assert_eq!(parse("color=red").unwrap_err().to_string(), "unknown filter \"color\"");
        assert!(parse("name=(").is_err() && parse("running").is_err());
    }
}
