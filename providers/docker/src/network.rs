//! The network that all machines of a store share, so that they reach each other by name.

use std::collections::HashMap;

use bollard::models::{EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use rmachine_provider_api::{Cx, Owner, Result};

use crate::{engine::Engine, errors, labels, lock};

pub(crate) fn name(owner: &Owner) -> String {
    format!("rmachine-{}", owner.as_str().get(..8).unwrap_or(owner.as_str()))
}

/// Makes the network where it is missing.
pub(crate) async fn ensure(engine: &Engine, owner: &Owner, cx: &Cx<'_>) -> Result<()> {
    if exists(engine, owner).await? {
        return Ok(());
    }
    // Older engines (API below 1.44) make several of one name.
    let _lock = lock::network().await;
    if exists(engine, owner).await? {
        return Ok(());
    }
    let request = NetworkCreateRequest {
        name: name(owner),
        driver: Some("bridge".to_owned()),
        labels: Some(HashMap::from([(labels::OWNER.to_owned(), owner.to_string())])),
        ..NetworkCreateRequest::default()
    };
    cx.check()?;
    engine.docker.create_network(request).await.map_err(engine.failed("make the machines' network"))?;
    Ok(())
}

async fn exists(engine: &Engine, owner: &Owner) -> Result<bool> {
    let options =
        bollard::query_parameters::ListNetworksOptionsBuilder::new().filters(&labels::owned(Some(owner))).build();
    let found = engine.docker.list_networks(Some(options)).await.map_err(engine.failed("list networks"))?;
    Ok(found.iter().any(|network| network.name.as_deref() == Some(&name(owner))))
}

/// How a machine hangs on it.
pub(crate) fn endpoint(machine: &str) -> EndpointSettings {
    EndpointSettings { aliases: Some(vec![machine.to_owned()]), ..EndpointSettings::default() }
}

/// Hangs the container `id` on the network anew: somebody has pruned it while the machine was stopped.
pub(crate) async fn reconnect(engine: &Engine, owner: &Owner, id: &str, machine: &str, cx: &Cx<'_>) -> Result<()> {
    ensure(engine, owner, cx).await?;
    cx.check()?;
    let network = name(owner);
    let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
    // It refuses when the container does not hang on it, which is what is wanted.
    if let Err(error) = engine.docker.disconnect_network(&network, request).await {
        tracing::debug!("disconnect {network}: {error}");
    }
    cx.check()?;
    let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint(machine)) };
    engine.docker.connect_network(&network, request).await.map_err(engine.failed("connect a machine to its network"))
}

/// Removes the network after the last machine.
pub(crate) async fn remove_unused(engine: &Engine, owner: &Owner, cx: &Cx<'_>) -> Result<()> {
    let _lock = lock::network().await;
    // Stopped machines count: an engine would take the network away under them.
    if !engine.containers(labels::owned(Some(owner))).await?.is_empty() {
        return Ok(());
    }
    cx.check()?;
    match errors::unless_missing(engine.docker.remove_network(&name(owner)).await) {
        Ok(()) => Ok(()),
        // A machine came meanwhile, or a container of the user's hangs on it.
        Err(error) if error.to_string().contains("active endpoints") => {
            tracing::debug!("the network stays: {error}");
            Ok(())
        }
        Err(error) => Err(engine.failed("remove the machines' network")(error)),
    }
}
