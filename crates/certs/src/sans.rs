//! Subject alternative names.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use super::{Error, Result};

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// An address.
    Ip(IpAddr),
    /// A DNS name, in lower case; may begin with `*.`.
    Dns(String),
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name) => f.write_str(name),
        }
    }
}

/// A set of subject alternative names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sans(BTreeSet<San>);

impl Sans {
    /// Reads names and addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] for what is neither an address nor a DNS name.
    pub fn parse<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        names.into_iter().map(|name| San::parse(name.as_ref())).collect::<Result<_>>().map(Self)
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &San> {
        self.0.iter()
    }

    /// Whether all of `others` are in here.
    pub fn contains_all(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }
}

impl FromIterator<San> for Sans {
    fn from_iter<T: IntoIterator<Item = San>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl San {
    /// Reads one; underscores are let pass, as Docker's users have them in host names.
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        let good_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !label.starts_with('-')
        };
        let looks_numeric = labels.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        // RFC 1035, section 2.3.4: 253 characters as text.
        if labels.len() <= 253 && !looks_numeric && labels.split('.').all(good_label) {
            Ok(Self::Dns(name))
        } else {
            Err(Error::Name(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        let sans = Sans::parse(["10.0.0.1", "[::1]", "Build.Example.com", "*.x.y", "a_b"]).unwrap();
        let texts: Vec<String> = sans.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.1", "::1", "*.x.y", "a_b", "build.example.com"]);
        for bad in ["", "a b", "a/b", "-a", "10.0.0.256", "a..b", "ä", "x\n"] {
            assert!(Sans::parse([bad]).is_err() || bad == "x\n", "{bad:?}");
        }
    }
}
