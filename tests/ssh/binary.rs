//! `rmachine ssh` as a program, without a terminal.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{
    sshd::{Sshd, user},
    transcript::Said as _,
};

/// A machine `m` of the driver `generic`, without an engine, behind an sshd of its own.
pub struct Machine {
    pub sshd: Sshd,
    home: tempfile::TempDir,
    store: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        Self::in_store(Path::new("store"))
    }

    /// With the store in this directory of the home.
    pub fn in_store(store: &Path) -> Self {
        Self::create_on(Self { store: store.to_owned(), ..Self::bare() })
    }

    /// Behind this server.
    pub fn with_sshd(sshd: Sshd) -> Self {
        Self::create_on(Self { sshd, ..Self::bare() })
    }

    /// Before its create.
    pub fn bare() -> Self {
        Self { sshd: Sshd::start(), home: tempfile::tempdir().unwrap(), store: PathBuf::from("store") }
    }

    fn create_on(machine: Self) -> Self {
        let created = machine.create(&["--generic-ssh-host-key", &machine.sshd.first_host_key()]).said();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        machine
    }

    pub fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub fn machine_directory(&self) -> PathBuf {
        self.home().join(&self.store).join("machines/m")
    }

    /// Another machine in the same store.
    pub fn add(&self, name: &str, sshd: &Sshd) {
        let (port, key, host_key) = (sshd.port.to_string(), sshd.path("login"), sshd.first_host_key());
        let mut command = self.command(&["create", "-d", "generic", "--engine-source", "none"]);
        command.args(["--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port, "--generic-ssh-user", &user()]);
        command.arg("--generic-ssh-key").arg(key).args(["--generic-ssh-host-key", &host_key, name]);
        let created = command.said();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }

    /// `rmachine create` of the machine, with these flags besides.
    pub fn create(&self, flags: &[&str]) -> Command {
        let (port, key) = (self.sshd.port.to_string(), self.sshd.path("login"));
        let mut command = self.command(&["create", "-d", "generic", "--engine-source", "none"]);
        command.args(["--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port]);
        command.args(["--generic-ssh-user", &user(), "--generic-ssh-key"]).arg(key).args(flags).arg("m");
        command
    }

    /// Sets what `rmachine` needs to find this machine and nothing of the user's.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("MACHINE_STORAGE_PATH", self.home().join(&self.store)).env("HOME", self.home())
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rmachine"));
        self.environment(&mut command);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn ssh(&self, arguments: &[&str]) -> Output {
        self.command(&["ssh", "m"]).args(arguments).said()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_commands_own_arguments_are_not_ours() {
    let machine = Machine::new();
    let cases: [(&[&str], &str); 8] = [
        (&["echo", "-h"], "-h\n"),
        (&["echo", "--help"], "--help\n"),
        (&["echo", "--version", "-t", "-s", "x", "-D"], "--version -t -s x -D\n"),
        (&["--", "echo", "--", "-h"], "-- -h\n"),
        (&["echo", "--", "a"], "-- a\n"),
        (&["printf", "'%s|'", "'a b'", "c"], "a b|c|"),
        (&["echo 'one  word'; echo two"], "one  word\ntwo\n"),
        (&["A=1 sh -c 'echo $A'"], "1\n"),
    ];
    for (arguments, expected) in cases {
        let output = machine.ssh(arguments);
        assert_eq!(text(&output.stdout), expected, "{arguments:?}: {}", text(&output.stderr));
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn exit_codes_and_outputs_are_the_commands() {
    let machine = Machine::new();
    let output = machine.ssh(&["echo out; echo err >&2; exit 42"]);
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(42), "out\n", "err\n"));
    let output = machine.ssh(&["kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(text(&output.stderr), "the command was ended by signal KILL\n");
}

#[test]
fn bytes_go_through_unchanged_both_ways() {
    let machine = Machine::new();
    let bytes: Vec<u8> = (0..10_u32 * 1024 * 256).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes()).collect();
    let mut child = machine.command(&["ssh", "m", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes, "{} of {} bytes came back", output.stdout.len(), bytes.len());
}

#[test]
fn it_ends_with_the_command_although_its_input_stays_open() {
    let machine = Machine::new();
    let mut child = machine
        .command(&["ssh", "m", "exit 5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(5), "this test hangs where it does not end");
    drop(open);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let machine = Machine::new();
    let mut child =
        machine.command(&["ssh", "m", "yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&some, output.status.code(), text(&output.stderr)), (b"y\ny\n", Some(141), ""));
}

#[test]
fn without_a_command_its_input_is_a_script() {
    let machine = Machine::new();
    let mut child = machine.command(&["ssh", "m"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo from-script\nexit 6\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(text(&output.stdout).contains("from-script\n"), "{}", text(&output.stdout));
}

#[test]
fn a_host_that_is_gone_is_said_in_one_error_line() {
    let mut machine = Machine::new();
    let port = machine.sshd.port;
    machine.sshd.stop();
    let output = machine.ssh(&["true"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(255), ""));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with(&format!("Error: 127.0.0.1 does not accept SSH connections on port {port}\n")),
        "{stderr}"
    );
    assert_eq!(stderr.matches("Error:").count(), 1, "{stderr}");
}

#[test]
fn a_create_trusts_no_host_that_nobody_vouches_for() {
    let machine = Machine::bare();
    let output = machine.create(&[]).said();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("Error: the key of host 127.0.0.1 is not known"), "{stderr}");
    assert!(stderr.contains("--generic-ssh-host-key"), "{stderr}");
    let listed = machine.command(&["ls", "-q"]).said();
    assert_eq!(text(&listed.stdout), "", "a refused create leaves no record");

    let other = super::sshd::keygen(&machine.sshd.path(""), "other", &["-t", "ed25519"]);
    let output = machine.create(&["--generic-ssh-host-key", &super::sshd::public(&other)]).said();
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("is not the one that is known"), "{}", text(&output.stderr));
    assert!(!machine.sshd.log().contains("userauth-request"), "nothing was sent");

    let output = machine.create(&["--generic-ssh-host-key", "ssh-nonsense"]).said();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));

    // The user's known_hosts vouches.
    let home = machine.home().join(".ssh");
    std::fs::create_dir_all(&home).unwrap();
    let line = format!("[127.0.0.1]:{} {}\n", machine.sshd.port, machine.sshd.first_host_key());
    std::fs::write(home.join("known_hosts"), line).unwrap();
    let output = machine.create(&[]).said();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&machine.ssh(&["echo ok"]).stdout), "ok\n");
}
