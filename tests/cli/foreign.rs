//! Records that others wrote, on a pipe and on a terminal; and what other programs learn of this one.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rmachine_text::printable::is_hidden;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::user::User;

/// Clears the screen, fills the clipboard, and looks like lines of ours.
const FORGED: &str = "\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{9b}31m\u{202e}x\nError: forged\nHint: forged";

fn user() -> User {
    let user = User::with_machines();
    user.change("one", |record| record["Rmachine"]["Driver"] = FORGED.into());
    user
}

fn is_clean(text: &str) -> bool {
    !text.contains(|c| is_hidden(c) && !matches!(c, '\n' | '\t'))
}

/// What `rmachine` writes to a terminal.
fn on_terminal(user: &User, arguments: &[&str]) -> String {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let open = || File::options().read(true).write(true).open(&name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rmachine"));
    command.args(arguments).env("MACHINE_STORAGE_PATH", user.store()).env("HOME", user.store()).env("TERM", "xterm");
    let mut child = command.stdin(Stdio::null()).stdout(open()).stderr(open()).spawn().unwrap();
    drop(command);
    let mut screen = File::from(controller);
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    // When the last one has closed it, reading fails.
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
    }
    child.wait().unwrap();
    // The terminal itself puts carriage returns in.
    String::from_utf8(seen).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_table_is_clean_and_data_is_as_it_is_but_on_a_terminal() {
    let user = user();
    for arguments in [&["ls"][..], &["ls", "--format", "table {{.Name}}\t{{.DriverName}}"]] {
        let text = user.run(arguments).stdout;
        assert!(is_clean(&text), "{arguments:?}: {text:?}");
        assert_eq!(text.lines().count(), 3, "{arguments:?}: {text}");
        assert!(
            text.contains("\\u{1b}[2J\\u{1b}]52;c;eA==\\u{7}\\u{9b}31m\\u{202e}x Error: forged Hint: forged"),
            "{text}"
        );
    }
    let raw = ["ls", "--format", "{{.DriverName}}"];
    assert!(user.run(&raw).stdout.contains(FORGED), "a pipe gets what is there");
    for arguments in
        [&raw[..], &["inspect", "one"], &["ls", "--json"], &["ls"], &["env", "one"], &["doctor", "--timeout", "1"]]
    {
        let text = on_terminal(&user, arguments);
        assert!(!text.is_empty() && is_clean(&text), "{arguments:?}: {text:?}");
    }
}

#[test]
fn an_error_and_the_log_are_clean() {
    let user = user();
    for arguments in [&["env", "one"][..], &["ssh", "one"], &["start", "one"], &["-D", "status", "one"]] {
        let answer = user.run(arguments);
        assert!(is_clean(&answer.stdout), "{arguments:?}: {:?}", answer.stdout);
        let forged =
            answer.stderr.lines().any(|line| line.starts_with("Error: forged") || line.starts_with("Hint: forged"));
        assert!(!forged && !answer.stderr.contains("\u{1b}[2J"), "{arguments:?}: {:?}", answer.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn its_memory_is_private() {
    const NOBODY: u32 = 65534;
    let home = tempfile::tempdir().unwrap();
    // Sticky, as a store below what everybody may write to is refused.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    // Where nobody may reach the build.
    let program = home.path().join("docker-machine");
    // By a process: a child of another test would inherit what we write to, and nobody can start it meanwhile (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_rmachine")).arg(&program).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(&program);
    // It waits for an answer.
    command
        .args(["rm", "m"])
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let (mut stdout, deadline) = (child.stdout.take().unwrap(), Instant::now() + Duration::from_secs(60));
    while !said.contains("Are you sure?") {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{said}");
        assert!(Instant::now() < deadline, "{said}");
        said.push(char::from(byte[0]));
    }
    let directory = format!("/proc/{}", child.id());
    let limits = std::fs::read_to_string(format!("{directory}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // proc_pid(5): root's, when it is not dumpable; but for the directory itself.
    assert_eq!(std::fs::metadata(format!("{directory}/environ")).unwrap().uid(), 0);
    child.stdin.take().unwrap().write_all(b"n\n").unwrap();
    child.wait().unwrap();
}
