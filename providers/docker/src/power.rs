//! Start, stop, reboot, and looking at what runs.

use std::time::{Duration, Instant};

use bollard::{
    errors::Error as Bollard,
    models::ContainerInspectResponse,
    query_parameters::{KillContainerOptionsBuilder, StartContainerOptions},
};
use rmachine_provider_api::{
    Addresses, Cx, Error, InstanceId, Kind, MachineState, Notify, Observed, Owner, Result, StopMode,
};

use crate::{container, engine::Engine, labels, network, view};

/// How long a machine may take to shut down before its plug is pulled.
const SHUTDOWN: Duration = Duration::from_secs(60);
/// How long a container that was started may be without an address.
const ADDRESS: Duration = Duration::from_secs(10);

pub(crate) fn missing(id: &str) -> Error {
    let short = id.get(..12).unwrap_or(id);
    Error::new(Kind::NotFound, format!("the local engine has no container {short}"))
        .hint("somebody has removed it; `rmachine rm NAME` removes what is left of the machine")
}

/// Whether a start failed because the network was removed while the machine was stopped.
fn lost_its_network(error: &Bollard) -> bool {
    let said = error.to_string();
    said.contains("network") && (said.contains("not found") || said.contains("could not find"))
}

/// The container `id` once it runs and has an address.
pub(crate) async fn running(engine: &Engine, id: &str) -> Result<ContainerInspectResponse> {
    let look = async {
        loop {
            let found = engine.ours(id).await?.ok_or_else(|| missing(id))?;
            let (state, addresses) = view::of_inspection(&found);
            if state != MachineState::Running {
                let reason = found.state.as_ref().map(view::reason).unwrap_or_default();
                return Err(Error::new(Kind::Other, format!("the machine ended as soon as it was started: {reason}"))
                    .hint(format!(
                        "`docker -H {} logs {}` has its last words",
                        engine.host,
                        id.get(..12).unwrap_or(id)
                    )));
            }
            if !addresses.private.is_empty() {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(ADDRESS, look)
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Timeout, "the machine got no address from the local engine")))
}

pub(crate) async fn observe(engine: &Engine, ids: &[InstanceId]) -> Result<Vec<Observed>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let containers = engine.containers(labels::filter(labels::TOKEN, None)).await?;
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let found = containers.iter().find(|container| container.id.as_deref() == Some(id.as_str()));
        let (state, addresses) = found.map_or((MachineState::Absent, Addresses::default()), view::of_summary);
        all.push(Observed { id: id.clone(), state, addresses, reason: None });
    }
    Ok(all)
}

pub(crate) async fn start(engine: &Engine, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
    let (instance, id) = (id, id.as_str());
    let found = engine.ours(id).await?.ok_or_else(|| missing(id))?;
    cx.check()?;
    match view::of_inspection(&found).0 {
        MachineState::Running => {}
        MachineState::Paused => {
            engine.docker.unpause_container(id).await.map_err(engine.failed("wake the machine"))?;
        }
        _ => {
            let label = |name: &str| {
                let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
                labels.and_then(|labels| labels.get(name).cloned()).unwrap_or_default()
            };
            boot(engine, id, &label(labels::OWNER).parse()?, &label(labels::MACHINE), cx).await?;
        }
    }
    let found = cx.until_cancelled(running(engine, id)).await?;
    let (state, addresses) = view::of_inspection(&found);
    Ok(Observed { id: instance.clone(), state, addresses, reason: None })
}

/// Starts a container; one whose network was removed meanwhile gets it back.
pub(crate) async fn boot(engine: &Engine, id: &str, owner: &Owner, machine: &str, cx: &Cx<'_>) -> Result<()> {
    cx.check()?;
    let start = || engine.docker.start_container(id, None::<StartContainerOptions>);
    match start().await {
        Err(error) if lost_its_network(&error) => {
            network::reconnect(engine, owner, id, machine, cx).await?;
            cx.check()?;
            start().await.map_err(engine.failed("start the machine"))
        }
        other => other.map_err(engine.failed("start the machine")),
    }
}

pub(crate) async fn stop(engine: &Engine, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
    let id = id.as_str();
    let found = engine.ours(id).await?.ok_or_else(|| missing(id))?;
    cx.check()?;
    match view::of_inspection(&found).0 {
        MachineState::Stopped | MachineState::Error => return Ok(()),
        // A paused system hears no signal.
        MachineState::Paused => engine.docker.unpause_container(id).await.map_err(engine.failed("wake the machine"))?,
        _ => {}
    }
    if mode == StopMode::Graceful {
        let deadline = Instant::now() + SHUTDOWN;
        while Instant::now() < deadline {
            // Again and again: systemd hears it only once it has come far enough in its own start.
            cx.check()?;
            signal(engine, id, container::POWER_OFF).await?;
            if cx.until_cancelled(ended(engine, id, Duration::from_secs(2))).await? {
                return Ok(());
            }
        }
        cx.check()?;
        cx.warn("the machine does not shut down, so its plug is pulled");
    }
    signal(engine, id, "SIGKILL").await?;
    if cx.until_cancelled(ended(engine, id, Duration::from_secs(10))).await? {
        return Ok(());
    }
    Err(Error::new(Kind::Timeout, "the machine's container does not end")
        .hint(format!("the local engine's log says why; `docker -H {} inspect {id}` shows its state", engine.host)))
}

async fn signal(engine: &Engine, id: &str, signal: &str) -> Result<()> {
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    match engine.docker.kill_container(id, Some(options)).await {
        // 409: it ended meanwhile.
        Err(Bollard::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
        other => other.map_err(engine.failed("stop the machine")),
    }
}

/// Whether a container ends within `patience`.
async fn ended(engine: &Engine, id: &str, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        match engine.ours(id).await? {
            Some(found) if view::of_inspection(&found).0 == MachineState::Running => {}
            _ => return Ok(true),
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Shuts down and starts again.
pub(crate) async fn reboot(engine: &Engine, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
    stop(engine, id, StopMode::Graceful, cx).await?;
    start(engine, id, cx).await.map(drop)
}

/// Why a machine may not answer.
pub(crate) async fn diagnose(engine: &Engine, id: &InstanceId, name: &str) -> Option<(String, String)> {
    let found = match engine.ours(id.as_str()).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Some(("its container is gone".to_owned(), format!("`rmachine rm {name}` removes the rest")));
        }
        Err(error) => return Some((error.to_string(), error.hint_text().unwrap_or("look at the engine").to_owned())),
    };
    match view::of_inspection(&found).0 {
        MachineState::Running => None,
        MachineState::Paused => Some(("it is paused".to_owned(), format!("`rmachine start {name}` wakes it"))),
        _ => {
            let reason = found.state.as_ref().map(view::reason).unwrap_or_default();
            let logs = format!("docker -H {} logs {}", engine.host, id.as_str().get(..12).unwrap_or_default());
            Some((
                format!("its container does not run: {reason}"),
                format!("`rmachine start {name}` starts it, `{logs}` has its last words"),
            ))
        }
    }
}
