//! EC2's instances in the core's words.

use std::net::IpAddr;

use aws_sdk_ec2::types::{Instance as Ec2Instance, InstanceStateName};
use rmachine_provider_api::{Addresses, InstanceId, MachineState, Observed};

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
        dial: dial.map(ToString::to_string),
        public: public.iter().chain(&ipv6).copied().collect(),
        private,
        names: names.into_iter().flatten().filter(|name| !name.is_empty()).map(str::to_owned).collect(),
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
