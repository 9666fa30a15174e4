//! qemu's command line, made of what is written down; a pure function.

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::Path,
};

use rmachine_provider_local::publish::{Protocol, Published};
use serde_json::json;

use crate::{
    config::{Accel, Arch},
    firmware::Firmware,
    image::Base,
    machine::{Machine, Place},
};

/// The machine type and processor for an architecture and an accelerator.
pub(crate) fn machine_and_cpu(arch: Arch, accel: Accel) -> (&'static str, &'static str) {
    let machine = match arch {
        Arch::Amd64 => "q35",
        // More processors than eight need the third interrupt controller.
        Arch::Arm64 => "virt,gic-version=max",
    };
    let cpu = match (accel, arch) {
        (Accel::Kvm | Accel::Hvf, _) => "host",
        (Accel::Tcg, Arch::Amd64) => "max",
        // The architecture's own pointer authentication is slow to emulate (qemu's docs/system/arm/cpu-features).
        (Accel::Tcg, Arch::Arm64) => "max,pauth-impdef=on",
    };
    (machine, cpu)
}

/// Whether qemu has its system calls filtered, which it can on Linux only. Whoever may not fork cannot go to the background
/// itself.
pub(crate) const FILTERED: bool = cfg!(target_os = "linux");
/// What qemu gives up: obsolete calls, becoming somebody else, starting programs, and its own limits and priorities
/// (qemu(1), "-sandbox"). A machine that breaks out of its devices has that much less to go on with.
const FILTER: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// The arguments that start `machine`; where calls are not filtered it goes to the background by itself.
pub(crate) fn arguments(machine: &Machine, base: &Base, place: &Place, accel: Accel, has_seed: bool) -> Vec<OsString> {
    let resolved = &machine.resolved;
    let mut command = Arguments::default();
    // What it is, and by what it is found again.
    command.pair("-name", format!("guest={}", commas(&machine.name)));
    command.pair("-uuid", place.uuid());
    for flag in ["-no-user-config", "-nodefaults"] {
        command.one(flag);
    }
    let (kind, cpu) = machine_and_cpu(resolved.arch, accel);
    command.pair("-machine", kind);
    command.pair("-accel", accel.name());
    command.pair("-cpu", cpu);
    command.pair("-smp", resolved.cpus.to_string());
    command.pair("-m", resolved.memory.to_string());
    firmware(&mut command, &resolved.firmware, place);
    if let Some(kernel) = &base.kernel {
        let console = if resolved.arch == Arch::Amd64 { "ttyS0" } else { "ttyAMA0" };
        command.pair("-kernel", &kernel.kernel);
        command.pair("-initrd", &kernel.initrd);
        command.pair("-append", format!("{} console={console} systemd.show_status=1", kernel.append));
    }
    // Blocks that the machine frees are given back to this computer.
    let disk = json!({
        "driver": "qcow2", "node-name": "disk", "discard": "unmap",
        "file": { "driver": "file", "filename": place.disk(), "discard": "unmap" },
    });
    command.pair("-blockdev", disk.to_string());
    // A kernel that is given takes the first place itself.
    let boots = if base.kernel.is_some() { "" } else { ",bootindex=0" };
    command.pair("-device", format!("virtio-blk-pci,drive=disk{boots}"));
    if has_seed {
        let seed = json!({
            "driver": "raw", "node-name": "seed", "read-only": true,
            "file": { "driver": "file", "filename": place.seed(), "read-only": true },
        });
        command.pair("-blockdev", seed.to_string());
        command.pair("-device", "virtio-blk-pci,drive=seed");
    }
    command.pair("-netdev", network(machine));
    // Without the option ROM that boots over the network.
    command.pair("-device", "virtio-net-pci,netdev=net,romfile=");
    command.pair("-device", "virtio-rng-pci");
    command.pair("-display", "none");
    command.pair("-monitor", "none");
    // Appended to, so that it can be shortened meanwhile.
    command.pair("-chardev", format!("file,id=console,path={},append=on", commas(place.console())));
    command.pair("-serial", "chardev:console");
    command.pair("-qmp", format!("unix:{},server=on,wait=off", commas(place.socket())));
    command.pair("-pidfile", place.pid_file());
    if FILTERED {
        command.pair("-sandbox", FILTER);
    } else {
        command.one("-daemonize");
    }
    command.0
}

fn firmware(command: &mut Arguments, firmware: &Firmware, place: &Place) {
    match firmware {
        Firmware::Builtin => {}
        Firmware::Image(path) => command.pair("-bios", path),
        Firmware::Uefi { code, .. } => {
            let variables = place.variables();
            command.pair("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={}", commas(code)));
            command.pair("-drive", format!("if=pflash,unit=1,format=raw,file={}", commas(variables)));
        }
    }
}

/// Every port that is forwarded: SSH, the engine, and what the user publishes.
pub(crate) fn forwards(machine: &Machine) -> Vec<Published> {
    let resolved = &machine.resolved;
    let own = |port, machine_port| Published { address: None, port, machine_port, protocol: Protocol::Tcp };
    let mut all = vec![own(resolved.ssh_port, 22), own(resolved.engine_port, resolved.machine_engine_port)];
    all.extend(&resolved.publish);
    all
}

fn network(machine: &Machine) -> String {
    let mut text = "user,id=net".to_owned();
    for port in forwards(machine) {
        let at = SocketAddr::new(port.address.unwrap_or(machine.resolved.address), port.port);
        text.push_str(&format!(",hostfwd={}:{at}-:{}", port.protocol, port.machine_port));
    }
    text
}

/// A value in one of qemu's lists: a comma in it stands twice (qemu(1), "-drive").
fn commas(value: impl AsRef<OsStr>) -> String {
    value.as_ref().to_string_lossy().replace(',', ",,")
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn one(&mut self, argument: &str) {
        self.0.push(argument.into());
    }

    fn pair(&mut self, option: &str, value: impl AsRef<OsStr>) {
        self.one(option);
        self.0.push(value.as_ref().to_owned());
    }
}

/// The words of a command line, for the log.
pub(crate) fn shown(program: &str, arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    format!("{} {}", Path::new(program).display(), words.join(" "))
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::MachineToken;

    use super::*;
    use crate::{image::Kernel, plan::Resolved};

    fn machine(arch: Arch, firmware: Firmware) -> (Machine, Base, Place) {
        let base = Base { file: "/r/images/i".into(), format: "raw".into(), size: 1 << 30, kernel: None };
        let resolved = Resolved {
            directory: "/r,x".into(),
            source: crate::image::Source::Path(base.clone()),
            is_default: false,
            arch,
            memory: 2048,
            cpus: 2,
            disk_size: 20 << 30,
            accel_asked: None,
            firmware,
            binary: None,
            address: "127.99.1.2".parse().unwrap(),
            ssh_port: 2222,
            engine_port: 2376,
            machine_engine_port: 2376,
            publish: rmachine_provider_local::publish::parse("p", "127.0.0.1:5353:53/udp").unwrap(),
        };
        let place = Place::of_token(&resolved.directory, &MachineToken::from_bits(1));
        let machine = Machine {
            version: 1,
            name: "m".into(),
            owner: "o".parse().unwrap(),
            token: MachineToken::from_bits(1),
            attempt: "a".parse().unwrap(),
            created: time::OffsetDateTime::UNIX_EPOCH,
            resolved,
            base: Some(base.clone()),
            complete: true,
            disk_size: None,
        };
        (machine, base, place)
    }

    fn lines(arguments: &[OsString]) -> String {
        let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn the_whole_line_of_an_amd64_machine() {
        let (machine, base, place) = machine(Arch::Amd64, Firmware::Builtin);
        let expected = r#"-name guest=m
-uuid e0cca296-5509-df67-8000-726d61636869
-no-user-config
-nodefaults
-machine q35
-accel kvm
-cpu host
-smp 2
-m 2048
-blockdev {"driver":"qcow2","node-name":"disk","discard":"unmap","file":{"driver":"file","filename":"/r,x/machines/e0cca2965509df67/disk.qcow2","discard":"unmap"}}
-device virtio-blk-pci,drive=disk,bootindex=0
-blockdev {"driver":"raw","node-name":"seed","read-only":true,"file":{"driver":"file","filename":"/r,x/machines/e0cca2965509df67/seed.img","read-only":true}}
-device virtio-blk-pci,drive=seed
-netdev user,id=net,hostfwd=tcp:127.99.1.2:2222-:22,hostfwd=tcp:127.99.1.2:2376-:2376,hostfwd=udp:127.0.0.1:5353-:53
-device virtio-net-pci,netdev=net,romfile=
-device virtio-rng-pci
-display none
-monitor none
-chardev file,id=console,path=/r,,x/machines/e0cca2965509df67/console.log,append=on
-serial chardev:console
-qmp unix:/r,,x/machines/e0cca2965509df67/qmp.sock,server=on,wait=off
-pidfile /r,x/machines/e0cca2965509df67/qemu.pid
"#;
        let last = match FILTERED {
            true => "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            false => "-daemonize",
        };
        assert_eq!(lines(&arguments(&machine, &base, &place, Accel::Kvm, true)), format!("{expected}{last}"));
    }

    #[test]
    fn an_arm64_machine_boots_by_uefi_or_by_its_kernel() {
        let uefi = Firmware::Uefi { code: "/f/code".into(), variables: "/f/vars".into() };
        let (machine, mut base, place) = machine(Arch::Arm64, uefi);
        let text = lines(&arguments(&machine, &base, &place, Accel::Tcg, false));
        assert!(text.contains("-machine virt,gic-version=max\n-accel tcg\n-cpu max,pauth-impdef=on\n"));
        assert!(text.contains("-drive if=pflash,unit=0,format=raw,readonly=on,file=/f/code\n"));
        assert!(text.contains("efivars.fd\n") && !text.contains("seed"), "{text}");
        base.kernel = Some(Kernel { kernel: "/k".into(), initrd: "/i".into(), append: "root=LABEL=x".into() });
        let text = lines(&arguments(&machine, &base, &place, Accel::Tcg, false));
        assert!(!text.contains("bootindex"), "{text}");
        assert!(text.contains("-kernel /k\n-initrd /i\n-append root=LABEL=x console=ttyAMA0 "), "{text}");
    }
}
