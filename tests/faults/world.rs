//! One user with one store, an account in a file, and maybe a host behind it.

use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rmachine_engine::{self as engine, TlsFiles};
use rmachine_provider_api::{Owner, ResourceKind};
use rmachine_provider_fake::{Account, Held};
use rmachine_store::Store;
use rustix::process::Pid;
use tempfile::TempDir;

use crate::{child, host::Host};

#[path = "../lab/transcript.rs"]
mod transcript;

/// How many children run at once.
const AT_ONCE: usize = 4;
/// No command takes longer, not on a busy computer either.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends at a side effect.
pub const KILL: &str = "KILL";
/// Ctrl-C at a side effect.
pub const INTERRUPT: &str = "INT";
/// Stays at a side effect until it is told to go on.
pub const STOP: &str = "STOP";

/// `create` of the machine of all these tests.
pub const CREATE: &[&str] = &["create", "--driver", "fake", "m"];
/// Its removal.
pub const REMOVE: &[&str] = &["rm", "-y", "m"];

/// A user's store, and a cloud that strangers use too.
pub struct World {
    directory: TempDir,
    pub account: Account,
    before: Vec<Held>,
    host: Option<Host>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn succeeded(self, what: &str) -> Self {
        assert!(self.status.success(), "{what}: {self:?}");
        self
    }

    #[track_caller]
    pub fn was_killed(self, what: &str) {
        assert_eq!(self.status.signal(), Some(9), "{what}: {self:?}");
    }
}

/// The arguments of a process, `/proc/ID`. Where it is one of this program's that has just begun, exec(2) may not have
/// put them there yet.
fn arguments(process: &Path) -> Option<String> {
    let program = std::env::current_exe().unwrap();
    loop {
        let line = std::fs::read_to_string(process.join("cmdline")).ok()?;
        if !line.is_empty() || std::fs::read_link(process.join("exe")).ok()? != program {
            return Some(line);
        }
        thread::yield_now();
    }
}

impl World {
    /// Machines without SSH and engine: all is in the cloud's API.
    pub fn of_api() -> Self {
        Self::new(false)
    }

    /// Machines with a host that answers, and an engine.
    pub fn of_hosts() -> Self {
        Self::new(true)
    }

    fn new(with_host: bool) -> Self {
        let directory = directory();
        let account = Account::in_file(directory.path().join("account.json"));
        account.plant(ResourceKind::SecurityGroup, "sg-stranger");
        account.plant_of(ResourceKind::Instance, "i-other-store", Some(&"another-store".parse::<Owner>().unwrap()));
        let host = with_host.then(|| Host::up(account.clone()));
        let before = account.held();
        assert_eq!(before.len(), 2);
        Self { directory, account, before, host }
    }

    pub fn store(&self) -> Store {
        Store::at(self.directory.path().join("store"))
    }

    /// A path beside the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How many CAs the engine trusts.
    pub fn trusted(&self) -> usize {
        let disk = self.host.as_ref().unwrap().disk.lock().unwrap();
        disk.tls.as_ref().unwrap()[0].matches("BEGIN CERTIFICATE").count()
    }

    /// The host shows the key again that stood in its first-boot data.
    pub fn show_the_seed(&self) {
        self.host.as_ref().unwrap().disk.lock().unwrap().own_key = None;
    }

    /// The lines of the host's authorized_keys.
    pub fn logins(&self) -> Vec<String> {
        self.host.as_ref().unwrap().disk.lock().unwrap().logins.clone()
    }

    /// Whether the engine and who has the files in `directory` know each other.
    pub fn lets_in(&self, directory: &Path) -> bool {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let (ca, cert, key) = (read("ca.pem"), read("cert.pem"), read("key.pem"));
        let tls = TlsFiles { ca_pem: &ca, cert_pem: &cert, key_pem: &key };
        let endpoint = self.store().load("m").unwrap().endpoint().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(engine::check(&endpoint, &tls, PATIENCE)).is_ok()
    }

    /// Keeps a copy of the client's files in `from`, as somebody has it on another computer.
    pub fn copy_of(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir(&to).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
        to
    }

    /// The commands that `doctor` names for what is not well, each as its words after `rmachine`.
    pub fn remedies(&self) -> Vec<Vec<String>> {
        let output = self.command(&["doctor", "--json"]).stdout(Stdio::piped()).output().unwrap();
        let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let remedies = checks.as_array().unwrap().iter().filter_map(|check| check["remedy"].as_str());
        let commands = remedies.filter_map(|remedy| remedy.strip_prefix("`rmachine ")?.split('`').next());
        commands.map(|command| command.split(' ').map(str::to_owned).collect()).collect()
    }

    /// The processes that work on this store without being asked by a variable: tunnels.
    pub fn processes(&self) -> Vec<Pid> {
        let root = self.store().root().to_str().unwrap().to_owned();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let ours = all.filter(|entry| arguments(&entry.path()).is_some_and(|line| line.contains(&root)));
        ours.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// `rmachine ARGUMENTS` in this world.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg0("rmachine")
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("MACHINE_STORAGE_PATH", self.store().root())
            .env(child::ACCOUNT, self.directory.path().join("account.json"))
            .env(child::HOST, if self.host.is_some() { "yes" } else { "no" })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// Runs it as if machines had no hosts, which is quicker.
    pub fn without_host(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments).env(child::HOST, "no").spawn().unwrap())
    }

    /// Starts it; `signal` comes at the side effect `point`.
    pub fn start_with(&self, arguments: &[&str], point: &str, signal: &str) -> Child {
        self.command(arguments).env(child::AT, point).env(child::SIGNAL, signal).spawn().unwrap()
    }

    /// Runs it; `signal` comes at the side effect `point`.
    pub fn run_with(&self, arguments: &[&str], point: &str, signal: &str) -> Ran {
        finish(self.start_with(arguments, point, signal))
    }

    /// Runs it to its good end and answers its side effects, in order.
    pub fn points(&self, arguments: &[&str]) -> Vec<String> {
        let trace = self.directory.path().join("trace");
        let ran = finish(self.command(arguments).env(child::TRACE, &trace).spawn().unwrap());
        ran.succeeded("the run that counts");
        std::fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect()
    }

    /// The account is as it was at first, and the store has no machine.
    #[track_caller]
    pub fn assert_as_before(&self, what: &str) {
        assert_eq!(self.account.held(), self.before, "{what}: the account is not as before");
        assert_eq!(self.store().names().unwrap(), Vec::<String>::new(), "{what}: the store has machines");
    }

    /// What the account holds besides what it held at first.
    pub fn made(&self) -> Vec<Held> {
        self.account.held().into_iter().filter(|held| !self.before.contains(held)).collect()
    }

    /// The machine is there and usable: its three resources, its record, its engine.
    #[track_caller]
    pub fn assert_usable(&self, what: &str) {
        assert_eq!(self.made().len(), 3, "{what}: {:?}", self.made());
        assert_eq!(self.store().load("m").unwrap().phase, rmachine_store::Phase::Ready, "{what}");
        if self.host.is_some() {
            self.run(&["env", "--check", "m"]).succeeded(what);
        }
    }

    /// No temporary files and half-made directories anywhere in the store.
    #[track_caller]
    pub fn assert_tidy(&self, what: &str) {
        let mut left = Vec::new();
        let mut directories = vec![self.store().root().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().starts_with('.') {
                    left.push(entry.path());
                } else if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                }
            }
        }
        assert_eq!(left, Vec::<PathBuf>::new(), "{what}: debris");
        // Whoever was killed, the audit log is one chain of whole lines.
        let log = std::fs::read(self.store().audit_log()).unwrap_or_default();
        let chain = rmachine_store::audit::Chain::read(&log);
        assert_eq!((chain.broken, chain.torn), (None, Vec::new()), "{what}: the audit log");
    }
}

/// A directory in memory where there is one: what a killed process wrote is there with or without a disk, and its
/// thousands of syncs take minutes on one. `tests/run` has a directory of its own there.
fn directory() -> TempDir {
    let memory = std::env::var_os("RMACHINE_MEMORY").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Waits for a child, which is not to hang.
pub fn finish(mut child: Child) -> Ran {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            child.kill().unwrap();
            panic!("it hangs: {:?}", child.wait_with_output().unwrap());
        }
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    transcript::keep(&output.stdout, &output.stderr);
    Ran { status: output.status, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Which of many points are tried: all, or every Nth from the Kth on, where `RMACHINE_FAULTS_SHARE` is `K/N`.
fn shared(points: &[String]) -> Vec<&String> {
    const FEW: usize = 20;
    let Ok(share) = std::env::var("RMACHINE_FAULTS_SHARE") else { return points.iter().collect() };
    let (first, step) = share.split_once('/').unwrap();
    let (first, step): (usize, usize) = (first.parse().unwrap(), step.parse().unwrap());
    if points.len() < FEW {
        return points.iter().collect();
    }
    let tried: Vec<_> = points.iter().skip(first).step_by(step).collect();
    println!("  SKIPPED: {} points of {}, by RMACHINE_FAULTS_SHARE={share}", points.len() - tried.len(), points.len());
    tried
}

/// Works on all `points` or a [share](shared) of them, some at once; all failures are shown, and then it fails.
pub fn each(points: &[String], work: impl Fn(&str) + Sync) {
    let points = shared(points);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| work(point))).is_err() {
                        failed.lock().unwrap().push((*point).clone());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), points.len());
    println!("  {} points", points.len());
}
