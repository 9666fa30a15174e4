//! Ports of a machine that are reached from this computer, in the notation of `docker run --publish`.

use std::{fmt, net::IpAddr};

use rmachine_provider_api::{Error, Result};
use serde::{Deserialize, Serialize};

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Published {
    /// Address on this computer; `None`: the machine's own loopback address.
    pub address: Option<IpAddr>,
    /// Port on this computer.
    pub port: u16,
    /// Port of the machine.
    pub machine_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Reads `[ADDRESS:]PORT[:MACHINE_PORT][/udp]`; a port may be a range `FIRST-LAST`, and an IPv6
/// address stands in brackets.
///
/// # Errors
///
/// [`rmachine_provider_api::Kind::InvalidInput`] that names `flag`.
pub fn parse(flag: &str, text: &str) -> Result<Vec<Published>> {
    let wrong = || {
        Error::invalid(format!("--{flag} takes a port to publish, not \"{text}\""))
            .hint("[ADDRESS:]PORT[:MACHINE_PORT][/udp], such as 8080, 8080:80, 127.0.0.1:5353:53/udp or 8000-8010")
    };
    let (rest, protocol) = match text.trim().rsplit_once('/') {
        None => (text.trim(), Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return Err(wrong()),
    };
    let (address, ports) = split_address(rest).ok_or_else(wrong)?;
    let (outer, inner) = ports.split_once(':').unwrap_or((ports, ports));
    let (outer, inner) = (range(outer).ok_or_else(wrong)?, range(inner).ok_or_else(wrong)?);
    if outer.len() != inner.len() {
        return Err(wrong());
    }
    let one = |(port, machine_port)| Published { address, port, machine_port, protocol };
    Ok(outer.into_iter().zip(inner).map(one).collect())
}

fn split_address(text: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, ports) = rest.split_once("]:")?;
        return Some((Some(address.parse().ok()?), ports));
    }
    match text.split_once(':') {
        Some((address, ports)) if address.contains('.') => Some((Some(address.parse().ok()?), ports)),
        _ => Some((None, text)),
    }
}

fn range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then(|| (first..=last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Option<String>, u16, u16, Protocol)> {
        let all = parse("x-publish", text).unwrap();
        all.into_iter().map(|p| (p.address.map(|a| a.to_string()), p.port, p.machine_port, p.protocol)).collect()
    }

    #[test]
    fn every_form_reads() {
        use Protocol::{Tcp, Udp};
        assert_eq!(read("8080"), [(None, 8080, 8080, Tcp)]);
        assert_eq!(read("8080:80/tcp"), [(None, 8080, 80, Tcp)]);
        assert_eq!(read("127.0.0.1:5353:53/udp"), [(Some("127.0.0.1".into()), 5353, 53, Udp)]);
        assert_eq!(read("[::1]:80"), [(Some("::1".into()), 80, 80, Tcp)]);
        assert_eq!(read("90-91:80-81"), [(None, 90, 80, Tcp), (None, 91, 81, Tcp)]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0", "x", "1:2:3", "1-3:5", "3-1", "80/sctp", "1.2.3:80", "70000", "::1:80"] {
            let error = parse("x-publish", text).unwrap_err();
            assert!(error.to_string().contains("--x-publish"), "{text}");
        }
    }
}
