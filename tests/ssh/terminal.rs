//! `rmachine ssh` on a pseudo-terminal of the test's own.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::{binary::Machine, sshd::GUARD};

/// A program on a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's side; kept to look at its modes.
    screen_side: File,
    seen: Arc<Mutex<Vec<u8>>>,
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Runs `rmachine` with `arguments` on a terminal of 100 columns and 30 rows.
    fn run(machine: &Machine, arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        tcsetwinsize(&controller, size(100, 30)).unwrap();
        // A session leader whose controlling terminal this is, as a terminal window's shell is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_rmachine")]).args(arguments);
        machine.environment(&mut command).env("TERM", "xterm");
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        let keyboard = File::from(controller);
        let mut screen = keyboard.try_clone().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keyboard, screen_side: open(), seen }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    fn expect(&self, wanted: &str) {
        let deadline = Instant::now() + GUARD;
        while !self.text().contains(wanted) {
            assert!(Instant::now() < deadline, "{wanted:?} does not come; seen: {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.screen_side).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(&self.keyboard, size(columns, rows)).unwrap();
    }

    fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + GUARD;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it does not end; seen: {}", self.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_shell_has_a_terminal_its_size_and_its_resizes() {
    let machine = Machine::new();
    let mut terminal = Terminal::run(&machine, &["ssh", "m"]);
    terminal.type_in("PS1=; stty -echo; echo ready-$((40+2))\r");
    terminal.expect("ready-42");
    assert!(terminal.is_raw());
    terminal.type_in("stty size; echo term-$TERM\r");
    terminal.expect("30 100");
    terminal.expect("term-xterm");
    terminal.resize(90, 20);
    // The new size travels beside the input: ask until it is there.
    terminal.type_in("until [ \"$(stty size)\" = '20 90' ]; do sleep 0.05; done; echo resized-$((1+1))\r");
    terminal.expect("resized-2");
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.exit_code(), 7);
    assert!(!terminal.is_raw(), "the terminal is as it was");
}

#[test]
fn ctrl_c_goes_to_the_program_there() {
    let machine = Machine::new();
    let mut terminal = Terminal::run(&machine, &["ssh", "m"]);
    terminal.type_in("PS1=; stty -echo; echo ready-$((40+2))\r");
    terminal.expect("ready-42");
    terminal.type_in(
        "sh -c 'trap \"echo caught-\\$((1+1)); exit\" INT; echo waiting-$((1+1)); while :; do sleep 0.1; done'\r",
    );
    terminal.expect("waiting-2");
    terminal.type_in("\u{3}");
    terminal.expect("caught-2");
    terminal.type_in("echo alive-$((1+1))\r");
    terminal.expect("alive-2");
    terminal.type_in("exit 8\r");
    assert_eq!(terminal.exit_code(), 8);
}

#[test]
fn a_command_gets_a_terminal_when_asked_for() {
    let machine = Machine::new();
    let mut terminal = Terminal::run(&machine, &["ssh", "-t", "m", "test -t 0 && stty size; exit 9"]);
    assert_eq!(terminal.exit_code(), 9);
    terminal.expect("30 100");
    assert!(!terminal.is_raw());
    let mut terminal = Terminal::run(&machine, &["ssh", "m", "test -t 0; echo tty-$?"]);
    assert_eq!(terminal.exit_code(), 0);
    terminal.expect("tty-1");
}

#[test]
fn ctrl_c_ends_a_command_without_terminal_at_once() {
    let machine = Machine::new();
    let mut terminal = Terminal::run(&machine, &["ssh", "m", "echo started; sleep 1000"]);
    terminal.expect("started");
    terminal.type_in("\u{3}");
    assert_eq!(terminal.exit_code(), 130);
}

#[test]
fn the_terminal_is_set_back_when_the_connection_breaks() {
    let machine = Machine::new();
    let mut terminal = Terminal::run(&machine, &["ssh", "m"]);
    terminal.type_in("PS1=; stty -echo; echo ready-$((40+2))\r");
    terminal.expect("ready-42");
    terminal.type_in("kill -9 $PPID\r");
    assert_eq!(terminal.exit_code(), 255);
    terminal.expect("the connection to machine \"m\" broke");
    assert!(!terminal.is_raw());
}

#[test]
fn a_passphrase_is_asked_for_without_an_echo_and_ctrl_c_gives_up() {
    let machine = Machine::new();
    let key = machine.home().join("store/machines/m/id_rsa");
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "pass word", "-f"])
        .arg(&key)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(locked.unwrap().success());

    let mut terminal = Terminal::run(&machine, &["ssh", "m", "echo in-$((40+2))"]);
    terminal.expect("Enter the passphrase of the key ");
    terminal.type_in("wrong\r");
    let deadline = Instant::now() + GUARD;
    while terminal.text().matches("Enter the passphrase").count() < 2 {
        assert!(Instant::now() < deadline, "it does not ask again: {}", terminal.text());
        std::thread::sleep(Duration::from_millis(10));
    }
    terminal.type_in("pass wort\x7fd\r");
    terminal.expect("in-42");
    assert_eq!(terminal.exit_code(), 0);
    assert!(!terminal.text().contains("pass wor") && !terminal.text().contains("wrong"), "{}", terminal.text());

    let mut terminal = Terminal::run(&machine, &["ssh", "m", "true"]);
    terminal.expect("Enter the passphrase of the key ");
    terminal.type_in("pa\x03");
    terminal.expect("its passphrase was not given");
    assert_ne!(terminal.exit_code(), 0);
    assert!(!terminal.is_raw(), "the terminal is set back");
}
