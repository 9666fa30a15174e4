//! `preflight`: what was asked against what is here, and the image, which machines share; nothing of a machine is made.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use rmachine_provider_api::{
    BootData, BootForm, Error, HostTrust, Login, LoginKey, Notify, Plan, PreflightRequest, Result,
};
use rmachine_provider_local::{
    loopback,
    publish::{Protocol, Published},
};
use serde::{Deserialize, Serialize};

use crate::{
    accel,
    config::{Accel, Arch, Config},
    files,
    firmware::{self, Firmware},
    image::{self, Source},
    machine::{self, Place},
    tools::Tools,
};

/// Port of this computer that the machine's sshd is at, when it is free; 22 would need root.
const SSH_PORT: u16 = 2222;
/// Ports below this one need root.
const FIRST_FREE: u16 = 1024;
/// Largest first-boot data. NoCloud has no limit; cloud-init reads all of it into memory.
const LARGEST_DATA: usize = 1 << 20;
/// Room that a machine needs at the least to be made at all.
const ROOM: u64 = 16 << 20;
/// How many loopback addresses are tried.
const ADDRESSES: u32 = 16;

/// What is to be made, with every choice taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub directory: PathBuf,
    pub source: Source,
    /// Whether nobody named the image.
    pub is_default: bool,
    pub arch: Arch,
    /// In MiB.
    pub memory: u64,
    pub cpus: u16,
    /// In bytes.
    pub disk_size: u64,
    /// `None`: chosen anew at every start.
    pub accel_asked: Option<Accel>,
    pub firmware: Firmware,
    pub binary: Option<String>,
    /// Address of this computer that the machine's ports are at.
    pub address: IpAddr,
    pub ssh_port: u16,
    pub engine_port: u16,
    /// Port that the engine listens at in the machine.
    pub machine_engine_port: u16,
    pub publish: Vec<Published>,
}

pub(crate) async fn preflight(spec: &PreflightRequest, notify: &dyn Notify) -> Result<Plan> {
    let config = Config::read(&spec.config)?;
    let root = &config.directory;
    Place::check_socket(root)?;
    let tools = Tools::find(config.arch, config.binary.as_deref()).await?;
    let user_supplied = config
        .userdata
        .as_ref()
        .map(|path| {
            std::fs::read(path).map_err(|e| {
                Error::invalid(format!("cannot read {}", path.display()))
                    .source(e)
                    .hint("--qemu-userdata takes the path of a file")
            })
        })
        .transpose()?;
    files::make_directory(root)?;
    files::require_room(root, ROOM)?;
    // What cannot be had is said before an image is fetched, which takes minutes.
    ports(&config, spec.engine_port)?;
    let source = image::resolve(&config, &tools, notify).await?;
    let firmware = firmware::choose(&config.firmware, config.arch, source.has_kernel())?;
    let accel = accel::choose(config.accel, config.arch, &tools, root, notify).await?;
    // Here, where nothing of the machine is there yet and Ctrl-C ends it at once; it is kept for other machines.
    image::ensure(root, &source, &tools, notify).await?;
    let (address, ssh_port, engine_port) = ports(&config, spec.engine_port)?;
    let resolved = Resolved {
        directory: root.clone(),
        is_default: config.image == crate::config::ImageChoice::Default,
        arch: config.arch,
        memory: config.memory,
        cpus: config.cpus,
        disk_size: config.disk_size,
        accel_asked: config.accel,
        firmware,
        binary: config.binary.clone(),
        address,
        ssh_port,
        engine_port,
        machine_engine_port: spec.engine_port,
        publish: config.publish.clone(),
        source,
    };
    let summary = vec![
        ("image".into(), resolved.source.describe()),
        (
            "machine".into(),
            format!("{} {}, {} MiB, by {}", config.cpus, config.arch.name(), config.memory, accel.name()),
        ),
        ("address".into(), format!("{address}, SSH at {ssh_port}, the engine at {engine_port}")),
    ];
    let value = serde_json::to_value(&resolved).map_err(|e| Error::invalid("the plan cannot be saved").source(e))?;
    Ok(Plan {
        resolved: value,
        login: Login { user: config.user.clone(), port: ssh_port, key: LoginKey::Generate },
        boot_data: Some(BootData { form: BootForm::CloudInit, limit: LARGEST_DATA, user_supplied }),
        host_trust: HostTrust::Seeded,
        arch: Some(config.arch.name().to_owned()),
        alternatives: Vec::new(),
        summary,
    })
}

/// Chooses where the machine's ports are: (address, SSH, engine).
fn ports(config: &Config, engine_port: u16) -> Result<(IpAddr, u16, u16)> {
    let named = config.publish.iter().filter_map(|p| p.address).chain(config.bind).find(|a| !a.is_ipv4());
    if let Some(address) = named {
        return Err(Error::invalid(format!("qemu forwards from IPv4 addresses only, not from {address}"))
            .hint("give an IPv4 address, such as 127.0.0.1"));
    }
    let others = machine::all(&config.directory)?;
    let is_taken = |address: IpAddr, port: u16| {
        others.iter().any(|(_, m)| {
            let r = &m.resolved;
            r.address == address && (r.ssh_port == port || r.engine_port == port)
        })
    };
    let free = |address: IpAddr, port: u16| {
        !is_taken(address, port)
            && !config.publish.iter().any(|p| p.port == port && p.address.is_none_or(|a| a == address))
            && loopback::is_free(address, port, Protocol::Tcp)
    };
    let wanted = if engine_port >= FIRST_FREE { engine_port } else { 2376 };
    let address = match config.bind {
        Some(address) => address,
        None => (0..ADDRESSES)
            .map(|_| IpAddr::V4(loopback::some_address()))
            .find(|a| free(*a, SSH_PORT) && free(*a, wanted))
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    loopback::require_free("qemu-publish", address, &config.publish)?;
    let mut chosen = Vec::new();
    for preferred in [SSH_PORT, wanted] {
        let port = if free(address, preferred) {
            preferred
        } else {
            (0..ADDRESSES)
                .filter_map(|_| loopback::free_port(address, &[]).ok())
                .find(|port| !chosen.contains(port) && free(address, *port))
                .ok_or_else(|| no_port(address))?
        };
        chosen.push(port);
    }
    Ok((address, chosen[0], chosen[1]))
}

fn no_port(address: IpAddr) -> Error {
    Error::new(rmachine_provider_api::Kind::Conflict, format!("no port of {address} can be listened at"))
        .hint("--qemu-bind-address takes an address of this computer; leave it out for one of 127.0.0.0/8")
}
