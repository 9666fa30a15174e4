//! EC2's instances in the core's words.

use std::net::IpAddr;

use aws_sdk_ec2::types::{Instance as Ec2Instance, InstanceStateName};
use rmachine_provider_api::{Addresses, Error, HostAddress, InstanceId, LegacyFields, MachineState, Observed, Result};

use crate::config::Reach;

pub(crate) fn state(instance: &Ec2Instance) -> MachineState {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) => MachineState::Starting,
        Some(InstanceStateName::Running) => MachineState::Running,
        Some(InstanceStateName::Stopping) => MachineState::Stopping,
        Some(InstanceStateName::Stopped) => MachineState::Stopped,
        Some(InstanceStateName::ShuttingDown) => MachineState::Terminating,
        Some(InstanceStateName::Terminated) => MachineState::Terminated,
        _ => MachineState::Unknown,
    }
}

/// The id in field `name`, which is to be one of EC2's: 8 hexadecimal digits, or 17 (Amazon EC2 User Guide, Resource IDs).
pub(crate) fn id_of(fields: LegacyFields<'_>, name: &str) -> Result<Option<InstanceId>> {
    let Some(id) = fields.parsed::<InstanceId>(name)? else { return Ok(None) };
    let digits = id.as_str().strip_prefix("i-").unwrap_or_default();
    if matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Some(id));
    }
    Err(Error::invalid(format!("{name} is {:?}, which is no id of an instance on EC2", id.as_str())))
}

/// Why an instance is in its state, in EC2's words.
pub(crate) fn reason(instance: &Ec2Instance) -> Option<String> {
    let reason = instance.state_reason()?;
    let words = [reason.code(), reason.message()].into_iter().flatten().find(|words| !words.is_empty());
    words.map(str::to_owned)
}

/// The addresses of an instance, and the one to dial for `reach`.
pub(crate) fn addresses(instance: &Ec2Instance, reach: Reach) -> Addresses {
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    let ipv6: Vec<IpAddr> = instance
        .network_interfaces()
        .iter()
        .flat_map(|nic| nic.ipv6_addresses())
        .filter_map(|address| address.ipv6_address().and_then(ip))
        .collect();
    let public: Vec<IpAddr> = instance.public_ip_address().and_then(ip).into_iter().collect();
    let private: Vec<IpAddr> = instance.private_ip_address().and_then(ip).into_iter().collect();
    let dial = match reach {
        Reach::Public => public.first(),
        Reach::Private | Reach::PrivateOnly => private.first(),
        Reach::Ipv6 => ipv6.first(),
    };
    let names = [instance.public_dns_name(), instance.private_dns_name()];
    Addresses {
        published: None,
        dial: dial.copied().map(HostAddress::from),
        public: public.iter().chain(&ipv6).copied().collect(),
        private,
        names: names.into_iter().flatten().filter_map(|name| name.parse().ok()).collect(),
    }
}

/// What was seen of `id`; an instance that is not listed is absent.
pub(crate) fn observed(id: &InstanceId, instance: Option<&Ec2Instance>, reach: Reach) -> Observed {
    match instance {
        Some(instance) => Observed {
            id: id.clone(),
            state: state(instance),
            addresses: addresses(instance, reach),
            reason: reason(instance),
        },
        None => Observed { id: id.clone(), state: MachineState::Absent, addresses: Addresses::default(), reason: None },
    }
}
