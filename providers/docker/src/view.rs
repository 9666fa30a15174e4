//! What the engine says of a container, in the words of the provider API.

use std::{collections::HashMap, net::IpAddr};

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerSummary, EndpointSettings};
use rmachine_provider_api::{Addresses, HostAddress, MachineState};

use crate::{engine, labels};

/// Exit code of a container whose engine ended under it.
const ENGINE_ENDED: i64 = 255;

pub(crate) fn addresses(
    labels: Option<&HashMap<String, String>>,
    networks: Option<&HashMap<String, EndpointSettings>>,
) -> Addresses {
    let dial: Option<IpAddr> = labels.and_then(|labels| labels.get(labels::ADDRESS)?.parse().ok());
    let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let endpoints = networks.into_iter().flat_map(HashMap::values);
    let mut private = Vec::new();
    let mut published = None;
    for endpoint in endpoints {
        let Some(own) = parse(&endpoint.ip_address) else { continue };
        if parse(&endpoint.gateway).is_some_and(engine::is_here) {
            published = Some(own);
        }
        private.push(own);
    }
    Addresses {
        dial: dial.map(HostAddress::from),
        public: dial.into_iter().collect(),
        private,
        published,
        names: Vec::new(),
    }
}

/// The state that lists and inspections name by the same words (Engine API, `ContainerState.Status`).
fn state(word: Option<impl ToString>) -> MachineState {
    match word.map(|word| word.to_string()).as_deref() {
        Some("running") => MachineState::Running,
        Some("paused") => MachineState::Paused,
        Some("restarting") => MachineState::Starting,
        Some("removing") => MachineState::Terminating,
        Some("created" | "exited") => MachineState::Stopped,
        Some("dead") => MachineState::Error,
        _ => MachineState::Unknown,
    }
}

pub(crate) fn of_summary(summary: &ContainerSummary) -> (MachineState, Addresses) {
    let state = state(summary.state);
    let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    (state, addresses(summary.labels.as_ref(), networks))
}

pub(crate) fn of_inspection(found: &ContainerInspectResponse) -> (MachineState, Addresses) {
    let state = state(found.state.as_ref().and_then(|state| state.status));
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    let networks = found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    (state, addresses(labels, networks))
}

/// Why a container does not run, in a few words.
pub(crate) fn reason(state: &ContainerState) -> String {
    match (state.oom_killed, state.exit_code, state.error.as_deref()) {
        (_, _, Some(error)) if !error.is_empty() => error.to_owned(),
        (Some(true), _, _) => "it was killed for want of memory".to_owned(),
        (_, Some(ENGINE_ENDED), _) => "the local engine or this computer was restarted under it".to_owned(),
        (_, Some(code), _) => format!("it ended with code {code}"),
        _ => "it does not run".to_owned(),
    }
}
