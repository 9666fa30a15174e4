//! The lab, a store of one's own, and the stock clients.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The image with an engine in it.
pub const PREBAKED: &str = "rmachine-lab-debian-13-docker";

#[path = "../lab/transcript.rs"]
pub mod transcript;

#[path = "../lab/client.rs"]
mod client;
#[allow(unused_imports, reason = "each of the test targets uses some")]
pub use client::{exec_on, lab, lab_at, lab_variable, resources, resources_at};

/// The image with the Docker of today in it.
#[allow(dead_code, reason = "the faults use the other")]
pub const CURRENT: &str = "rmachine-lab-debian-13-current";

/// What a finished command wrote.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    fn of(what: &str, output: &Output) -> Self {
        transcript::keep(&output.stdout, &output.stderr);
        let done = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        eprintln!("$ {what}  -> {}\n{}{}", done.code, done.stdout, done.stderr);
        done
    }

    /// The trimmed standard output of a success.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.trim().to_owned()
    }

    /// Whether docker was refused over TLS. With TLS 1.3 a client hears that after its handshake, or finds the connection
    /// reset (RFC 8446, section 4.4.2.4).
    pub fn is_refused_by_tls(&self) -> bool {
        self.code != 0 && ["tls", "connection reset", "broken pipe"].iter().any(|word| self.stderr.contains(word))
    }

    /// The standard error of a failure with this exit code: one `Error:` line, nothing on stdout.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.stderr.lines().filter(|line| line.starts_with("Error:")).count(), 1, "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Done {
    let what = format!("{} {}", command.get_program().to_string_lossy(), shown(command));
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{what}: {e}"));
    Done::of(&what, &output)
}

/// A command's words, without the secrets that a test types: its output is no place for them.
fn shown(command: &Command) -> String {
    const SECRET: [&str; 5] = [
        "--amazonec2-access-key",
        "--amazonec2-secret-key",
        "--amazonec2-session-token",
        "--engine-env",
        "--engine-opt",
    ];
    let mut words = Vec::new();
    let mut is_secret = false;
    for word in command.get_args().map(|a| a.to_string_lossy()) {
        words.push(match word.split_once('=') {
            _ if is_secret => "...".to_owned(),
            Some((flag, _)) if SECRET.contains(&flag) => format!("{flag}=..."),
            _ => word.clone().into_owned(),
        });
        is_secret = SECRET.contains(&&*word);
    }
    words.join(" ")
}

/// The rmachine under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rmachine"))
}

/// A store of one's own; when it is dropped, all its machines are removed.
pub struct Store {
    directory: tempfile::TempDir,
    docker_config: PathBuf,
    /// The stock clients.
    tools: PathBuf,
}

impl Store {
    pub fn new() -> Self {
        Self::with(&lab_variable("RMACHINE_LAB_TOOLS"))
    }

    /// With the clients of today, in place of Debian's.
    #[allow(dead_code, reason = "the faults use the others")]
    pub fn with_current_clients() -> Self {
        Self::with(&lab_variable("RMACHINE_LAB_CURRENT_TOOLS"))
    }

    fn with(tools: &str) -> Self {
        let tools = PathBuf::from(tools);
        let directory = tempfile::tempdir().unwrap();
        // Under sudo, too, nothing of the caller's own docker is used or touched.
        let docker_config = directory.path().join("docker");
        std::fs::create_dir(&docker_config).unwrap();
        let plugins = tools.join("usr/libexec/docker/cli-plugins");
        let config = serde_json::json!({ "cliPluginsExtraDirs": [plugins] });
        std::fs::write(docker_config.join("config.json"), config.to_string()).unwrap();
        Self { directory, docker_config, tools }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// A command with the environment of a user of this store.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let tools = self.tools.join("usr/bin");
        let own = program_directory();
        let path = format!("{}:{}:{}", own.display(), tools.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command
            .env("MACHINE_STORAGE_PATH", self.root())
            .env("DOCKER_CONFIG", &self.docker_config)
            .env("PATH", path)
            .env("HOME", self.directory.path());
        for variable in [
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "DOCKER_MACHINE_NAME",
            "MACHINE_DRIVER",
            // requests, below docker-py, takes these before the CA that docker-py names.
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// `rmachine ARGUMENTS`.
    #[track_caller]
    pub fn rmachine(&self, arguments: &[&str]) -> Done {
        run(self.command(program()).args(arguments))
    }

    /// `rmachine create --driver amazonec2` of one of our own images.
    #[track_caller]
    pub fn create_ec2(&self, image: &str, arguments: &[&str], name: &str) -> Done {
        let mut all = vec!["create", "--driver", "amazonec2", "--amazonec2-ami-name", image];
        all.extend(arguments);
        all.push(name);
        self.rmachine(&all)
    }

    /// A shell line with the machine's environment, as a user has it after `eval $(rmachine env NAME)`.
    #[track_caller]
    pub fn sh(&self, machine: &str, line: &str) -> Done {
        let script = format!("set -e; eval $(rmachine env {machine}); {line}");
        run(self.command("bash").args(["-c", &script]))
    }

    /// The record, as `inspect` prints it.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        serde_json::from_str(&self.rmachine(&["inspect", name]).ok()).unwrap()
    }

    /// Imports the tiny image as `busybox` into the machine's engine.
    #[track_caller]
    pub fn import_busybox(&self, machine: &str) {
        let line = format!("docker import {} busybox >/dev/null", lab_variable("RMACHINE_LAB_BUSYBOX"));
        self.sh(machine, &line).ok();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file beside the store.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn program_directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| program().parent().unwrap().to_owned())
}

impl Drop for Store {
    fn drop(&mut self) {
        let names = run(self.command(program()).args(["ls", "-q"])).stdout;
        for name in names.lines() {
            run(self.command(program()).args(["rm", "-f", name]));
        }
    }
}

/// Tries until `test` holds.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut test: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !test() {
        assert!(Instant::now() < deadline, "{what}: not in {patience:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
