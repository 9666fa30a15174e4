//! What the cloud holds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use rmachine_provider_api::{
    Addresses, CreateRequest, Error, Kind, MachineState, MachineToken, Resource, ResourceKind, Result,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One thing that the account holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Kind, id and tags.
    pub resource: Resource,
    /// State, of an instance.
    pub state: MachineState,
    /// Addresses, of an instance.
    pub addresses: Addresses,
    /// Networks that are admitted, of a security group.
    pub rules: Vec<IpNet>,
    /// First-boot data, of an instance of an account with a host behind it.
    #[serde(with = "as_text")]
    pub user_data: Option<Vec<u8>>,
    /// How often it was booted after the first time, of an instance.
    pub boots: u32,
    /// Whether it is a one-time spot instance.
    pub(crate) spot: bool,
    /// Idempotency token and fingerprint of the request, of an instance.
    pub(crate) attempt: Option<(String, u64)>,
    /// Looks that it takes until it is seen, or until a terminating one is terminated.
    pub(crate) looks: usize,
}

/// Where every instance answers, of an account with a host behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) ssh: SocketAddr,
    pub(crate) engine_port: u16,
}

/// The state of an account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cloud {
    pub(crate) held: Vec<Held>,
    pub(crate) next: u16,
    pub(crate) visible_after: usize,
    pub(crate) token: Option<String>,
    pub(crate) host: Option<Host>,
    /// Whether filters answer all that has tags, as EC2's do for `*`.
    #[serde(default)]
    pub(crate) answers_everything: bool,
    /// What the console of every instance has, and when it was read, in seconds since 1970.
    #[serde(default)]
    pub(crate) console: Option<(String, Option<i64>)>,
    /// How often what a killed preflight may have left was swept.
    #[serde(default)]
    pub(crate) swept: u32,
}

/// Whether `text` fits `pattern`, in which `*` is any characters and `?` is one, as in the filters of EC2.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            fits(&pattern[1..], text) || text.chars().next().is_some_and(|c| fits(pattern, &text[c.len_utf8()..]))
        }
        (Some('?'), Some(c)) => fits(&pattern[1..], &text[c.len_utf8()..]),
        (Some(p), Some(c)) if p == c => fits(&pattern[p.len_utf8()..], &text[c.len_utf8()..]),
        _ => false,
    }
}

impl Held {
    pub(crate) fn of(resource: Resource, looks: usize) -> Self {
        Self {
            resource,
            state: MachineState::Unknown,
            addresses: Addresses::default(),
            rules: Vec::new(),
            spot: false,
            attempt: None,
            user_data: None,
            boots: 0,
            looks,
        }
    }

    pub(crate) fn is_of(&self, kind: ResourceKind, token: &MachineToken) -> bool {
        self.resource.kind == kind && self.resource.token.as_ref() == Some(token)
    }

    /// Whether a filter for `token` finds it.
    pub(crate) fn is_found_by(&self, token: &MachineToken, everything: bool) -> bool {
        let pattern = if everything { "*" } else { token.as_str() };
        self.resource.token.as_ref().is_some_and(|its| fits(pattern, its.as_str()))
    }

    pub(crate) fn is_visible(&self) -> bool {
        self.looks == 0 || self.state == MachineState::Terminating
    }
}

impl Cloud {
    /// A look: what was hidden comes nearer, what is terminating goes, with its volume.
    pub(crate) fn time_passes(&mut self) {
        let mut gone = Vec::new();
        for held in &mut self.held {
            held.looks = held.looks.saturating_sub(1);
            if held.looks == 0 && held.state == MachineState::Terminating {
                held.state = MachineState::Terminated;
                gone.push(held.resource.token.clone());
            }
        }
        self.held.retain(|h| h.resource.kind != ResourceKind::Volume || !gone.contains(&h.resource.token));
    }

    pub(crate) fn make(&mut self, kind: ResourceKind, prefix: &str, request: &CreateRequest) -> &mut Held {
        self.next += 1;
        let resource = Resource {
            kind,
            id: format!("{prefix}-{:08x}", self.next),
            owner: Some(request.owner.clone()),
            token: Some(request.token.clone()),
            machine: Some(request.name.clone()),
            created: Some(OffsetDateTime::now_utc()),
            location: Some("here".to_owned()),
            detail: None,
            monthly_usd: None,
        };
        self.held.push(Held::of(resource, self.visible_after));
        let last = self.held.len() - 1;
        &mut self.held[last]
    }

    pub(crate) fn instance(&mut self, id: &str) -> Result<&mut Held> {
        self.held
            .iter_mut()
            .find(|h| h.resource.id == id && h.state != MachineState::Terminated)
            .ok_or_else(|| Error::new(Kind::NotFound, format!("there is no instance {id}")))
    }

    /// New addresses, all of them loopback: nothing may ever dial a stranger.
    pub(crate) fn addresses(&mut self) -> Addresses {
        self.next += 1;
        let [high, low] = self.next.to_be_bytes();
        let public = IpAddr::V4(Ipv4Addr::new(127, 77, high, low));
        let dial = self.host.map_or(public, |host| host.ssh.ip());
        Addresses {
            published: None,
            dial: Some(dial.into()),
            public: vec![public],
            private: vec![IpAddr::V4(Ipv4Addr::new(127, 78, high, low))],
            names: format!("ip-{}.fake.test", public.to_string().replace('.', "-")).parse().into_iter().collect(),
        }
    }
}

/// Bytes as one string, which is quicker to read than a list of numbers.
mod as_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn filters_take_wildcards() {
        for (pattern, text) in
            [("*", ""), ("*", "ab"), ("a*", "ab"), ("?b", "ab"), ("a*c*", "abcd"), ("é?", "éé"), ("", "")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("?", ""), ("a*", "ba"), ("a", "ab"), ("??", "a")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
