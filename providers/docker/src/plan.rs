//! Checks before anything is made.

use std::net::IpAddr;

use rmachine_provider_api::{
    BootData, BootForm, Error, HostTrust, Kind, Login, LoginKey, Notify, Plan, PreflightRequest, Result,
};
use rmachine_provider_local::loopback;
use serde::{Deserialize, Serialize};

use crate::{config::Config, engine::Engine, flags, image, labels};

/// sshd's port in the machine.
pub(crate) const SSH: u16 = 22;
/// What a machine takes as its first boot's script.
const SCRIPT_LIMIT: usize = 64 * 1024;

/// A checked request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) config: Config,
    pub(crate) image: String,
    /// Loopback address of its ports.
    pub(crate) address: IpAddr,
    pub(crate) ssh_port: u16,
    pub(crate) engine_port: u16,
    /// 1 or 2.
    pub(crate) cgroup_version: u8,
}

impl Resolved {
    pub(crate) fn read(plan: &Plan) -> Result<Self> {
        Self::deserialize(&plan.resolved)
            .map_err(|e| Error::invalid("the saved request of the machine does not read").source(e))
    }
}

pub(crate) async fn preflight(engine: &Engine, spec: &PreflightRequest, notify: &dyn Notify) -> Result<Plan> {
    let config = Config::read(&spec.config)?;
    if let Some(url) = &config.passed_over {
        notify.warn(&format!("DOCKER_HOST is the machine at {url}; the local engine at {} is used", config.host));
    }
    let info = engine.docker.info().await.map_err(engine.failed("tell about itself"))?;
    if info.os_type.as_deref() != Some("linux") {
        let system = info.os_type.unwrap_or_default();
        return Err(Error::new(Kind::Unsupported, format!("the local engine runs {system} containers"))
            .hint("machines are Linux containers: switch the engine to those"));
    }
    if info.security_options.iter().flatten().any(|option| option.contains("name=rootless")) {
        return Err(Error::new(
            Kind::Unsupported,
            "the local engine runs without root, and a machine's own engine needs more",
        )
        .hint("use the system's engine: --docker-host unix:///var/run/docker.sock"));
    }
    let total = info.mem_total.and_then(|total| u64::try_from(total).ok()).unwrap_or(u64::MAX);
    if let Some(memory) = config.memory.filter(|memory| *memory > total) {
        return Err(Error::invalid(format!(
            "--{} asks for {} MB, and the local engine has {} MB",
            flags::MEMORY,
            memory >> 20,
            total >> 20
        )));
    }
    let address = free_address(&config, spec.engine_port)?;
    loopback::require_free(flags::PUBLISH, address, &config.publish)?;
    let here = |own: IpAddr| own == address || own.is_unspecified();
    let named = config.publish.iter().filter(|port| port.address.is_none_or(here));
    let mut taken: Vec<u16> = named.map(|port| port.port).collect();
    taken.extend(held_ports(engine, address).await?);
    let ssh_port = port(address, &[SSH, 2222], &taken)?;
    taken.push(ssh_port);
    let engine_port = port(address, &[spec.engine_port], &taken)?;
    let name = image::name(&config);
    // Here, where nothing of the machine is there yet and Ctrl-C ends it at once; it is kept for other machines.
    image::ensure(engine, &config, notify).await?;
    let mut summary = vec![
        ("engine".into(), format!("{} at {}", info.server_version.unwrap_or_default(), config.host)),
        ("image".into(), name.clone()),
        ("address".into(), address.to_string()),
    ];
    summary.extend(config.memory.map(|memory| ("memory".into(), format!("{} MB", memory >> 20))));
    let cgroup_version = match info.cgroup_version.map(|version| version.to_string()) {
        Some(version) if version == "2" => 2,
        _ => 1,
    };
    let resolved = Resolved { image: name, address, ssh_port, engine_port, cgroup_version, config };
    Ok(Plan {
        resolved: serde_json::to_value(resolved).map_err(|e| Error::invalid("the plan cannot be saved").source(e))?,
        login: Login { user: "root".to_owned(), port: ssh_port, key: LoginKey::Generate },
        boot_data: Some(BootData { form: BootForm::Script, limit: SCRIPT_LIMIT, user_supplied: None }),
        host_trust: HostTrust::Seeded,
        arch: None,
        alternatives: Vec::new(),
        summary,
    })
}

/// A free port, one of `preferred` where that can be, and none of `taken`.
fn port(address: IpAddr, preferred: &[u16], taken: &[u16]) -> Result<u16> {
    let preferred: Vec<u16> = preferred.iter().copied().filter(|port| !taken.contains(port)).collect();
    loop {
        let port = loopback::free_port(address, &preferred)?;
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
}

/// Ports that machines hold at `address`, stopped ones too, which do not listen.
async fn held_ports(engine: &Engine, address: IpAddr) -> Result<Vec<u16>> {
    let mut held = Vec::new();
    for container in engine.containers(labels::filter(labels::ADDRESS, Some(&address.to_string()))).await? {
        let Some(found) = engine.ours(container.id.as_deref().unwrap_or_default()).await? else { continue };
        let bindings = found.host_config.and_then(|host| host.port_bindings).unwrap_or_default();
        let ports =
            bindings.into_values().flatten().flatten().filter_map(|binding| binding.host_port?.parse::<u16>().ok());
        held.extend(ports);
    }
    Ok(held)
}

/// The machine's loopback address: the one that was asked for, else one of its own.
fn free_address(config: &Config, engine_port: u16) -> Result<IpAddr> {
    if let Some(address) = config.bind {
        return Ok(address);
    }
    let mut address = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    for _ in 0..8 {
        address = IpAddr::V4(loopback::some_address());
        let free = |ports: &[u16]| loopback::free_port(address, ports).map(|port| ports.contains(&port));
        if free(&[SSH, 2222])? && free(&[engine_port])? {
            break;
        }
    }
    Ok(address)
}
