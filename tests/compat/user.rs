//! Somebody with a `docker-machine` on his PATH that is rmachine.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub struct User {
    home: TempDir,
}

/// What a run has printed, and its code.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The first line of the error of a failure with docker-machine's code.
    #[track_caller]
    pub fn fails(&self) -> &str {
        assert_eq!(self.code, 1, "{self:?}");
        self.stderr.lines().next().unwrap_or_default()
    }
}

impl User {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rmachine"), home.path().join("bin/docker-machine")).unwrap();
        Self { home }
    }

    /// With a machine `one` of the driver none, where nothing answers.
    pub fn with_machine() -> Self {
        let user = Self::new();
        user.run(&["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "one"]).ok();
        user
    }

    pub fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.home.path().join("bin/docker-machine"));
        command.env_clear().env("HOME", self.home.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.home.path().join("bin").display()));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        Self::answer(&mut self.command(arguments))
    }

    pub fn answer(command: &mut Command) -> Answer {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer {
            code: output.status.code().expect("it ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
