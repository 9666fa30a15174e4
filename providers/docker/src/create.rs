//! Making a machine: volumes, the shared network, the container; all labelled in the call that makes them.

use bollard::{
    models::VolumeCreateRequest,
    query_parameters::{CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};
use rmachine_provider_api::{
    CreateRequest, Cx, Error, Instance, Kind, LeftBehind, MachineState, Notify, Resource, ResourceKind, Result,
};
use serde_json::json;

use crate::{container, engine::Engine, errors, labels, network, plan::Resolved, power, view};

/// Where `templates/docker/init.sh` looks for it.
const FIRST_BOOT: &str = "var/lib/rmachine/first-boot.sh";

/// The intent of the call that makes the container.
pub(crate) const CONTAINER: &str = "CreateContainer";

pub(crate) async fn create(engine: &Engine, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
    let resolved = Resolved::read(&request.plan)?;
    cx.progress("making the container");
    let id = match cx.until_cancelled(existing(engine, request)).await? {
        Some(id) => id,
        None => make(engine, request, &resolved, cx).await?,
    };
    cx.made(&Resource::made(ResourceKind::Instance, &id, request, None))?;
    let present = |error: Error| error.left(LeftBehind::Present(vec![id.clone()]));
    bring_up(engine, &id, request, cx).await.map_err(present)?;
    let found = cx.until_cancelled(power::running(engine, &id)).await.map_err(present)?;
    let (_, addresses) = view::of_inspection(&found);
    let details = json!({ "container": container::name(request), "network": network::name(&request.owner) });
    let engine_port = (resolved.engine_port != request.engine_port).then_some(resolved.engine_port);
    Ok(Instance { id: id.parse()?, addresses, url: None, engine_port, details })
}

/// The container of an earlier call with the same token.
async fn existing(engine: &Engine, request: &CreateRequest) -> Result<Option<String>> {
    Ok(engine.containers(labels::token(&request.token)).await?.into_iter().find_map(|container| container.id))
}

async fn make(engine: &Engine, request: &CreateRequest, resolved: &Resolved, cx: &Cx<'_>) -> Result<String> {
    cx.intend("CreateVolume")?;
    network::ensure(engine, &request.owner, cx).await?;
    for (suffix, _) in container::VOLUMES {
        let name = format!("{}-{suffix}", container::name(request));
        let volume = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels::of(request)),
            ..VolumeCreateRequest::default()
        };
        cx.check()?;
        engine.docker.create_volume(volume).await.map_err(engine.failed("make a volume"))?;
        cx.made(&Resource::made(ResourceKind::Volume, &name, request, None))?;
    }
    let volumes = || {
        let volumes = container::VOLUMES.iter().map(|(suffix, _)| format!("{}-{suffix}", container::name(request)));
        LeftBehind::Present(volumes.collect())
    };
    cx.intend(CONTAINER).map_err(|error| error.left(volumes()))?;
    let options = CreateContainerOptionsBuilder::new().name(&container::name(request)).build();
    match engine.docker.create_container(Some(options), container::body(request, resolved)).await {
        Ok(made) => Ok(made.id),
        Err(error) if errors::is_refusal(&error) => {
            cx.refused(CONTAINER);
            Err(engine.failed("make the container")(error).left(volumes()))
        }
        Err(error) => Err(engine.failed("make the container")(error).left(LeftBehind::Unknown)),
    }
}

/// Gives it its first boot's script and starts it; running already is success.
async fn bring_up(engine: &Engine, id: &str, request: &CreateRequest, cx: &Cx<'_>) -> Result<()> {
    let found = engine.ours(id).await?.ok_or_else(|| power::missing(id))?;
    if view::of_inspection(&found).0 == MachineState::Running {
        return Ok(());
    }
    let data = request.user_data.as_deref().unwrap_or_default();
    let failed = |e: std::io::Error| Error::new(Kind::Other, "the first boot's script cannot be packed").source(e);
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, FIRST_BOOT, data).map_err(failed)?;
    let archive = archive.into_inner().map_err(failed)?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    cx.check()?;
    engine
        .docker
        .upload_to_container(id, Some(options), bollard::body_full(archive.into()))
        .await
        .map_err(engine.failed("give the machine its first boot's script"))?;
    power::boot(engine, id, &request.owner, &request.name, cx).await
}
