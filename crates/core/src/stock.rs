//! Programs of this computer that do part of the work: rsync, sshfs, and the ssh that they start.

use std::{
    ffi::OsStr,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rmachine_model::error::{Error, Kind, Result};
use tokio::process::Command;

/// Where `program` is, by `PATH`.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|directory| directory.join(program)).find(|p| is_program(p))
}

/// The same, or an error that says what it is for and how it is had.
pub(super) fn require(program: &str, what: &str, hint: &str) -> Result<PathBuf> {
    find(program).ok_or_else(|| {
        Error::new(Kind::Failure, format!("{what} needs the program {program}, which is not on this computer"))
            .hint(hint)
    })
}

/// Runs `program` to its end. What it prints is talk: stdout is for data.
pub(super) async fn run(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<ExitStatus> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::from(io::stderr())).kill_on_drop(true);
    tracing::debug!("{command:?}");
    let failed = |e| Error::new(Kind::Failure, format!("cannot run {}", program.display())).source(e);
    command.spawn().map_err(failed)?.wait().await.map_err(failed)
}
