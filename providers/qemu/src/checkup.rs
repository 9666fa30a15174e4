//! `checkup`: qemu's programs for the machines that there are, what runs them, and room for their disks.

use std::path::Path;

use rmachine_provider_api::{Finding, Result};

use crate::{accel, config::Arch, files, machine, tools::Tools};

/// Room below which disks that grow may soon stop their machines: a fraction of one machine's disk.
const ROOM: u64 = 1 << 30;

/// Looks at this computer for the machines in `root`; makes nothing.
pub(crate) async fn checkup(root: &Path) -> Vec<Finding> {
    let programs = match programs(root) {
        Ok(programs) => programs,
        Err(error) => return vec![Finding::failed("machines", &error)],
    };
    let mut findings = Vec::new();
    for (arch, binary) in programs {
        findings.push(match Tools::find(arch, binary.as_deref()).await {
            Ok(tools) => Finding::good("programs", format!("{} ({})", tools.version, tools.system)),
            Err(error) => Finding::failed("programs", &error),
        });
    }
    findings.push(accel::checkup());
    if let Err(error) = files::require_room(root, ROOM) {
        findings.push(Finding { health: rmachine_provider_api::Health::Warning, ..Finding::failed("disk", &error) });
    }
    findings
}

/// The emulators that the machines in `root` need, each once; this computer's own where there are none.
fn programs(root: &Path) -> Result<Vec<(Arch, Option<String>)>> {
    let mut programs: Vec<(Arch, Option<String>)> = Vec::new();
    for (_, machine) in machine::all(root)? {
        let program = (machine.resolved.arch, machine.resolved.binary.clone());
        if !programs.contains(&program) {
            programs.push(program);
        }
    }
    if programs.is_empty() {
        programs.push((Arch::here(), None));
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use rmachine_provider_api::Health;

    use super::*;

    #[tokio::test]
    async fn an_empty_directory_is_looked_at_and_left_empty() {
        let root = tempfile::tempdir().unwrap();
        let findings = checkup(root.path()).await;
        let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(subjects[..2], ["programs", "accelerator"]);
        assert_ne!(findings[1].health, Health::Bad, "without KVM machines are emulated: {:?}", findings[1]);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
