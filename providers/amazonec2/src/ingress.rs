//! Who may connect: the caller's address, and the rules that admit it and nobody else.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rmachine_provider_api::{Error, Kind, Result};

use crate::{
    client::{self, Aws},
    config::Reach,
    values::OpenPort,
};

/// Answers the caller's public address as text; AWS's own service (docs.aws.amazon.com/sdkref, "checkip").
const ECHO: &str = "https://checkip.amazonaws.com";
const ECHO_VARIABLE: &str = "RMACHINE_IP_ECHO_URL";
const ECHO_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of its answer is read; an address has 45 characters at most.
const ECHO_MOST: usize = 1024;
/// Somewhere in the global unicast space (RFC 4291, section 2.4); only the local route to it is asked for.
const ANY_IPV6: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);

/// The caller's address as the instance will see it, as a network of one.
pub(crate) async fn caller(aws: &Aws, reach: Reach, subnet_cidr: &str) -> Result<IpNet> {
    let address = match reach {
        Reach::Public => match echoed(aws).await? {
            IpAddr::V6(address) => {
                return Err(Error::invalid(format!("your address is {address}, and the machine has a public IPv4 address"))
                    .hint("name your IPv4 network (--amazonec2-ingress-cidr, or after `rmachine allow NAME`), or use --amazonec2-use-ipv6-address"));
            }
            address @ IpAddr::V4(_) => address,
        },
        Reach::Private | Reach::PrivateOnly => {
            let network: Ipv4Net = subnet_cidr.parse().map_err(|_| unknown("the subnet has no IPv4 network"))?;
            local_source(IpAddr::V4(network.network()))?
        }
        Reach::Ipv6 => local_source(IpAddr::V6(ANY_IPV6))?,
    };
    Ok(IpNet::from(address))
}

fn unknown(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unreachable, "your own address cannot be found, so it cannot be admitted alone")
        .source(cause)
        .hint("say who may connect with --amazonec2-ingress-cidr CIDR, or set RMACHINE_IP_ECHO_URL to a service that answers your address")
}

/// The address that the kernel would send from; nothing is sent.
fn local_source(target: IpAddr) -> Result<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let local = UdpSocket::bind(any)
        .and_then(|socket| {
            socket.connect(SocketAddr::new(target, 9))?;
            socket.local_addr()
        })
        .map_err(unknown)?;
    Ok(local.ip())
}

async fn echoed(aws: &Aws) -> Result<IpAddr> {
    let url = std::env::var(ECHO_VARIABLE).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| ECHO.to_owned());
    let failed = |cause: String| unknown(format!("{url}: {cause}"));
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(url.as_str()).map_err(|e| failed(e.to_string()))?;
    if is_open_to_others(&url) {
        aws.warn(&format!(
            "{ECHO_VARIABLE} is plain http: whoever is on the way to it can have another address admitted than yours"
        ));
    }
    let work = async {
        let response = client::connector().call(request).await.map_err(|e| failed(e.to_string()))?;
        if !response.status().is_success() {
            return Err(failed(format!("HTTP status {}", response.status().as_u16())));
        }
        let mut parts = ByteStream::new(response.into_body());
        let mut body = Vec::new();
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.map_err(|e| failed(e.to_string()))?);
            if body.len() > ECHO_MOST {
                return Err(failed(format!("it answers more than {ECHO_MOST} bytes")));
            }
        }
        let text = String::from_utf8_lossy(&body);
        text.trim().parse().map_err(|_| failed(format!("it answers {:?}", text.chars().take(60).collect::<String>())))
    };
    tokio::time::timeout(ECHO_TIMEOUT, work).await.unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
}

/// Whether somebody on the way to `url` can change what it answers: over plain http, unless it is on this computer.
fn is_open_to_others(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    uri.scheme_str() == Some("http") && !here
}

/// The ports of a machine that its user reaches: SSH, and the engine unless SSH leads there.
pub(crate) fn ports(ssh: u16, engine: u16, engine_through_ssh: bool) -> Vec<u16> {
    if engine_through_ssh { vec![ssh] } else { vec![ssh, engine] }
}

/// The rules of a machine's own group: `ports` for `sources`, `open` for all.
pub(crate) fn permissions(ports: &[u16], sources: &[IpNet], open: &[OpenPort]) -> Vec<IpPermission> {
    let mut rules: Vec<IpPermission> = Vec::new();
    let mut seen = Vec::new();
    for port in ports {
        if !seen.contains(port) {
            seen.push(*port);
            rules.push(rule("tcp", *port, *port, sources));
        }
    }
    let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    rules.extend(open.iter().map(|port| rule(&port.protocol, port.first, port.last, &all)));
    rules
}

fn rule(protocol: &str, first: u16, last: u16, sources: &[IpNet]) -> IpPermission {
    let mut builder =
        IpPermission::builder().ip_protocol(protocol).from_port(i32::from(first)).to_port(i32::from(last));
    for source in sources {
        builder = match source {
            IpNet::V4(net) => {
                builder.ip_ranges(IpRange::builder().cidr_ip(net.to_string()).description("rmachine").build())
            }
            IpNet::V6(net) => {
                builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(net.to_string()).description("rmachine").build())
            }
        };
    }
    builder.build()
}

/// The networks that `rules` admit to the TCP port `port`.
pub(crate) fn admitted(rules: &[IpPermission], port: u16) -> Vec<IpNet> {
    let port = i32::from(port);
    let covers = |rule: &&IpPermission| match rule.ip_protocol() {
        Some("-1") => true,
        Some("tcp" | "6") => rule.from_port().unwrap_or(0) <= port && port <= rule.to_port().unwrap_or(65_535),
        _ => false,
    };
    rules.iter().filter(covers).flat_map(networks).collect()
}

/// The networks that a rule names; groups and prefix lists are left out.
pub(crate) fn networks(rule: &IpPermission) -> impl Iterator<Item = IpNet> + '_ {
    let v4 = rule.ip_ranges().iter().filter_map(IpRange::cidr_ip);
    let v6 = rule.ipv6_ranges().iter().filter_map(Ipv6Range::cidr_ipv6);
    v4.chain(v6).filter_map(|cidr| cidr.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_admits_the_sources_and_opens_what_was_asked() {
        let sources = ["192.0.2.7/32".parse().unwrap(), "2001:db8::/48".parse().unwrap()];
        let open = [OpenPort { protocol: "udp".into(), first: 53, last: 53 }];
        let rules = permissions(&[22, 2376, 22], &sources, &open);
        assert_eq!(rules.len(), 3);
        assert_eq!(admitted(&rules, 2376), sources);
        assert_eq!(admitted(&rules, 80), []);
        assert_eq!(networks(&rules[2]).map(|n| n.to_string()).collect::<Vec<_>>(), ["0.0.0.0/0", "::/0"]);
    }

    #[test]
    fn an_echo_service_over_plain_http_is_open_to_others() {
        for url in ["http://ip.example", "HTTP://192.0.2.1:80/ip", "http://[2001:db8::1]/"] {
            assert!(is_open_to_others(url), "{url}");
        }
        for url in [ECHO, "http://127.0.0.1:5000/_lab/ip", "http://[::1]:9/", "http://localhost/ip", "no url"] {
            assert!(!is_open_to_others(url), "{url}");
        }
    }

    #[test]
    fn private_addressing_asks_the_kernel_only() {
        assert_eq!(local_source("127.0.0.0".parse().unwrap()).unwrap(), IpAddr::from([127, 0, 0, 1]));
    }
}
