//! The way to a host: straight, through jump hosts, or over a command of the user's.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Join, ReadBuf},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout},
    sync::Mutex,
    task::JoinHandle,
};

use super::{Error, Result, Session, Target, session::Limits};

/// How long a jump host may take to let us in; its own key may want a passphrase meanwhile.
const HOP: Duration = Duration::from_secs(15);
/// How long a command that ended may take until its exit code and last words are read.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many lines of what it says are kept.
const WORDS: usize = 4;

/// How the connection to a host is had.
#[derive(Debug, Clone, Default)]
pub enum Route {
    /// TCP to its address.
    #[default]
    Direct,
    /// From another host, which is logged in to (`ssh -J`).
    Jump(Arc<Jump>),
    /// The standard input and output of a shell command (ssh_config(5), ProxyCommand).
    Command(String),
}

/// A host on the way. Its session is kept, so that several connections and a long wait need one login.
#[derive(Debug)]
pub struct Jump {
    host: Target,
    held: Mutex<Option<Arc<Session>>>,
}

impl Route {
    /// From `host`, however that is reached.
    pub fn through(host: Target) -> Self {
        Self::Jump(Arc::new(Jump { host, held: Mutex::default() }))
    }
}

impl Jump {
    async fn session(&self) -> Result<Arc<Session>> {
        let mut held = self.held.lock().await;
        if let Some(session) = held.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let session = Box::pin(Session::connect(&self.host, HOP)).await;
        let session = session.map_err(|e| Error::Jump { host: self.host.host.clone(), source: Box::new(e) })?;
        Ok(held.insert(Arc::new(session)).clone())
    }
}

/// What an SSH connection can run over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to a host, and what has to live as long.
pub(super) struct Dialled {
    stream: Box<dyn Stream>,
    _through: Option<Arc<Session>>,
}

/// Connects to `host:port` by `route`. Where that is a command, its end tells why nothing came.
pub(super) async fn dial(
    route: &Route,
    (host, port, user): (&str, u16, &str),
    limits: Limits,
) -> Result<(Dialled, Option<Proxy>)> {
    let unreachable = |source| Error::Unreachable { host: host.to_owned(), port, source };
    let timed_out = |_| Error::TimedOut { host: host.to_owned(), port, after: limits.tcp };
    match route {
        Route::Direct => {
            let stream = tokio::time::timeout(limits.tcp, TcpStream::connect((host, port))).await;
            let stream = stream.map_err(timed_out)?.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            Ok((Dialled { stream: Box::new(stream), _through: None }, None))
        }
        Route::Jump(jump) => {
            let session = jump.session().await?;
            let stream = tokio::time::timeout(limits.tcp, session.forward(host, port)).await.map_err(timed_out)?;
            let stream = stream.map_err(|e| unreachable(io::Error::other(format!("from {}: {e}", jump.host.host))))?;
            Ok((Dialled { stream: Box::new(stream), _through: Some(session) }, None))
        }
        Route::Command(template) => {
            let command = fill(template, host, port, user);
            let (stream, proxy) = Proxy::start(&command).map_err(|e| Error::Proxy {
                command: command.clone(),
                said: String::new(),
                source: Some(e),
            })?;
            Ok((Dialled { stream: Box::new(stream), _through: None }, Some(proxy)))
        }
    }
}

/// Puts in what OpenSSH's tokens stand for: `%h`, `%n` the host, `%p` the port, `%r` the login name, `%%` a percent sign.
fn fill(template: &str, host: &str, port: u16, user: &str) -> String {
    // What is put in comes from a provider or a flag, and is one word in the shell.
    let word = |text: &str| shlex::try_quote(text).map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
    let mut filled = String::new();
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('%', Some('h' | 'n')) => filled.push_str(&word(host)),
            ('%', Some('p')) => filled.push_str(&port.to_string()),
            ('%', Some('r')) => filled.push_str(&word(user)),
            ('%', Some('%')) => filled.push('%'),
            _ => {
                filled.push(c);
                continue;
            }
        }
        rest.next();
    }
    filled
}

/// A proxy command that runs.
pub(super) struct Proxy {
    command: String,
    child: Child,
    said: JoinHandle<VecDeque<String>>,
}

impl Proxy {
    fn start(command: &str) -> io::Result<(Join<ChildStdout, ChildStdin>, Self)> {
        let mut child = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("it has no pipes");
        let (stdin, stdout) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let said = tokio::spawn(async move {
            let (mut lines, mut last) = (BufReader::new(stderr).lines(), VecDeque::new());
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!("the proxy command: {line}");
                if last.len() == WORDS {
                    last.pop_front();
                }
                last.push_back(line);
            }
            last
        });
        Ok((tokio::io::join(stdout, stdin), Self { command: command.to_owned(), child, said }))
    }

    /// Leaves it to the connection, with whose end it ends: its input is closed then.
    pub(super) fn detach(self) {
        let Self { mut child, .. } = self;
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::debug!("the proxy command: {error}");
            }
        });
    }

    /// Why no connection came of it: what it said at its end, where it has ended; else `error`.
    pub(super) async fn explain(mut self, error: Error) -> Error {
        let Ok(Ok(status)) = tokio::time::timeout(LAST_WORDS, self.child.wait()).await else { return error };
        let words = tokio::time::timeout(LAST_WORDS, &mut self.said).await;
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        let said = if words.is_empty() { status.to_string() } else { Vec::from(words).join("\n") };
        // sh(1): 126 and 127 are commands that cannot be run.
        let source = matches!(status.code(), Some(126 | 127)).then(|| io::Error::other("it cannot be run"));
        Error::Proxy { command: self.command, said, source }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("command", &self.command).finish_non_exhaustive()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_filled_in_as_openssh_does() {
        assert_eq!(fill("nc -X 5 %h %p", "192.0.2.7", 22, "me"), "nc -X 5 192.0.2.7 22");
        assert_eq!(fill("ssh -W [%h]:%p %r@gate", "2001:db8::7", 2222, "me"), "ssh -W [2001:db8::7]:2222 me@gate");
        assert_eq!(fill("a%%h %x 100%", "h", 1, "u"), "a%h %x 100%");
        assert_eq!(fill("x %h", "$(reboot)", 1, "u"), "x '$(reboot)'");
    }
}
