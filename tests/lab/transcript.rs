//! What programs say in tests, kept for the scan of `tests/run`, which looks for secrets in it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    process::{Command, Output},
};

/// Keeps what a program wrote, where the environment says so.
pub fn keep(stdout: &[u8], stderr: &[u8]) {
    let Some(directory) = std::env::var_os("RMACHINE_TRANSCRIPTS").map(PathBuf::from) else { return };
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(std::process::id().to_string());
    let text = [stdout, b"\n", stderr, b"\n"].concat();
    OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(&text).unwrap();
}

/// A program that is run to its end.
#[allow(dead_code, reason = "each of the test targets uses some")]
pub trait Said {
    /// What it wrote, which is kept.
    fn said(&mut self) -> Output;
}

impl Said for Command {
    #[track_caller]
    fn said(&mut self) -> Output {
        let output = self.output().unwrap();
        keep(&output.stdout, &output.stderr);
        output
    }
}
