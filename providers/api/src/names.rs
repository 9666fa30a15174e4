//! Names that come from files and clouds: each is checked where it is read, whoever wrote it.
//!
//! A token or an id goes into filters, where `*` and `?` mean all that fit (EC2's `Filter`); an address goes into the
//! configuration of other programs. What has not the form of its type is none.

use std::{error, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most characters of a refused text that are shown.
const SHOWN: usize = 60;
/// Longest DNS name, and longest part of one (RFC 1035).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    what: &'static str,
    form: &'static str,
    text: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, form, text } = self;
        let shown: String = text.chars().take(SHOWN).collect();
        let cut = if shown.len() < text.len() { "…" } else { "" };
        write!(f, "invalid {what} {shown:?}{cut}: {form}")
    }
}

impl error::Error for Malformed {}

impl From<Malformed> for crate::Error {
    fn from(error: Malformed) -> Self {
        Self::invalid(error.to_string())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $form:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(Malformed { what: $what, form: $form, text }) }
            }
        }

        impl FromStr for $type {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! from_bits {
    ($($type:ident),*) => {$(
        impl $type {
            /// The one of these bits, which are random ones for a new one.
            pub fn from_bits(bits: u128) -> Self {
                Self(format!("{bits:032x}"))
            }
        }
    )*};
}

name!(
    /// Random id of one store; on every resource that its machines own. gc acts on its own only.
    Owner,
    "owner",
    "it has 1 to 64 letters, digits, `.`, `_` and `-`",
    |text| is_word(text, 64, "._-")
);
name!(
    /// Random id of one machine; on every resource made for it, in the call that makes it.
    MachineToken,
    "machine token",
    "it has 32 hexadecimal digits",
    |text| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);
name!(
    /// Idempotency token of one create attempt (EC2's `ClientToken`); never reused for another request.
    AttemptToken,
    "attempt token",
    "it has 1 to 64 letters, digits and `-`",
    |text| is_word(text, 64, "-")
);
name!(
    /// The provider's id of an instance, such as `i-0123456789abcdef0`; for hosts of others their address.
    InstanceId,
    "instance id",
    "it has 1 to 255 letters, digits, `.`, `_`, `:`, `%` and `-`",
    |text| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._:%-".contains(&b);
        (1..=255).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['-', '.', '%'])
    }
);
name!(
    /// An address to dial: an IP address or a DNS name.
    HostAddress,
    "address",
    "it is an IP address or a DNS name",
    |text| is_ip(text) || is_dns_name(text)
);

from_bits!(Owner, MachineToken, AttemptToken);

impl Owner {
    /// The owner of machines in a store that has no id yet; nothing in a cloud is its own.
    pub fn unnamed() -> Self {
        Self("unnamed".to_owned())
    }
}

impl InstanceId {
    /// One of these bits, behind `prefix`, which is of letters, digits and `-`.
    pub fn from_bits(prefix: &'static str, bits: u64) -> Self {
        Self(format!("{prefix}{bits:016x}"))
    }
}

impl HostAddress {
    /// The IP address, where it is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl From<IpAddr> for HostAddress {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

/// Hosts that others made have no other id.
impl From<&HostAddress> for InstanceId {
    fn from(address: &HostAddress) -> Self {
        Self(address.0.clone())
    }
}

/// Letters, digits and `others`, a letter or digit first.
fn is_word(text: &str, longest: usize, others: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= longest
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// An IP address; one of IPv6 may name its zone (RFC 4007), as `fe80::1%eth0`.
fn is_ip(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => address.parse::<std::net::Ipv6Addr>().is_ok() && is_word(zone, 16, "._-"),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// A DNS name; `_` is in names of hosts that people use. What ends in a number is read as an IPv4 address by some
/// (`127.1`), and is none.
fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let is_number = |label: &str| {
        label.bytes().all(|b| b.is_ascii_digit())
            || label
                .strip_prefix("0x")
                .or(label.strip_prefix("0X"))
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is none of these, whatever is asked for.
    const HOSTILE: [&str; 14] = [
        "",
        "*",
        "?",
        "a*",
        "i-?",
        "a b",
        "a\nMatch exec x",
        "a\r",
        "a\0",
        "a\u{202e}b",
        "-oProxyCommand=x",
        "../x",
        "a;b",
        "a$(id)",
    ];

    #[test]
    fn what_is_not_of_the_form_is_refused_and_shown_without_its_controls() {
        for text in HOSTILE {
            let errors = [
                text.parse::<Owner>().map(drop).unwrap_err(),
                text.parse::<MachineToken>().map(drop).unwrap_err(),
                text.parse::<AttemptToken>().map(drop).unwrap_err(),
                text.parse::<InstanceId>().map(drop).unwrap_err(),
                text.parse::<HostAddress>().map(drop).unwrap_err(),
            ];
            for error in errors {
                let said = error.to_string();
                assert!(!said.contains(char::is_control) && !said.contains('\u{202e}'), "{said:?}");
            }
        }
        assert!("x".repeat(300).parse::<InstanceId>().is_err());
        let long = "é".repeat(3000).parse::<Owner>().unwrap_err().to_string();
        assert!(long.len() < 250, "{long}");
    }

    #[test]
    fn tokens_have_32_digits() {
        assert_eq!(MachineToken::from_bits(0xab).as_str(), "000000000000000000000000000000ab");
        assert!(MachineToken::from_bits(u128::MAX).as_str().parse::<MachineToken>().is_ok());
        for bad in
            ["0123456789abcdef0123456789abcde", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde*"]
        {
            assert!(bad.parse::<MachineToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_ips_and_dns_names() {
        for good in
            ["192.0.2.1", "::1", "fe80::1%eth0", "h", "ec2-1.compute.amazonaws.com", "a.b.", "my_host", "1a.example"]
        {
            let address: HostAddress = good.parse().unwrap();
            assert!(InstanceId::from(&address).as_str().parse::<InstanceId>().is_ok(), "{good}");
        }
        for bad in [
            "127.1",
            "1",
            "0x7f",
            "a.0x1",
            "a..b",
            ".a",
            "-a",
            "a-.b",
            "[::1]",
            "h:22",
            "u@h",
            "h/x",
            "a\\b",
            "fe80::1%",
            "fe80::1%a b",
            "1.2.3.4%eth0",
        ] {
            assert!(bad.parse::<HostAddress>().is_err(), "{bad}");
        }
        assert_eq!("::1".parse::<HostAddress>().unwrap().ip(), Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        assert!(format!("{}.", "a".repeat(254)).parse::<HostAddress>().is_err());
    }

    #[test]
    fn they_are_checked_where_they_are_read() {
        let read = |text: &str| serde_json::from_str::<MachineToken>(text);
        assert!(read("\"*\"").unwrap_err().to_string().contains("machine token") && read("7").is_err());
        let id: InstanceId = serde_json::from_str("\"i-0123\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"i-0123\"");
    }
}
