//! `rmachine scp` when something ends in the middle, and against what means ill.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    binary::Machine,
    scp::{Pair, names, noise, write},
    sshd::{GUARD, Sshd},
    transcript::{self, Said as _},
};

/// OpenSSH's SFTP server as a program.
const SERVER: &str = "/usr/lib/openssh/sftp-server";

fn pair(script: &str) -> Pair {
    assert!(Path::new(SERVER).exists(), "{SERVER} is missing: apt-get install openssh-sftp-server");
    Pair::of(Machine::with_sshd(Sshd::with_sftp(&script.replace("SERVER", SERVER))))
}

#[track_caller]
fn nothing_is_left(directory: &Path) {
    assert!(names(directory).is_empty(), "{:?}", names(directory));
}

/// A directory of ours on the machine; these servers begin in the login user's home directory.
fn place(pair: &Pair, name: &str) -> String {
    format!("m:{}", pair.there(name).display())
}

#[test]
fn a_download_that_breaks_leaves_nothing() {
    // The answers end in the middle; once the server alone, once with its whole connection.
    for whom in ["$$", "$PPID"] {
        let pair = pair(&format!("SERVER 2>/dev/null | {{ dd bs=64k count=60 2>/dev/null; kill -9 {whom}; }}"));
        write(&pair.there("big"), &noise(8_000_000), 0o644, 1);
        fs::create_dir(pair.here("d")).unwrap();
        write(&pair.here("d/old"), b"old", 0o644, 1);
        let said = pair.fails(7, &[&place(&pair, "big"), "d/old"]);
        assert!(said.contains("/big on machine \"m\"\nCaused by: the connection broke\n"), "{said}");
        assert!(said.contains("Hint: `rmachine status m` shows its state"), "{said}");
        assert_eq!(names(&pair.here("d")), ["old"]);
        assert_eq!(fs::read(pair.here("d/old")).unwrap(), b"old", "what was there is as it was");
    }
}

#[test]
fn an_upload_that_breaks_says_what_it_leaves() {
    for whom in ["$$", "$PPID"] {
        let pair = pair(&format!("{{ dd bs=64k count=60 2>/dev/null; kill -9 {whom}; }} | SERVER 2>/dev/null"));
        write(&pair.here("big"), &noise(8_000_000), 0o644, 1);
        let said = pair.fails(7, &["big", &place(&pair, "big")]);
        assert!(said.contains("Error: cannot write ") && said.contains("Caused by: the connection broke\n"), "{said}");
        let left = names(&pair.there(""));
        assert_eq!(left.len(), 1, "{left:?}");
        let left = left[0].to_str().unwrap();
        assert!(left.starts_with(".big.rmachine-"), "not under its name: {left}");
        assert!(said.contains(&format!("is left on m as {}", pair.there(left).display())), "{said}");
    }
}

#[test]
fn a_full_disk_there_is_said_and_leaves_nothing() {
    // Blocks of 512 bytes; a signal that is ignored makes it an error.
    let pair = pair("trap '' XFSZ; ulimit -f 2000; exec SERVER");
    write(&pair.here("big"), &noise(3_000_000), 0o644, 1);
    let said = pair.fails(1, &["big", &place(&pair, "big")]);
    assert!(said.contains("Error: cannot write ") && said.contains("Caused by: the host refuses it: "), "{said}");
    assert!(said.contains("Hint: is its disk full? `rmachine ssh m -- df -h` shows it"), "{said}");
    nothing_is_left(&pair.there(""));
}

#[test]
fn a_full_disk_here_is_said_and_leaves_nothing() {
    let pair = Pair::new();
    write(&pair.there("big"), &noise(3_000_000), 0o644, 1);
    let scp = pair.machine.command(&["scp", "m:big", "."]);
    let mut limited = Command::new("sh");
    pair.machine.environment(&mut limited).args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$@\"", "sh"]);
    limited.arg(scp.get_program()).args(scp.get_args()).current_dir(pair.here(""));
    let output = limited.said();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("Error: cannot write ./big\nCaused by: File too large"), "{said}");
    nothing_is_left(&pair.here(""));
}

/// Begins a copy that takes minutes, and returns when some of it is there. It is never waited for.
fn endless_copy(pair: &Pair, ignored: &str) -> Child {
    fs::File::create(pair.here("huge")).unwrap().set_len(1 << 40).unwrap();
    let scp = pair.machine.command(&["scp", "huge", "m:"]);
    // Whoever runs the tests under nohup has them ignore SIGHUP, and a shell could not change that.
    let mut command = Command::new("env");
    pair.machine.environment(&mut command).args(["--default-signal=HUP", &format!("--ignore-signal={ignored}")]);
    command.arg(scp.get_program()).args(scp.get_args()).current_dir(pair.here(""));
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    until_copied(pair, 64 << 20);
    child
}

fn until_copied(pair: &Pair, bytes: u64) {
    let deadline = Instant::now() + GUARD;
    let copied = || {
        let name = names(&pair.there("")).first().cloned();
        name.and_then(|name| fs::metadata(pair.there(name)).ok()).map_or(0, |found| found.len())
    };
    while copied() < bytes {
        assert!(Instant::now() < deadline, "it does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[track_caller]
fn is_taken_back(pair: &Pair, child: Child) {
    let output = child.wait_with_output().unwrap();
    transcript::keep(&output.stdout, &output.stderr);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    nothing_is_left(&pair.there(""));
}

#[test]
fn ctrl_c_takes_back_what_is_not_whole_and_memory_stays_small() {
    let pair = Pair::new();
    let child = endless_copy(&pair, "USR1");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<u64>().unwrap() < 56 << 10, "{peak} kB of memory for 64 MB of a file");
    send("-INT", &child);
    is_taken_back(&pair, child);
}

#[test]
fn a_closed_terminal_takes_back_what_is_not_whole_unless_nohup_keeps_it_going() {
    let pair = Pair::new();
    let child = endless_copy(&pair, "USR1");
    // By the kernel, and by the shell.
    send("-HUP", &child);
    send("-HUP", &child);
    is_taken_back(&pair, child);

    let child = endless_copy(&pair, "HUP");
    send("-HUP", &child);
    until_copied(&pair, 128 << 20);
    send("-TERM", &child);
    is_taken_back(&pair, child);
}

#[test]
fn a_link_in_the_target_leads_nowhere() {
    let pair = Pair::new();
    write(&pair.there("t/sub/file"), b"new", 0o644, 1);
    write(&pair.there("t/plain"), b"new", 0o644, 1);
    for outside in ["outside-dir/file", "outside-file"] {
        write(&pair.here(outside), b"mine", 0o644, 1);
    }
    fs::create_dir(pair.here("t")).unwrap();
    symlink("../outside-dir", pair.here("t/sub")).unwrap();
    symlink("../outside-file", pair.here("t/plain")).unwrap();
    let said = pair.fails(1, &["-r", "m:t", "."]);
    assert!(said.contains("cannot write ./t/sub\nCaused by: it is a symbolic link, which is not followed"), "{said}");
    assert_eq!(fs::read(pair.here("outside-dir/file")).unwrap(), b"mine");
    assert_eq!(fs::read(pair.here("outside-file")).unwrap(), b"mine", "the link is replaced, and not what it leads to");
    assert!(!pair.here("t/plain").is_symlink());
}

#[test]
fn a_file_in_a_directory_that_takes_no_new_one_is_written_in_place() {
    if super::sshd::user() != "root" {
        eprintln!("NOT TESTED: only root becomes somebody else");
        return;
    }
    let pair = pair("exec setpriv --reuid 65534 --clear-groups SERVER");
    write(&pair.there("shut/open"), b"a longer old one", 0o666, 1);
    fs::set_permissions(pair.machine.sshd.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    write(&pair.here("new"), b"new", 0o644, 1);
    let output = pair.scp(&["new", &place(&pair, "shut/open")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(pair.there("shut/open")).unwrap(), b"new");
    let said = pair.fails(1, &["new", &place(&pair, "shut/other")]);
    assert!(said.contains("Caused by: permission denied\nHint: copy it to a place of the login user"), "{said}");
}

#[test]
fn a_host_without_sftp_is_said() {
    for script in ["", "exit 127"] {
        let pair = Pair::of(Machine::with_sshd(Sshd::with_sftp(script)));
        write(&pair.here("a"), b"a", 0o644, 1);
        let said = pair.fails(7, &["a", "m:"]);
        assert!(said.starts_with("Error: 127.0.0.1 has no SFTP server\nHint: install it there"), "{said}");
        assert!(said.contains("`rmachine ssh m -- tar"), "{said}");
    }
}

#[test]
fn a_server_that_speaks_something_else_is_refused() {
    let pair = pair("cat /dev/zero");
    write(&pair.here("a"), b"a", 0o644, 1);
    assert!(pair.fails(7, &["a", "m:"]).starts_with("Error: "));
}

/// No key of the machine is known: nothing is sent.
#[test]
fn another_host_at_its_address_gets_nothing() {
    let mut pair = Pair::new();
    write(&pair.here("a"), b"a", 0o644, 1);
    let other = Sshd::prepare(&["ed25519"]);
    for name in ["host_ed25519", "host_ed25519.pub"] {
        fs::copy(other.path(name), pair.machine.sshd.path(name)).unwrap();
    }
    pair.machine.sshd.stop();
    pair.machine.sshd.run();
    let said = pair.fails(7, &["a", "m:"]);
    assert!(said.contains("is not the one that is known"), "{said}");
    nothing_is_left(&pair.there(""));
}
