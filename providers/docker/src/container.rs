//! The container that a machine is.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, Mount, MountType, MountVolumeOptions,
    NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use rmachine_provider_api::CreateRequest;

use crate::{
    labels, network,
    plan::{Resolved, SSH},
};

const INIT: &str = include_str!("../../../templates/docker/init.sh");

/// What a machine's systemd and engine need where `--privileged` is not to be had, with the numbers of
/// capabilities(7) (linux/capability.h).
const CAPABILITIES: [(&str, u8); 38] = [
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("DAC_READ_SEARCH", 2),
    ("FOWNER", 3),
    ("FSETID", 4),
    ("KILL", 5),
    ("SETGID", 6),
    ("SETUID", 7),
    ("SETPCAP", 8),
    ("LINUX_IMMUTABLE", 9),
    ("NET_BIND_SERVICE", 10),
    ("NET_BROADCAST", 11),
    ("NET_ADMIN", 12),
    ("NET_RAW", 13),
    ("IPC_LOCK", 14),
    ("IPC_OWNER", 15),
    ("SYS_MODULE", 16),
    ("SYS_RAWIO", 17),
    ("SYS_CHROOT", 18),
    ("SYS_PTRACE", 19),
    ("SYS_PACCT", 20),
    ("SYS_ADMIN", 21),
    ("SYS_BOOT", 22),
    ("SYS_NICE", 23),
    ("SYS_RESOURCE", 24),
    ("SYS_TIME", 25),
    ("SYS_TTY_CONFIG", 26),
    ("MKNOD", 27),
    ("LEASE", 28),
    ("AUDIT_WRITE", 29),
    ("AUDIT_CONTROL", 30),
    ("SETFCAP", 31),
    ("MAC_OVERRIDE", 32),
    ("MAC_ADMIN", 33),
    ("SYSLOG", 34),
    ("WAKE_ALARM", 35),
    ("BLOCK_SUSPEND", 36),
    ("AUDIT_READ", 37),
];

/// systemd's signal to power off (systemd(1), SIGRTMIN+3).
pub(crate) const POWER_OFF: &str = "SIGRTMIN+3";

/// Where a machine keeps what has to survive it, and the suffix of the volume's name.
/// Both: newer engines keep images below /var/lib/containerd.
pub(crate) const VOLUMES: [(&str, &str); 2] = [("docker", "/var/lib/docker"), ("containerd", "/var/lib/containerd")];

/// The container's name; volumes carry it with a suffix.
pub(crate) fn name(request: &CreateRequest) -> String {
    format!("rmachine-{}-{}", request.name, request.token.as_str().get(..8).unwrap_or_default())
}

/// The capabilities of a set (the `CapBnd` of proc(5)), all but one where it is not known.
fn capabilities(bounding: Option<u64>) -> Vec<String> {
    // Without a word on it the one is left out that confined engines have been seen to lack.
    let bounding = bounding.unwrap_or(!(1 << 24));
    let granted = CAPABILITIES.iter().filter(|(_, number)| bounding & (1 << number) != 0);
    granted.map(|(name, _)| (*name).to_owned()).collect()
}

/// What this computer's first process may hand on; the engine has no more.
fn bounding_set() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/1/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The whole request to the engine.
pub(crate) fn body(request: &CreateRequest, resolved: &Resolved) -> ContainerCreateBody {
    let config = &resolved.config;
    let mut labels = labels::of(request);
    labels.insert(labels::ADDRESS.to_owned(), resolved.address.to_string());
    let mut environment = vec!["container=docker".to_owned()];
    let mut command: Vec<String> = ["/bin/sh", "-c", INIT, "init"].map(str::to_owned).into();
    let mut binds = Vec::new();
    if resolved.cgroup_version == 1 {
        // Debian 13's systemd runs on it only when told twice.
        environment.push("SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1".to_owned());
        environment.push("SYSTEMD_PROC_CMDLINE=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1".to_owned());
        command.push("systemd.unified_cgroup_hierarchy=0".to_owned());
        binds.push("/sys/fs/cgroup:/sys/fs/cgroup:rw".to_owned());
    }
    let cgroup = match resolved.cgroup_version {
        1 => HostConfigCgroupnsModeEnum::HOST,
        _ => HostConfigCgroupnsModeEnum::PRIVATE,
    };
    let volumes = VOLUMES.map(|(suffix, target)| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(format!("{}-{suffix}", name(request))),
        target: Some(target.to_owned()),
        // For one that the engine has to make itself, since its own was removed meanwhile.
        volume_options: Some(MountVolumeOptions { labels: Some(labels::of(request)), ..MountVolumeOptions::default() }),
        ..Mount::default()
    });
    let tmpfs = [("/run", "exec"), ("/run/lock", ""), ("/tmp", "exec,mode=1777")];
    let network = network::name(&request.owner);
    let ports = port_bindings(request, resolved);
    let host = HostConfig {
        binds: Some(binds),
        mounts: Some(volumes.into()),
        tmpfs: Some(tmpfs.map(|(path, options)| (path.to_owned(), options.to_owned())).into()),
        network_mode: Some(network.clone()),
        port_bindings: Some(ports.clone()),
        cap_add: Some(capabilities(bounding_set())),
        security_opt: Some(["seccomp=unconfined", "apparmor=unconfined", "label=disable"].map(str::to_owned).into()),
        // Empty lists, which the docker CLI makes of `systempaths=unconfined`.
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        device_cgroup_rules: Some(vec!["a *:* rwm".to_owned()]),
        cgroupns_mode: Some(cgroup),
        userns_mode: Some("host".to_owned()),
        memory: config.memory.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: config.nano_cpus.and_then(|cpus| i64::try_from(cpus).ok()),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), ..RestartPolicy::default() }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        hostname: Some(request.name.clone()),
        image: Some(resolved.image.clone()),
        entrypoint: Some(Vec::new()),
        cmd: Some(command),
        user: Some("0".to_owned()),
        env: Some(environment),
        labels: Some(labels),
        // Older engines publish only what is exposed too.
        exposed_ports: Some(ports.into_keys().collect()),
        stop_signal: Some(POWER_OFF.to_owned()),
        host_config: Some(host),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, network::endpoint(&request.name))])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn port_bindings(request: &CreateRequest, resolved: &Resolved) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut ports: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    let mut bind = |machine_port: String, address: String, port: u16| {
        let binding = PortBinding { host_ip: Some(address), host_port: Some(port.to_string()) };
        ports.entry(machine_port).or_default().get_or_insert_with(Vec::new).push(binding);
    };
    let own = resolved.address.to_string();
    bind(format!("{SSH}/tcp"), own.clone(), resolved.ssh_port);
    bind(format!("{}/tcp", request.engine_port), own.clone(), resolved.engine_port);
    for port in &resolved.config.publish {
        let address = port.address.map_or_else(|| own.clone(), |address| address.to_string());
        bind(format!("{}/{}", port.machine_port, port.protocol), address, port.port);
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::capabilities;

    #[test]
    fn capabilities_are_what_can_be_had() {
        // The set of the first process on a machine that refuses `--privileged`.
        let some = capabilities(Some(0x01ff_feff_ffff));
        assert!(!some.contains(&"SYS_RESOURCE".to_owned()) && some.contains(&"SYS_ADMIN".to_owned()));
        assert_eq!(capabilities(Some(u64::MAX)).len(), 38);
        assert_eq!(capabilities(None), some);
    }
}
