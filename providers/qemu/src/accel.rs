//! Which accelerator a machine gets: one that really runs it, else emulation, said aloud.

use std::{io, path::Path};

use rmachine_provider_api::{Error, Finding, Kind, Notify, Result};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Accel, Arch},
    files, probe,
    tools::Tools,
};

/// KVM's device (Documentation/virt/kvm/api.rst).
const KVM: &str = "/dev/kvm";
/// About how much slower emulation is (a Debian boot: 60-90 s on two cores, with KVM 6-10 s).
const SLOWER: &str = "about 10 times slower";

/// What a probe found, kept for this boot of this computer and this qemu.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    key: String,
    /// `None`: it runs machines.
    trouble: Option<String>,
}

/// Chooses for a machine of `arch`; `asked` is kept or refused, never replaced.
///
/// # Errors
///
/// When what was asked does not run machines here.
pub(crate) async fn choose(
    asked: Option<Accel>,
    arch: Arch,
    tools: &Tools,
    directory: &Path,
    notify: &dyn Notify,
) -> Result<Accel> {
    let candidate = match asked {
        Some(Accel::Tcg) => return Ok(Accel::Tcg),
        Some(accel) => accel,
        None if cfg!(target_os = "macos") => Accel::Hvf,
        None => Accel::Kvm,
    };
    let trouble = if arch == Arch::here() {
        match usable(candidate) {
            Ok(()) => works(candidate, arch, tools, directory, notify).await.err().map(|why| Trouble {
                what: format!("{} does not run a machine here", candidate.name()),
                why,
                hint: "--qemu-accel tcg emulates it".to_owned(),
                kind: Kind::Unsupported,
            }),
            Err(trouble) => Some(trouble),
        }
    } else {
        Some(Trouble {
            what: format!("this computer cannot run {} machines itself", arch.name()),
            why: format!("its own architecture is {}", Arch::here().name()),
            hint: "--qemu-accel tcg emulates it".to_owned(),
            kind: Kind::Unsupported,
        })
    };
    let Some(trouble) = trouble else { return Ok(candidate) };
    if asked.is_some() {
        return Err(Error::new(trouble.kind, trouble.what).source(trouble.why).hint(trouble.hint));
    }
    let mut warning = format!("{} ({}): the machine is emulated, {SLOWER}", trouble.what, trouble.why);
    if trouble.kind == Kind::Denied {
        warning = format!("{warning}; {}", trouble.hint);
    }
    notify.warn(&warning);
    Ok(Accel::Tcg)
}

/// What this computer has to run machines of its own architecture with; runs nothing.
pub(crate) fn checkup() -> Finding {
    let accel = if cfg!(target_os = "macos") { Accel::Hvf } else { Accel::Kvm };
    match usable(accel) {
        Ok(()) => Finding::good("accelerator", accel.name()),
        Err(trouble) => {
            let text = format!("{} ({}): machines are emulated, {SLOWER}", trouble.what, trouble.why);
            Finding::warning("accelerator", text, trouble.hint)
        }
    }
}

struct Trouble {
    what: String,
    why: String,
    hint: String,
    kind: Kind,
}

/// Whether the accelerator's device is there and ours to use.
fn usable(accel: Accel) -> std::result::Result<(), Trouble> {
    if accel != Accel::Kvm {
        return Ok(());
    }
    let Err(error) = rustix::fs::open(KVM, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
    let error = io::Error::from(error);
    Err(if error.kind() == io::ErrorKind::PermissionDenied {
        Trouble {
            what: format!("you may not use {KVM}"),
            why: error.to_string(),
            hint: "`sudo usermod -aG kvm $USER` and a new login give you the right to it".to_owned(),
            kind: Kind::Denied,
        }
    } else {
        Trouble {
            what: "this computer has no KVM".to_owned(),
            why: format!("{KVM}: {error}"),
            hint:
                "turn virtualization on in the firmware and `modprobe kvm_intel` or `kvm_amd`, or use --qemu-accel tcg"
                    .to_owned(),
            kind: Kind::Unsupported,
        }
    })
}

/// Runs the probe, once a boot.
async fn works(
    accel: Accel,
    arch: Arch,
    tools: &Tools,
    directory: &Path,
    notify: &dyn Notify,
) -> std::result::Result<(), String> {
    let file = directory.join(format!("probe-{}.json", accel.name()));
    let key = boot_id().map(|boot| format!("{boot} {} {}", tools.version, tools.system));
    let saved = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Found>(&bytes).ok());
    if let Some(found) = saved.filter(|found| Some(&found.key) == key.as_ref()) {
        return found.trouble.map_or(Ok(()), Err);
    }
    notify.progress(&format!("trying whether {} runs a machine", accel.name()));
    let result = probe::run(&tools.system, arch, accel).await;
    if let Some(key) = key {
        let found = Found { key, trouble: result.clone().err() };
        // Only a shortcut: without it the probe runs again.
        if let Ok(bytes) = serde_json::to_vec(&found)
            && let Err(error) = files::write(&file, &bytes)
        {
            tracing::debug!("the result of the probe is not kept: {error}");
        }
    }
    result
}

/// Which boot this is; `None` where the system does not tell (then nothing is kept).
fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Notify for Heard {
        fn progress(&self, _: &str) {}
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_probe_is_kept_and_a_bad_one_means_emulation_said_aloud() {
        let boot = boot_id().unwrap();
        let base = tempfile::tempdir().unwrap();
        let tools = Tools { system: "/nonexistent/qemu".into(), img: "qemu-img".into(), version: "1.0".into() };
        let saved = Found { key: format!("{boot} 1.0 /nonexistent/qemu"), trouble: Some("it hung".into()) };
        files::write(&base.path().join("probe-hvf.json"), &serde_json::to_vec(&saved).unwrap()).unwrap();
        // A probe that ran would say something else.
        let heard = Heard::default();
        let kept = works(Accel::Hvf, Arch::here(), &tools, base.path(), &heard).await;
        assert_eq!(kept, Err("it hung".to_owned()));
        let error = choose(Some(Accel::Hvf), Arch::here(), &tools, base.path(), &heard).await.unwrap_err();
        assert_eq!(error.to_string(), "hvf does not run a machine here");
        assert!(heard.0.lock().unwrap().is_empty());
        let other = if Arch::here() == Arch::Amd64 { Arch::Arm64 } else { Arch::Amd64 };
        let chosen = choose(None, other, &tools, base.path(), &heard).await.unwrap();
        assert_eq!(chosen, Accel::Tcg);
        assert!(heard.0.lock().unwrap()[0].contains("the machine is emulated, about 10 times slower"));
    }
}
