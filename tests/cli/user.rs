//! A user with a home, a store and nothing in the environment.

use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

#[path = "../lab/transcript.rs"]
pub mod transcript;

pub struct User {
    home: TempDir,
}

/// What a program run has printed, and its code.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl User {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// With machines `one` (driver none) and `two`.
    pub fn with_machines() -> Self {
        let user = Self::new();
        for (name, url) in [("one", "tcp://127.0.0.1:1"), ("two", "tcp://[::1]:2")] {
            assert_eq!(user.run(&["create", "-d", "none", "--url", url, name]).code, 0);
        }
        user
    }

    pub fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rmachine"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("MACHINE_STORAGE_PATH", self.store());
        command.args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.run_in(arguments, &[])
    }

    /// Runs with variables in the environment.
    pub fn run_in(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
        let mut command = self.command(arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        transcript::keep(&output.stdout, &output.stderr);
        // The store's place differs from run to run.
        let text = |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            let text = any_build(&text);
            text.replace(self.store().to_str().unwrap(), "STORE").replace(self.home.path().to_str().unwrap(), "HOME")
        };
        let code = output.status.code().expect("it ends by itself");
        Answer { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs what has to fail: nothing on stdout, one error line first. Answers code and stderr.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_ne!(answer.code, 0, "{arguments:?} succeeds: {}", answer.stdout);
        assert_eq!(answer.stdout, "", "{arguments:?}: data on stdout");
        let errors = answer.stderr.lines().filter(|line| line.starts_with("Error: ")).count();
        assert_eq!(errors, 1, "{arguments:?}: one error line, not {errors}:\n{}", answer.stderr);
        let arguments = arguments.join(" ").replace(self.home.path().to_str().unwrap(), "HOME");
        format!("$ rmachine {arguments}\n{}(exit code {})\n", answer.stderr, answer.code)
    }

    /// Changes the record of `name`.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let path = self.store().join("machines").join(name).join("config.json");
        let mut document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut document);
        std::fs::write(path, document.to_string()).unwrap();
    }
}

/// The text without the heavy drivers, so that it is the same whether the build has them or not.
fn any_build(text: &str) -> String {
    let heavy = ["  amazonec2  ", "  docker  ", "  qemu  "];
    let lines = text.split_inclusive('\n').filter(|line| !heavy.iter().any(|name| line.starts_with(name)));
    lines
        .collect::<String>()
        .replace("amazonec2, ", "")
        .replace("docker, generic", "generic")
        .replace("none, qemu", "none")
}

/// Snapshots under their own names.
pub fn snapshots(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(check);
}
