//! One user with a store, whose commands are measured.

use std::{
    io::Write,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rmachine_ssh::KeyPair;
use rmachine_text::printable;
use tempfile::TempDir;
use tokio::runtime::Runtime;

#[path = "../lab/transcript.rs"]
mod transcript;

use crate::child::{self, Patience};

/// No command takes longer, on a busy computer either; the budgets of the children are far below.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a command may have more of memory than one that is answered well.
const MOST_MIB: u64 = 64;

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

pub struct World {
    directory: TempDir,
    /// Memory of a command that is answered well, in MiB.
    usual: OnceLock<u64>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub seconds: f32,
    pub mib: u64,
}

/// Checks all of `cases` at once: nearly all of the time is that of time-outs.
pub fn at_once<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

impl World {
    pub fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap(), usual: OnceLock::new() };
        let key = KeyPair::generate_ed25519("login").unwrap();
        // Never, not for an instant, readable by others: the scan of `tests/run` takes note.
        let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(world.path("login"));
        file.unwrap().write_all(key.private_openssh().as_bytes()).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `arguments`, of which the first is the program's name.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(Patience::Little, arguments)
    }

    /// The same with the patience that users have, where nobody lies.
    pub fn set_up(&self, arguments: &[&str]) -> Ran {
        let ran = self.run_with(Patience::Usual, arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        self.usual.get_or_init(|| ran.mib);
        ran
    }

    pub fn run_with(&self, patience: Patience, arguments: &[&str]) -> Ran {
        let peak = self.path("peak");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg0(arguments[0]).args(&arguments[1..]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.directory.path());
        command.env("MACHINE_STORAGE_PATH", self.path("store")).env(child::PEAK, &peak);
        command.env(child::PATIENCE, format!("{patience:?}")).current_dir(self.directory.path());
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, wait) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE).is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        watch.join().unwrap();
        transcript::keep(&output.stdout, &output.stderr);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let kib = std::fs::read_to_string(&peak).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(u64::MAX);
        let _ = std::fs::remove_file(peak);
        Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            seconds: started.elapsed().as_secs_f32(),
            mib: kib / 1024,
        }
    }

    /// What every command keeps to, whoever lies to it; prints a line of the table of figures.
    #[track_caller]
    pub fn assert_bounded(&self, lie: &str, arguments: &[&str], ran: &Ran) {
        let what = format!("{lie}: {}", arguments.join(" "));
        println!("{what:<60} {:>5.1} s {:>5} MiB", ran.seconds, ran.mib);
        assert!(ran.code.is_some(), "{what}: it was killed after {PATIENCE:?}: {ran:?}");
        let usual = self.usual.get().expect("a command was answered well before");
        assert!(ran.mib <= usual + MOST_MIB, "{what}: {} MiB; {usual} MiB is usual", ran.mib);
        for text in [&ran.stdout, &ran.stderr] {
            let hidden = text.chars().find(|c| printable::is_hidden(*c) && !matches!(c, '\n' | '\t'));
            assert_eq!(hidden, None, "{what}: {text}");
        }
        assert!(ran.stderr.len() < 64 * 1024, "{what}: {} bytes of errors", ran.stderr.len());
    }

    /// The command fails with one error, in its words.
    #[track_caller]
    pub fn assert_refused(&self, lie: &str, arguments: &[&str]) -> Ran {
        self.assert_refused_with(Patience::Little, lie, arguments)
    }

    /// The same, with that patience.
    #[track_caller]
    pub fn assert_refused_with(&self, patience: Patience, lie: &str, arguments: &[&str]) -> Ran {
        let ran = self.run_with(patience, arguments);
        self.assert_bounded(lie, arguments, &ran);
        assert!(matches!(ran.code, Some(1..)), "{lie}: {arguments:?}: {ran:?}");
        let errors = ran.stderr.lines().filter(|line| line.starts_with("Error")).count();
        assert_eq!(errors, 1, "{lie}: {arguments:?}: {}", ran.stderr);
        ran
    }
}
