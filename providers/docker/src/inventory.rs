//! What the engine holds of ours, and its removal.

use std::time::{Duration, Instant};

use bollard::{
    errors::Error as Bollard,
    query_parameters::{
        CreateContainerOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
    },
};
use rmachine_provider_api::{
    CreateRequest, Cx, Error, Kind, LeftBehind, MachineRef, MachineToken, Notify, Owner, Resource, ResourceKind, Result,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{container, create, engine::Engine, errors, labels, network, plan::Resolved};

/// How long a busy engine may take to make a container.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// How long a volume or a network that was asked for may take to be there.
const SETTLING: Duration = Duration::from_secs(1);

type Labels = std::collections::HashMap<String, String>;

fn resource(kind: ResourceKind, id: String, labels: &Labels, created: Option<OffsetDateTime>) -> Resource {
    Resource {
        kind,
        id,
        owner: labels.get(labels::OWNER).and_then(|text| text.parse().ok()),
        token: labels.get(labels::TOKEN).and_then(|text| text.parse().ok()),
        machine: labels.get(labels::MACHINE).cloned(),
        created,
        location: None,
        detail: None,
        monthly_usd: Some(0.0),
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
pub(crate) async fn destroy(engine: &Engine, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
    if let Some(instance) = machine.instance {
        check_token(engine, instance.id.as_str(), machine).await?;
    }
    cx.progress("removing the container and its volumes");
    let gone = async {
        if let Some(request) = machine.unanswered.filter(|_| machine.intents.iter().any(|i| i == create::CONTAINER)) {
            settle(engine, request, cx).await?;
        }
        delete_all(engine, machine.token, cx).await
    };
    gone.await.map_err(|error| error.left(LeftBehind::Unknown))?;
    network::remove_unused(engine, machine.owner, cx).await?;
    if machine.unanswered.is_some() {
        // A killed create may have asked for a volume or the network, which come a moment later.
        cx.pause(SETTLING).await?;
        delete_all(engine, machine.token, cx).await.map_err(|error| error.left(LeftBehind::Unknown))?;
        network::remove_unused(engine, machine.owner, cx).await?;
    }
    Ok(())
}

/// Refuses a record whose container is another machine's, or nobody's.
async fn check_token(engine: &Engine, id: &str, machine: &MachineRef<'_>) -> Result<()> {
    let Some(found) = engine.any(id).await? else { return Ok(()) };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    if is_of(&labels, machine.token) {
        return Ok(());
    }
    let name = machine.name;
    Err(Error::new(
        Kind::Conflict,
        format!("the container {id} does not carry the token of machine \"{name}\", so it is another one's"),
    )
    .hint(format!("`rmachine rm -f {name}` forgets the record")))
}

/// Whether a thing with `labels` is of the machine with `token`; what a filter answers is compared before it is changed.
fn is_of(labels: &Labels, token: &MachineToken) -> bool {
    labels.get(labels::TOKEN).is_some_and(|value| value == token.as_str())
}

/// Ends a create that was killed after it had asked for its container: the engine may still be making it. It
/// takes the name first, so that the same request again tells.
async fn settle(engine: &Engine, request: &CreateRequest, cx: &Cx<'_>) -> Result<()> {
    cx.check()?;
    let name = container::name(request);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = container::body(request, &Resolved::read(&request.plan)?);
    match engine.docker.create_container(Some(options), body).await {
        // Nothing was under way.
        Ok(made) => return delete(engine, Thing::Container(&made.id), &Cx::silent()).await,
        Err(Bollard::DockerResponseServerError { status_code: 409, .. }) => {}
        // It cannot be made (the image is gone, …), so that it was not made either.
        Err(Bollard::DockerResponseServerError { message, .. }) => {
            tracing::debug!("{name} is not under way: {message}");
            return Ok(());
        }
        Err(error) => return Err(engine.failed("tell whether a container is under way")(error)),
    }
    let deadline = Instant::now() + UNDER_WAY;
    while engine.containers(labels::token(&request.token)).await?.is_empty() {
        if Instant::now() >= deadline {
            return Err(Error::new(Kind::Timeout, format!("the local engine is still making the container {name}"))
                .hint(format!("repeat `rmachine rm -y {}` when it is less busy", request.name)));
        }
        cx.pause(Duration::from_millis(100)).await?;
    }
    Ok(())
}

async fn delete_all(engine: &Engine, token: &MachineToken, cx: &Cx<'_>) -> Result<()> {
    for container in engine.containers(labels::token(token)).await? {
        if container.labels.as_ref().is_some_and(|labels| is_of(labels, token)) {
            delete(engine, Thing::Container(container.id.as_deref().unwrap_or_default()), cx).await?;
        }
    }
    let options = ListVolumesOptionsBuilder::new().filters(&labels::token(token)).build();
    let volumes = engine.docker.list_volumes(Some(options)).await.map_err(engine.failed("list volumes"))?;
    for volume in volumes.volumes.unwrap_or_default() {
        if is_of(&volume.labels, token) {
            delete(engine, Thing::Volume(&volume.name), cx).await?;
        }
    }
    Ok(())
}

/// One thing to delete, by name or id.
#[derive(Debug, Clone, Copy)]
enum Thing<'a> {
    Container(&'a str),
    Volume(&'a str),
}

/// Deletes, again while the engine says that the thing is busy: it is being started, removed or made.
/// Missing is success.
async fn delete(engine: &Engine, thing: Thing<'_>, cx: &Cx<'_>) -> Result<()> {
    let mut tries = 0;
    loop {
        cx.check()?;
        let deleted = match thing {
            Thing::Container(id) => {
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                engine.docker.remove_container(id, Some(options)).await
            }
            Thing::Volume(name) => {
                let options = RemoveVolumeOptionsBuilder::new().force(true).build();
                engine.docker.remove_volume(name, Some(options)).await
            }
        };
        match errors::unless_missing(deleted) {
            Ok(()) => return Ok(()),
            Err(Bollard::DockerResponseServerError { status_code: 409 | 500, message }) if tries < 50 => {
                tracing::debug!("{thing:?} stays for now: {message}");
                tries += 1;
                cx.pause(Duration::from_millis(100)).await?;
            }
            Err(error) => {
                let what = if matches!(thing, Thing::Volume(_)) { "remove a volume" } else { "remove the container" };
                return Err(engine.failed(what)(error));
            }
        }
    }
}
