//! The `docker` driver: machines that are systemd containers on this computer's Docker Engine, each with
//! an engine of its own inside.
//!
//! Everything carries the owner's and the machine's label from the call that makes it. Machines of one
//! store share a network; SSH and the engine are published on a loopback address.

mod config;
mod container;
mod create;
mod endpoint;
mod engine;
mod errors;
mod flags;
mod image;
mod inventory;
mod labels;
mod lock;
mod network;
mod plan;
mod power;
mod view;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use rmachine_provider_api::{
    Capabilities, Configured, CreateRequest, Cx, Driver, DriverInfo, Finding, Instance, InstanceId, MachineRef, Notify,
    Observed, Owner, Plan, PreflightRequest, Provider, Resource, Result, Secrets, StopMode, Values, one_place,
};
use serde_json::Value;

use self::{config::Config, engine::Engine};

static INFO: LazyLock<DriverInfo> = LazyLock::new(|| DriverInfo {
    name: "docker".to_owned(),
    summary: "containers of this computer's Docker Engine that are machines".to_owned(),
    flags: flags::flags(),
    capabilities: Capabilities { ssh: true, engine: true, power: true, ingress: false },
});

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct DockerDriver;

#[async_trait]
impl Driver for DockerDriver {
    fn info(&self) -> &DriverInfo {
        &INFO
    }

    fn configure(&self, values: &Values) -> Result<Configured> {
        config::configure(values)
    }

    fn scope(&self, config: &Value) -> String {
        Config::read(config).map(|config| config.host).unwrap_or_default()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn places(&self, config: &Value, regions: &[String]) -> Result<Vec<Value>> {
        one_place(&INFO.name, config, regions)
    }

    async fn connect(&self, config: &Value, _: &Secrets, _: Arc<dyn Notify>) -> Result<Arc<dyn Provider>> {
        let config = Config::read(config)?;
        let engine = Engine::connect(&config.host).await.map_err(|error| match &config.passed_over {
            Some(url) => {
                let hint = error.hint_text().unwrap_or_default().to_owned();
                error.hint(format!("DOCKER_HOST is the machine at {url} and was passed over; {hint}"))
            }
            None => error,
        })?;
        Ok(Arc::new(Containers { engine }))
    }
}

/// One local engine.
struct Containers {
    engine: Engine,
}

impl fmt::Debug for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Containers").field("host", &self.engine.host).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Containers {
    async fn preflight(&self, spec: &PreflightRequest, cx: &Cx<'_>) -> Result<Plan> {
        plan::preflight(&self.engine, spec, cx).await
    }

    async fn create(&self, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
        create::create(&self.engine, request, cx).await
    }

    async fn observe(&self, ids: &[InstanceId]) -> Result<Vec<Observed>> {
        power::observe(&self.engine, ids).await
    }

    async fn start(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<Observed> {
        power::start(&self.engine, id, cx).await
    }

    async fn stop(&self, id: &InstanceId, mode: StopMode, cx: &Cx<'_>) -> Result<()> {
        power::stop(&self.engine, id, mode, cx).await
    }

    async fn reboot(&self, id: &InstanceId, cx: &Cx<'_>) -> Result<()> {
        power::reboot(&self.engine, id, cx).await
    }

    async fn find(&self, owner: Option<&Owner>) -> Result<Vec<Resource>> {
        inventory::find(&self.engine, owner).await
    }

    async fn destroy(&self, machine: &MachineRef<'_>, cx: &Cx<'_>) -> Result<()> {
        inventory::destroy(&self.engine, machine, cx).await
    }

    async fn checkup(&self) -> Vec<Finding> {
        vec![match self.engine.docker.version().await.map_err(self.engine.failed("be asked for its version")) {
            Ok(said) => {
                let version = said.version.unwrap_or_else(|| "of an unknown version".to_owned());
                Finding::good("engine", format!("{version} at {}", self.engine.host))
            }
            Err(error) => Finding::failed("engine", &error),
        }]
    }

    async fn diagnose(&self, machine: &MachineRef<'_>) -> Option<(String, String)> {
        power::diagnose(&self.engine, &machine.instance?.id, machine.name).await
    }
}
