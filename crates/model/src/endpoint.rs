//! Where an engine listens.

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// `HOST:PORT`, with brackets around an IPv6 address (RFC 3986, section 3.2.2).
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The value of `DOCKER_HOST`.
    pub fn url(&self) -> String {
        format!("tcp://{}", self.authority())
    }
}
