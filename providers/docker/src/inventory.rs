//! What the engine holds of ours, and its removal.

use std::time::Duration;

use bollard::query_parameters::{ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
use rmachine_provider_api::{LeftBehind, MachineRef, MachineToken, Notify, Owner, Resource, ResourceKind, Result};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{engine::Engine, errors, labels, network, power};

type Labels = std::collections::HashMap<String, String>;

fn resource(kind: ResourceKind, id: String, labels: &Labels, created: Option<OffsetDateTime>) -> Resource {
    Resource {
        kind,
        id,
        owner: labels.get(labels::OWNER).cloned().map(Owner),
        token: labels.get(labels::TOKEN).cloned().map(MachineToken),
        machine: labels.get(labels::MACHINE).cloned(),
        created,
        location: None,
    }
}

fn moment(text: Option<&String>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text?, &Rfc3339).ok()
}

/// Everything with the owner's label: containers, volumes, networks.
pub(crate) async fn find(engine: &Engine, owner: Option<&Owner>) -> Result<Vec<Resource>> {
    let mut all = Vec::new();
    for container in engine.containers(labels::owned(owner)).await? {
        let created = container.created.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let labels = container.labels.unwrap_or_default();
        all.extend(container.id.map(|id| resource(ResourceKind::Instance, id, &labels, created)));
    }
    let options = ListVolumesOptionsBuilder::new().filters(&labels::owned(owner)).build();
    let volumes = engine.docker.list_volumes(Some(options)).await.map_err(engine.failed("list volumes"))?;
    for volume in volumes.volumes.unwrap_or_default() {
        let created = moment(volume.created_at.as_ref());
        all.push(resource(ResourceKind::Volume, volume.name, &volume.labels, created));
    }
    let options = ListNetworksOptionsBuilder::new().filters(&labels::owned(owner)).build();
    let networks = engine.docker.list_networks(Some(options)).await.map_err(engine.failed("list networks"))?;
    for network in networks {
        let created = moment(network.created.as_ref());
        let labels = network.labels.unwrap_or_default();
        all.extend(network.name.map(|name| resource(ResourceKind::Network, name, &labels, created)));
    }
    Ok(all)
}

/// Deletes the machine's container and volumes, and the network after the last one.
pub(crate) async fn destroy(engine: &Engine, machine: &MachineRef<'_>, notify: &dyn Notify) -> Result<()> {
    notify.progress("removing the container and its volumes");
    let gone = delete_all(engine, machine.token).await;
    let gone = match gone {
        // A create that was killed may have asked for a container that the engine is still making.
        Ok(()) if machine.unanswered.is_some() => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            delete_all(engine, machine.token).await
        }
        other => other,
    };
    gone.map_err(|error| error.left(LeftBehind::Unknown))?;
    network::remove_unused(engine, machine.owner).await
}

async fn delete_all(engine: &Engine, token: &MachineToken) -> Result<()> {
    for container in engine.containers(labels::token(token)).await? {
        power::delete(engine, container.id.as_deref().unwrap_or_default()).await?;
    }
    let options = ListVolumesOptionsBuilder::new().filters(&labels::token(token)).build();
    let volumes = engine.docker.list_volumes(Some(options)).await.map_err(engine.failed("list volumes"))?;
    for volume in volumes.volumes.unwrap_or_default() {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        errors::unless_missing(engine.docker.remove_volume(&volume.name, Some(options)).await)
            .map_err(engine.failed("remove a volume"))?;
    }
    Ok(())
}
