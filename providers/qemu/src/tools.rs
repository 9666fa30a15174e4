//! qemu's programs on this computer.

use std::{io, process::Stdio};

use rmachine_provider_api::{Error, Kind, Result};
use tokio::process::Command;

use crate::config::Arch;

/// The programs, found.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The system emulator.
    pub system: String,
    pub img: String,
    /// First line of its `--version`.
    pub version: String,
}

impl Tools {
    /// Finds them.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] that names the package.
    pub(crate) async fn find(arch: Arch, binary: Option<&str>) -> Result<Self> {
        let system = binary.unwrap_or(arch.binary()).to_owned();
        let output = run(&system, &["--version"]).await.map_err(|e| missing(&system, arch, e))?;
        let img = "qemu-img".to_owned();
        run(&img, &["--version"]).await.map_err(|e| missing(&img, arch, e))?;
        let version = output.lines().next().unwrap_or_default().to_owned();
        Ok(Self { system, img, version })
    }
}

fn missing(program: &str, arch: Arch, error: io::Error) -> Error {
    let what = if error.kind() == io::ErrorKind::NotFound { "is not installed" } else { "does not run" };
    let package = arch.package();
    let hint = if cfg!(target_os = "macos") {
        "`brew install qemu` installs it".to_owned()
    } else {
        format!("`sudo apt-get install {package} qemu-utils` installs it (Fedora: `dnf install qemu-kvm qemu-img`)")
    };
    Error::new(Kind::NotFound, format!("{program} {what}")).source(error).hint(hint)
}

/// Runs `program` to its end and answers what it printed.
///
/// # Errors
///
/// When it does not start, or fails: then with its last words.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(program);
    // In a process group of its own: a Ctrl-C at the terminal is ours to answer.
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    let output = command.output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // qemu-img tells the system's error only in words (strerror).
    let kind =
        if words.contains("No space left on device") { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, if words.is_empty() { format!("{program}: {}", output.status) } else { words }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named_with_its_package() {
        let error = Tools::find(Arch::Amd64, Some("/nonexistent/qemu")).await.unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/qemu is not installed");
        assert!(cfg!(target_os = "macos") || error.hint_text().unwrap().contains("qemu-system-x86 qemu-utils"));
    }

    #[tokio::test]
    async fn a_full_disk_is_recognized() {
        let error = run("sh", &["-c", "echo 'x: No space left on device' >&2; exit 1"]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
