//! What programs say in tests, kept for the scan of `tests/run`, which looks for secrets in it.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Keeps what a program wrote, where the environment says so.
pub fn keep(stdout: &[u8], stderr: &[u8]) {
    let Some(directory) = std::env::var_os("RMACHINE_TRANSCRIPTS").map(PathBuf::from) else { return };
    fs::create_dir_all(&directory).unwrap();
    // A file each: the scan keeps a file whole whenever its writer closes it.
    let mut file = loop {
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        match OpenOptions::new().create_new(true).write(true).open(directory.join(name)) {
            // This module may be in a program twice.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => break opened.unwrap(),
        }
    };
    file.write_all(&[stdout, b"\n", stderr, b"\n"].concat()).unwrap();
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
