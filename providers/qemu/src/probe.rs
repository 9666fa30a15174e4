//! Whether an accelerator really runs a machine: a tiny one is booted, and has a few seconds to say so.

use std::{path::Path, process::Stdio, time::Duration};

use rmachine_provider_local::build::have;
use tokio::{process::Command, time::timeout};

use crate::{
    config::{Accel, Arch},
    files,
};

/// How long the probe may take. With hardware it needs less than one second; a machine that hangs never ends.
const PATIENCE: Duration = Duration::from_secs(8);
/// Size of the disk that is booted; SeaBIOS wants more than its one sector.
const DISK: usize = 1 << 20;
/// What qemu exits with after the amd64 probe (`probe.s`).
const AMD64_DONE: i32 = 45;

/// The boot sector, assembled from `probe.s`.
#[rustfmt::skip]
const CODE: [u8; 166] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xbf, 0x00, 0x10, 0xb9,
    0x00, 0x18, 0xf3, 0xab, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0x66, 0xb8, 0xa0, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0, 0x66,
    0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,
    0x0d, 0x00, 0x01, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x24, 0xfb, 0x66, 0x0d, 0x03, 0x00, 0x00, 0x80,
    0x0f, 0x22, 0xc0, 0x0f, 0x01, 0x16, 0xa0, 0x7c, 0xea, 0x5d, 0x7c, 0x08, 0x00, 0xb8, 0x07, 0x00,
    0x00, 0x00, 0x31, 0xc9, 0x0f, 0xa2, 0xf7, 0xc3, 0x00, 0x01, 0x00, 0x00, 0x74, 0x0a, 0xb9, 0x01,
    0x00, 0x00, 0x00, 0xc4, 0xe2, 0x71, 0xf7, 0xc1, 0xb9, 0x03, 0x00, 0x00, 0x00, 0x66, 0x0f, 0x6e,
    0xc1, 0x66, 0x0f, 0xfe, 0xc0, 0x66, 0x0f, 0x7e, 0xc0, 0x0c, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,
    0x0f, 0x00, 0x90, 0x7c, 0x00, 0x00,
];

/// For arm64, loaded as a kernel: `movz x0, #8; movk x0, #0x8400, lsl #16; hvc #0; b .`, which is PSCI's
/// `SYSTEM_OFF` (Arm DEN0022, 5.1).
#[rustfmt::skip]
const CODE_ARM64: [u8; 16] = [
    0x00, 0x01, 0x80, 0xd2, 0x00, 0x80, 0xb0, 0xf2, 0x02, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x00, 0x14,
];

/// Boots the probe; `Err` says what happened instead.
pub(crate) async fn run(binary: &str, arch: Arch, accel: Accel) -> Result<(), String> {
    let directory = tempfile::Builder::new().prefix("rmachine-probe-").tempdir().map_err(|e| e.to_string())?;
    let image = directory.path().join("image");
    let mut bytes = match arch {
        Arch::Amd64 => CODE.to_vec(),
        Arch::Arm64 => CODE_ARM64.to_vec(),
    };
    if arch == Arch::Amd64 {
        bytes.resize(510, 0);
        bytes.extend([0x55, 0xaa]);
        bytes.resize(DISK, 0);
    }
    files::write(&image, &bytes).map_err(|e| e.to_string())?;
    let mut command = command(binary, arch, accel, &image);
    let Ok(ended) = timeout(PATIENCE, command.output()).await else {
        return Err(format!("a machine was started with it and hung for {} s", PATIENCE.as_secs()));
    };
    let output = ended.map_err(|e| format!("{binary} does not start: {e}"))?;
    let expected = if arch == Arch::Amd64 { AMD64_DONE } else { 0 };
    if output.status.code() == Some(expected) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(words.lines().next().map_or_else(|| format!("qemu ended with {}", output.status), str::to_owned))
}

fn command(binary: &str, arch: Arch, accel: Accel, image: &Path) -> Command {
    // It must not outlive us, however we end: a machine that hangs does not end by itself.
    let mut command = if have("setpriv") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", binary]);
        command
    } else {
        Command::new(binary)
    };
    let (machine, cpu) = super::command::machine_and_cpu(arch, accel);
    command.args(["-nodefaults", "-no-reboot", "-display", "none", "-m", "64", "-machine", machine, "-cpu", cpu]);
    command.args(["-accel", accel.name()]);
    match arch {
        Arch::Amd64 => {
            command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive"]);
            command.arg(format!("if=virtio,format=raw,file={}", image.display()));
        }
        Arch::Arm64 => {
            command.arg("-kernel").arg(image);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_runs_says_so_and_one_that_does_not_too() {
        let binary = Arch::Amd64.binary();
        assert!(have(binary), "{binary} is missing: apt-get install qemu-system-x86 qemu-utils");
        assert_eq!(run(binary, Arch::Amd64, Accel::Tcg).await, Ok(()));
        // No such program, and one that ends at once without having run anything.
        assert!(run("/nonexistent/qemu", Arch::Amd64, Accel::Tcg).await.is_err());
        assert!(run("false", Arch::Amd64, Accel::Tcg).await.is_err());
    }

    /// Emulation of another architecture, where its qemu is installed too.
    #[tokio::test]
    async fn the_arm64_probe_runs() {
        let binary = Arch::Arm64.binary();
        if !have(binary) {
            let what = format!("the_arm64_probe_runs: {binary} is missing (apt-get install qemu-system-arm)");
            return rmachine_testkit::skipped(&what);
        }
        assert_eq!(run(binary, Arch::Arm64, Accel::Tcg).await, Ok(()));
    }
}
