//! Build scripts: children that end with us, tell their steps, and are quoted when they fail.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    path::Path,
    process::{ExitStatus, Stdio},
};

use rmachine_provider_api::{Error, Kind, Notify, Result};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
};

/// Lines of a failed script that its error repeats.
const LAST_WORDS: usize = 8;

/// A shell script of `templates/` that builds something on this computer.
///
/// It runs with its name as `$0`; what it prints to stderr is talk: lines that begin with `step=` or
/// with mmdebstrap's `I: ` are steps, all are kept for the error.
#[derive(Debug)]
pub struct Script<'a> {
    /// What it makes, for messages: "the image of the machines".
    pub makes: &'a str,
    /// The text.
    pub text: &'a str,
    /// Variables of its environment, besides ours.
    pub environment: Vec<(&'static str, OsString)>,
    /// Arguments.
    pub arguments: Vec<OsString>,
}

/// A script that runs. Dropping it asks the script to end (SIGTERM): each cleans up after itself.
#[derive(Debug)]
pub struct Running {
    child: Child,
    makes: String,
    talk: Lines<BufReader<ChildStderr>>,
}

/// A name for what is built from `inputs`: the first `length` bytes of their digest, in hexadecimal digits.
pub fn key<'a>(inputs: impl IntoIterator<Item = &'a str>, length: usize) -> String {
    let mut digest = Sha256::new();
    for input in inputs {
        digest.update(input.as_bytes());
        digest.update([0]);
    }
    digest.finalize().iter().take(length).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `program` is on the path, or where administrators' programs are.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path);
    let more = ["/usr/sbin", "/sbin"].iter().map(|d| Path::new(d).to_path_buf());
    directories.chain(more).any(|directory| directory.join(program).is_file())
}

impl Script<'_> {
    /// Starts it. The script ends when this process does, however that ends: by setpriv(1)'s death
    /// signal where that is (Linux).
    ///
    /// # Errors
    ///
    /// When no shell can be started.
    pub fn spawn(&self) -> Result<Running> {
        let mut command = if have("setpriv") {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "TERM", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin");
        command
            .arg("-c")
            .arg(self.text)
            .arg("build")
            .args(&self.arguments)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(name, value)| (OsStr::new(name), value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |e: std::io::Error| Error::new(Kind::Other, format!("cannot build {}", self.makes)).source(e);
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take().ok_or_else(|| failed(std::io::Error::other("no standard error")))?;
        let talk = BufReader::new(stderr).lines();
        Ok(Running { child, makes: self.makes.to_owned(), talk })
    }

    /// Runs it to its end; what it prints to stdout is thrown away.
    ///
    /// # Errors
    ///
    /// [`Kind::Other`] with its last words when it fails.
    pub async fn run(&self, notify: &dyn Notify) -> Result<()> {
        let mut running = self.spawn()?;
        let mut data = running.stdout().ok_or_else(|| Error::new(Kind::Other, "a script has one standard output"))?;
        let mut nowhere = tokio::io::sink();
        let (ended, _) = tokio::join!(running.end(notify), tokio::io::copy(&mut data, &mut nowhere));
        ended
    }
}

impl Running {
    /// What it prints to stdout; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Tells its steps and waits for its end. Whoever took [`Running::stdout`] reads it meanwhile.
    ///
    /// # Errors
    ///
    /// [`Kind::Other`] with its last words when it failed.
    pub async fn end(mut self, notify: &dyn Notify) -> Result<()> {
        let mut last = VecDeque::new();
        while let Ok(Some(line)) = self.talk.next_line().await {
            tracing::debug!("build: {line}");
            if let Some(step) = line.strip_prefix("step=").or_else(|| line.strip_prefix("I: ")) {
                notify.progress(&format!("building {}: {step}", self.makes));
            }
            if last.len() == LAST_WORDS {
                last.pop_front();
            }
            last.push_back(line);
        }
        match self.child.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(&self.makes, status, &last)),
            Err(e) => Err(Error::new(Kind::Other, format!("cannot build {}", self.makes)).source(e)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!("the build of {} is not ended: {error}", self.makes);
        }
    }
}

fn failed(makes: &str, status: ExitStatus, words: &VecDeque<String>) -> Error {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Error::new(Kind::Other, format!("cannot build {makes}: {status}")).source(words.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Notify for Heard {
        fn progress(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
        fn warn(&self, _: &str) {}
    }

    fn script(text: &'static str) -> Script<'static> {
        Script { makes: "a thing", text, environment: vec![("WORD", "value".into())], arguments: vec!["one".into()] }
    }

    #[tokio::test]
    async fn steps_are_told_and_the_last_words_of_a_failure_repeated() {
        let heard = Heard::default();
        script("echo \"step=$WORD $1\" >&2").run(&heard).await.unwrap();
        assert_eq!(*heard.0.lock().unwrap(), ["building a thing: value one"]);
        let error = script("echo no room >&2; exit 3").run(&heard).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("a thing") && cause == "no room", "{error}: {cause}");
    }
}
