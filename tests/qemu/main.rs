//! A real machine of the driver `qemu`, with the stock docker client: made from Debian's packages, and
//! emulated where there is no KVM. `tests/run` runs it; by hand: `cargo test --test qemu`.
//!
//! Needs `apt-get install qemu-system-x86 qemu-utils mmdebstrap e2fsprogs` and a docker client. The image is
//! kept in `$RMACHINE_CACHE/qemu` (else `~/.cache/rmachine/qemu`); it is named by what it is made of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

#[path = "../lab/transcript.rs"]
mod transcript;

/// Emulated machines one at a time: two cores run one.
static ONE: Mutex<()> = Mutex::new(());

/// A store of one's own, beside the images that all runs share.
struct Lab {
    store: tempfile::TempDir,
    directory: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let cache = std::env::var_os("RMACHINE_CACHE").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").expect("a home directory")).join(".cache/rmachine"),
            PathBuf::from,
        );
        Self { store: tempfile::tempdir().unwrap(), directory: cache.join("qemu") }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("MACHINE_STORAGE_PATH", self.store.path())
            .env("RMACHINE_QEMU_DIRECTORY", &self.directory)
            .env("DOCKER_CONFIG", self.store.path().join("docker"))
            .stdin(Stdio::null());
        for variable in ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "MACHINE_DRIVER"] {
            command.env_remove(variable);
        }
        command
    }

    /// `rmachine ARGUMENTS`: its standard output, of a success.
    #[track_caller]
    fn rmachine(&self, arguments: &[&str]) -> String {
        succeed(self.command(env!("CARGO_BIN_EXE_rmachine")).args(arguments))
    }

    /// Starts a machine. An emulated one was once seen to hang in its boot (qemu 7.2, two processors): then its plug
    /// is pulled and it is started again, once, with a loud word and what its console said.
    #[track_caller]
    fn start(&self, machine: &str) {
        let started = self.command(env!("CARGO_BIN_EXE_rmachine")).args(["start", machine]).output().unwrap();
        let talk = String::from_utf8_lossy(&started.stderr);
        eprintln!("$ rmachine start {machine}  -> {}\n{talk}", started.status);
        if started.status.success() {
            return;
        }
        let console = std::fs::read(self.machine_directory(machine).join("console.log")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let last: Vec<&str> = console.lines().rev().take(60).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        eprintln!("RETRIED: the machine did not come up; its console said last:\n{}", last.join("\n"));
        assert!(talk.contains("its qemu runs"), "it is the system that hangs, not its start");
        self.rmachine(&["kill", machine]);
        self.rmachine(&["start", machine]);
    }

    /// A shell line after `eval $(rmachine env MACHINE)`.
    #[track_caller]
    fn sh(&self, machine: &str, line: &str) -> String {
        let directory = Path::new(env!("CARGO_BIN_EXE_rmachine")).parent().unwrap();
        let mut path = vec![directory.to_path_buf()];
        path.extend(std::env::var_os("RMACHINE_LAB_TOOLS").map(|tools| Path::new(&tools).join("usr/bin")));
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let script = format!(
            "set -e; command -v docker >/dev/null || {{ echo 'no docker client: apt-get install docker.io' >&2; exit 1; }}; \
             eval $(rmachine env {machine}); {line}"
        );
        succeed(self.command("bash").env("PATH", std::env::join_paths(path).unwrap()).args(["-c", &script]))
    }

    /// Where machine `name` is kept.
    fn machine_directory(&self, name: &str) -> PathBuf {
        let record = self.rmachine(&["inspect", name]);
        let begin = self.directory.join("machines").display().to_string();
        let path = record.split('"').find(|word| word.starts_with(&begin)).expect("the record has the directory");
        // The record names files in it too.
        Path::new(path).ancestors().find(|p| p.parent().is_some_and(|p| p.ends_with("machines"))).unwrap().into()
    }

    /// Machines' directories, and the images that are not whole.
    fn left(&self) -> Vec<String> {
        let names = |directory: &str| -> Vec<String> {
            let entries = std::fs::read_dir(self.directory.join(directory)).into_iter().flatten().flatten();
            entries.map(|e| e.file_name().into_string().unwrap()).collect()
        };
        let images = names("images").into_iter().filter(|name| name.ends_with(".part") || name.ends_with(".lock"));
        names("machines").into_iter().chain(images).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Ok(machines) = std::fs::read_dir(self.store.path().join("machines")) else { return };
        for machine in machines.flatten() {
            let name = machine.file_name();
            let removed = self.command(env!("CARGO_BIN_EXE_rmachine")).args(["rm", "-y", "-f"]).arg(&name).status();
            eprintln!("rm of {}: {removed:?}", name.display());
        }
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let what = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    let begun = std::time::Instant::now();
    let output = command.output().unwrap_or_else(|e| panic!("{what}: {e}"));
    transcript::keep(&output.stdout, &output.stderr);
    let (said, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("$ {what}  -> {} after {:.1} s\n{said}{talk}", output.status, begun.elapsed().as_secs_f32());
    assert!(output.status.success(), "{what}: {}\n{talk}", output.status);
    said.trim().to_owned()
}

/// An image of the machine's own shell, so that nothing is pulled.
const IMPORT: &str = "sudo sh -c 'tar -c -h -C / bin/sh bin/cat $(ldd /bin/sh /bin/cat | grep -o \"/[^ ]*\\.so[^ ]*\" | sort -u) \
                      2>/dev/null | docker import - own >/dev/null'";

#[test]
fn a_machine_of_debian_packages_from_create_to_rm() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let lab = Lab::new();
    // An emulated machine whatever this computer can: what is tested is the same everywhere.
    lab.rmachine(&[
        "create",
        "--driver",
        "qemu",
        "--qemu-accel",
        "tcg",
        "--qemu-cpus",
        "1",
        "--qemu-publish",
        "18080:8080",
        "q",
    ]);
    assert!(lab.rmachine(&["ls"]).contains("Running"));
    assert!(!lab.sh("q", "docker version --format '{{.Server.Version}}'").is_empty());

    lab.rmachine(&["ssh", "q", IMPORT]);
    lab.sh("q", "docker volume create data && docker run --rm -v data:/d own sh -c 'echo kept >/d/file'");
    let disk = lab.rmachine(&["ssh", "q", "df --output=size -BG / | tail -1"]);
    let gigabytes: u32 = disk.trim().trim_end_matches('G').parse().unwrap();
    assert!(gigabytes >= 18, "the file system has grown into the disk: {disk}");

    let ip = lab.rmachine(&["ip", "q"]);
    lab.rmachine(&["stop", "q"]);
    assert!(lab.rmachine(&["ls"]).contains("Stopped"));
    lab.start("q");
    assert_eq!(lab.rmachine(&["ip", "q"]), ip, "the address stays");
    assert_eq!(lab.sh("q", "docker run --rm -v data:/d own cat /d/file"), "kept");

    // Other runs may keep machines beside this one.
    let directory = lab.machine_directory("q");
    assert!(directory.exists() && runs(&directory), "the machine is where its record says");
    lab.rmachine(&["rm", "-y", "q"]);
    assert!(!directory.exists(), "nothing of the machine is left");
    assert!(!runs(&directory), "no qemu is left");
}

/// Whether a process has `path` on its command line.
fn runs(path: &Path) -> bool {
    let listed = Command::new("ps").args(["-axww", "-o", "args="]).output().unwrap();
    assert!(listed.status.success());
    String::from_utf8_lossy(&listed.stdout).contains(path.to_str().unwrap())
}

/// kill -9 while the image is built, which takes longest: the build ends, and `rm` leaves nothing.
#[test]
fn a_create_that_was_killed_while_it_built_leaves_nothing_after_rm() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut lab = Lab::new();
    // A place of its own, or the image would be there already.
    let directory = tempfile::Builder::new().prefix("rmq-").tempdir_in("/tmp").unwrap();
    lab.directory = directory.path().to_path_buf();
    let mut create = lab
        .command(env!("CARGO_BIN_EXE_rmachine"))
        .args(["create", "--driver", "qemu", "--qemu-accel", "tcg", "q"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut talk = BufReader::new(create.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("installing essential packages") && !said.contains("downloading the image:") {
        assert!(talk.read_line(&mut said).unwrap() > 0, "the create ended before it built:\n{said}");
    }
    create.kill().unwrap();
    create.wait().unwrap();
    // The pipe ends when the last of the build's processes has ended.
    talk.read_to_string(&mut said).unwrap();
    assert!(!lab.left().is_empty(), "a killed create leaves something");
    lab.rmachine(&["rm", "-y", "q"]);
    assert_eq!(lab.left(), [""; 0], "{said}");
    // On a busy computer the build's own clean-up may still look at a directory that is gone.
    let ended = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        !runs(&lab.directory)
    });
    assert!(ended, "no process of the build is left");
}
