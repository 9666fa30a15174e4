//! A command that a test watches while it runs, and ends in the middle.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::transcript;

/// How often a watched condition is looked at.
const TICK: Duration = Duration::from_millis(5);

/// A running command; what it says on stderr is read as it comes.
pub struct Running {
    child: Child,
    what: String,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stderr: String,
}

impl Ended {
    /// Panics unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stderr
    }

    /// The one error that the command ended with, exit code `code`.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().filter(|line| line.starts_with("Error:")).count(), 1, "{self:?}");
        self.stderr
    }
}

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// What was waited for.
    Wanted,
    /// The command's end.
    Ended,
}

impl Running {
    /// Starts `command`, with nothing on its stdin.
    #[track_caller]
    pub fn start(command: Command) -> Self {
        Self::listen(command, false)
    }

    /// As [`Running::start`], where progress comes on stdout, as under docker-machine's name.
    #[track_caller]
    pub fn start_talking(command: Command) -> Self {
        Self::listen(command, true)
    }

    #[track_caller]
    fn listen(mut command: Command, to_stdout: bool) -> Self {
        let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        let what = words.join(" ");
        let stdout = if to_stdout { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = |from: Box<dyn Read + Send>| {
            let sink = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    sink.lock().unwrap().push(line);
                }
            })
        };
        let mut readers = vec![read(Box::new(child.stderr.take().unwrap()))];
        if let Some(stdout) = child.stdout.take() {
            readers.push(read(Box::new(stdout)));
        }
        Self { child, what, lines, readers }
    }

    /// What it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Whether a line with `text` has been said.
    pub fn has_said(&self, text: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Waits until `wanted` holds or the command ends by itself.
    #[track_caller]
    pub fn until(&mut self, patience: Duration, mut wanted: impl FnMut(&Self) -> bool) -> Seen {
        let deadline = Instant::now() + patience;
        loop {
            if wanted(self) {
                return Seen::Wanted;
            }
            if self.child.try_wait().unwrap().is_some() {
                return if wanted(self) { Seen::Wanted } else { Seen::Ended };
            }
            assert!(Instant::now() < deadline, "{}: not in {patience:?}: {:?}", self.what, self.said());
            std::thread::sleep(TICK);
        }
    }

    /// Waits until a line with `text` is said; panics when the command ends before.
    #[track_caller]
    pub fn until_said(&mut self, text: &str) {
        let seen = self.until(Duration::from_secs(120), |running| running.has_said(text));
        assert_eq!(seen, Seen::Wanted, "{}: ended without \"{text}\": {:?}", self.what, self.said());
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        // The process may have ended by itself, which its exit code tells.
        let _ = kill_process(pid, Signal::INT);
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.collect()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self, patience: Duration) -> Ended {
        self.until(patience, |_| false);
        self.collect()
    }

    fn collect(&mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let stderr = self.said().join("\n");
        transcript::keep(&[], stderr.as_bytes());
        eprintln!("$ {}  -> {code:?}\n{stderr}", self.what);
        Ended { code, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
