//! Addresses and ports of this computer that nobody else uses.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use rmachine_provider_api::{Error, Kind, Result};
use sha2::{Digest, Sha256};

use crate::publish::{Protocol, Published};

/// How long a listener of this computer may take to answer.
const ANSWER: Duration = Duration::from_millis(200);

/// Whether every address of 127.0.0.0/8 can be bound without being set up first (RFC 1122, section 3.2.1.3,
/// as Linux has it; other systems have 127.0.0.1 alone).
pub const WHOLE_NETWORK: bool = cfg!(target_os = "linux");

/// A loopback address, another one each time; 127.0.0.1 where there is no other. Drawn, since a stopped
/// machine holds its address without listening there.
pub fn some_address() -> Ipv4Addr {
    address_of(&RandomState::new().hash_one(std::process::id()).to_string())
}

/// The loopback address that `token` stands for.
fn address_of(token: &str) -> Ipv4Addr {
    if !WHOLE_NETWORK {
        return Ipv4Addr::LOCALHOST;
    }
    let digest = Sha256::digest(token.as_bytes());
    // 127.0 and 127.1 hold what systems and other tools use (127.0.0.53, 127.0.1.1).
    Ipv4Addr::new(127, 64 + digest[0] % 128, digest[1], 2 + digest[2] % 252)
}

/// Whether nothing listens at `port` of `address`.
///
/// A port that only root may bind counts as free when nobody answers there.
pub fn is_free(address: IpAddr, port: u16, protocol: Protocol) -> bool {
    let at = SocketAddr::new(address, port);
    let bound = match protocol {
        Protocol::Tcp => TcpListener::bind(at).map(drop),
        Protocol::Udp => UdpSocket::bind(at).map(drop),
    };
    match bound {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            protocol == Protocol::Udp || TcpStream::connect_timeout(&at, ANSWER).is_err()
        }
        Err(_) => false,
    }
}

/// The first of `preferred` that is free at `address`, else any free port.
///
/// # Errors
///
/// When no port of `address` can be bound.
pub fn free_port(address: IpAddr, preferred: &[u16]) -> Result<u16> {
    if let Some(port) = preferred.iter().find(|port| is_free(address, **port, Protocol::Tcp)) {
        return Ok(*port);
    }
    let any = TcpListener::bind(SocketAddr::new(address, 0)).and_then(|listener| listener.local_addr());
    any.map(|at| at.port())
        .map_err(|e| Error::new(Kind::Other, format!("no port of {address} can be listened at")).source(e))
}

/// Refuses ports that are in use, before anything is made; `own` is the address of ports that name none.
///
/// # Errors
///
/// [`Kind::Conflict`] that names the port and `flag`.
pub fn require_free(flag: &str, own: IpAddr, ports: &[Published]) -> Result<()> {
    for port in ports {
        let address = port.address.unwrap_or(own);
        if !is_free(address, port.port, port.protocol) {
            let at = SocketAddr::new(address, port.port);
            return Err(Error::new(
                Kind::Conflict,
                format!("the port {at}/{} is in use or cannot be bound", port.protocol),
            )
            .hint(format!("give another one with --{flag}, or end what listens there (`ss -ltnup` shows it)")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_follows_from_the_token() {
        assert_eq!(address_of("a"), address_of("a"));
        assert_ne!(address_of("a"), address_of("b"));
        assert!(address_of("a").is_loopback());
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(!is_free(here, port, Protocol::Tcp));
        assert_ne!(free_port(here, &[port]).unwrap(), port);
        let taken = Published { address: None, port, machine_port: 80, protocol: Protocol::Tcp };
        let error = require_free("x-publish", here, &[taken]).unwrap_err();
        assert!(error.to_string().contains(&port.to_string()) && error.kind() == Kind::Conflict);
        drop(listener);
        require_free("x-publish", here, &[taken]).unwrap();
    }
}
