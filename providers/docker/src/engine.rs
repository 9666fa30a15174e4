//! The local engine: one connection, and what is known of it.

use std::net::{IpAddr, UdpSocket};

use bollard::{Docker, errors::Error as Bollard};
use rmachine_provider_api::Result;

use crate::{errors, labels};

/// Time-out of one API call in seconds; builds and pulls answer all the while.
const CALL_SECONDS: u64 = 120;

/// The local engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) host: String,
}

impl Engine {
    /// Prepares the connection; nothing is asked yet but the API version.
    pub(crate) async fn connect(host: &str) -> Result<Self> {
        let version = bollard::API_DEFAULT_VERSION;
        let docker = match host.split_once("://") {
            Some(("tcp" | "http", _)) => Docker::connect_with_http(host, CALL_SECONDS, version),
            _ => Docker::connect_with_socket(host, CALL_SECONDS, version),
        };
        let failed = |e| errors::failed(host, "be asked for its version", e);
        let docker = docker.map_err(failed)?.negotiate_version().await.map_err(failed)?;
        Ok(Self { docker, host: host.to_owned() })
    }

    /// The error of a call that was to `what`.
    pub(crate) fn failed(&self, what: &str) -> impl FnOnce(Bollard) -> rmachine_provider_api::Error {
        move |error| errors::failed(&self.host, what, error)
    }

    /// All containers of `filters`, stopped ones too.
    pub(crate) async fn containers(
        &self,
        filters: std::collections::HashMap<String, Vec<String>>,
    ) -> Result<Vec<bollard::models::ContainerSummary>> {
        let options =
            bollard::query_parameters::ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.map_err(self.failed("list containers"))
    }

    /// The machine with `id`, when it is one of ours.
    pub(crate) async fn ours(&self, id: &str) -> Result<Option<bollard::models::ContainerInspectResponse>> {
        Ok(self.any(id).await?.filter(|found| {
            let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
            labels.is_some_and(|labels| labels.contains_key(labels::TOKEN))
        }))
    }

    /// The container with `id`, whosever it is.
    pub(crate) async fn any(&self, id: &str) -> Result<Option<bollard::models::ContainerInspectResponse>> {
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        match self.docker.inspect_container(id, options).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if errors::is_missing(&error) => Ok(None),
            Err(error) => Err(self.failed("look at a machine")(error)),
        }
    }
}

/// Whether this computer itself has `gateway`: then the engine's bridges are here, not in a virtual machine.
pub(crate) fn is_here(gateway: IpAddr) -> bool {
    UdpSocket::bind((gateway, 0)).is_ok()
}
