//! A connection and its channels.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rmachine_model::effect;
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Preferred,
    client::{self, Handle, Msg},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    Budget, Budgets, Error, Result, Route, Sftp, SftpError, Target,
    budget::{Collector, Meter, TooMuch},
    keys,
    lines::LineWriter,
    login::login,
    outcome::{Exit, Output, Stream},
    route,
    trust::{Shown, Trusted, Verifier},
};

/// A silent peer is asked for a sign of life this often …
const KEEPALIVE: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(15) };
/// … and given up after this many without an answer. A silent command is never cut off.
const KEEPALIVE_MAX: usize = 4;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long one try may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the TCP connection stands.
    pub(super) tcp: Duration,
    /// The key exchange with the connection, and the login after it, each.
    pub(super) step: Duration,
}

impl Limits {
    /// The same limit for all.
    pub(super) fn of(limit: Duration) -> Self {
        Self { tcp: limit, step: limit }
    }
}

/// One connection to a host, logged in.
pub struct Session {
    handle: Handle<Verifier>,
    host: String,
    user: String,
    host_key: String,
    budgets: Budgets,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Connects and exchanges keys, with the host key types that are trusted and no others.
pub(super) async fn handshake(
    route: &Route,
    whom: (&str, u16, &str),
    verifier: Verifier,
    limits: Limits,
) -> Result<Handle<Verifier>> {
    let config = client::Config {
        preferred: Preferred { key: verifier.trusted.algorithms(), ..Preferred::default() },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVE_MAX,
        ..client::Config::default()
    };
    let (host, port, _) = whom;
    let (stream, proxy) = route::dial(route, whom, limits).await?;
    let work = client::connect_stream(Arc::new(config), stream, verifier);
    let error = match tokio::time::timeout(limits.step, work).await {
        Ok(Ok(handle)) => {
            // It goes on for as long as the connection does.
            if let Some(proxy) = proxy {
                proxy.detach();
            }
            return Ok(handle);
        }
        Ok(Err(source)) => Error::Protocol { host: host.to_owned(), source },
        Err(_) => Error::TimedOut { host: host.to_owned(), port, after: limits.step },
    };
    match (proxy, &error) {
        // What the host showed is not the command's doing.
        (_, Error::Protocol { source: russh::Error::UnknownKey | russh::Error::NoCommonAlgo { .. }, .. })
        | (None, _) => Err(error),
        (Some(proxy), _) => Err(proxy.explain(error).await),
    }
}

impl Session {
    /// Connects, checks the host's key and logs in, in `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Error`], which tells an unreachable host, a wrong host key and a refused login apart.
    pub async fn connect(target: &Target, timeout: Duration) -> Result<Self> {
        Self::connect_within(target, Limits::of(timeout)).await
    }

    pub(super) async fn connect_within(target: &Target, limits: Limits) -> Result<Self> {
        let mut refused = None;
        for trusted in Trusted::of(target)? {
            match Self::connect_trusting(target, trusted, limits).await {
                // The first key that was shown says most.
                Err(error @ Error::HostKey { .. }) => refused = refused.or(Some(error)),
                result => return result,
            }
        }
        Err(refused.unwrap_or_else(|| Error::UnknownHost { host: target.host.clone() }))
    }

    async fn connect_trusting(target: &Target, trusted: Trusted, limits: Limits) -> Result<Self> {
        let expected = trusted.describe();
        let shown = Shown::default();
        let verifier = Verifier { trusted, shown: shown.clone() };
        let result = handshake(&target.route, (&target.host, target.port, &target.user), verifier, limits).await;
        let key = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut handle = match (result, &key) {
            (Ok(handle), _) => handle,
            (Err(Error::Protocol { source: russh::Error::UnknownKey, .. }), Some(key)) => {
                let shown = keys::fingerprint_of(key);
                return Err(Error::HostKey { host: target.host.clone(), shown, expected });
            }
            (
                Err(Error::Protocol {
                    source: russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, .. }, ..
                }),
                _,
            ) => {
                let shown = "no key of a known type".to_owned();
                return Err(Error::HostKey { host: target.host.clone(), shown, expected });
            }
            (Err(error), _) => return Err(error),
        };
        Box::pin(login(&mut handle, target, limits.step)).await?;
        effect::after("log in as", &target.user);
        let host_key = key.and_then(|key| key.to_openssh().ok()).unwrap_or_default();
        Ok(Self { handle, host: target.host.clone(), user: target.user.clone(), host_key, budgets: target.budgets })
    }

    /// The key that the host has proved to hold, as an OpenSSH line.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Who is logged in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What work of each kind may take.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Runs `command`, which looks at something, gives it `stdin`, and collects what it writes.
    ///
    /// # Errors
    ///
    /// When the session fails; a command that fails is no error.
    pub async fn run(&self, command: &str, stdin: &[u8]) -> Result<Output> {
        self.run_within(self.budgets.look, command, stdin).await
    }

    /// The same with another budget.
    ///
    /// # Errors
    ///
    /// As [`Session::run`]; [`Error::TooMuch`] and [`Error::Late`] when it takes more.
    pub async fn run_within(&self, budget: Budget, command: &str, stdin: &[u8]) -> Result<Output> {
        let meter = Meter::of(budget);
        let (mut stdout, mut stderr) = (Collector::new(&meter), Collector::new(&meter));
        let exit = Box::pin(self.metered(&meter, self.pipe(command, stdin, &mut stdout, &mut stderr))).await?;
        Ok(Output { exit, stdout: stdout.bytes, stderr: stderr.bytes })
    }

    /// Runs `command` and hands over its output line by line while it runs.
    ///
    /// # Errors
    ///
    /// As [`Session::run_within`].
    pub async fn stream(
        &self,
        budget: Budget,
        command: &str,
        stdin: &[u8],
        on_line: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<Exit> {
        let (meter, on_line) = (Meter::of(budget), std::sync::Mutex::new(on_line));
        let mut stdout = LineWriter { stream: Stream::Stdout, meter: &meter, rest: Vec::new(), on_line: &on_line };
        let mut stderr = LineWriter { stream: Stream::Stderr, meter: &meter, rest: Vec::new(), on_line: &on_line };
        let exit = Box::pin(self.metered(&meter, self.pipe(command, stdin, &mut stdout, &mut stderr))).await?;
        stdout.end();
        stderr.end();
        Ok(exit)
    }

    /// Runs `command` with these for its input and outputs, byte for byte. Ends when the command
    /// does, also when `stdin` has not.
    ///
    /// # Errors
    ///
    /// When the session or one of the local ends fails.
    pub async fn pipe<R, W, E>(&self, command: &str, stdin: R, mut stdout: W, mut stderr: E) -> Result<Exit>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        effect::before("run", command);
        let channel = self.channel().await?;
        channel.exec(true, command).await.map_err(|e| self.failed(e))?;
        effect::amid("run", command);
        let (reader, writer) = channel.split();
        let exit = self.transfer(reader, &writer, stdin, &mut stdout, &mut stderr).await?;
        effect::after("run", command);
        Ok(exit)
    }

    pub(super) async fn channel(&self) -> Result<russh::Channel<Msg>> {
        self.opened("open a channel", self.handle.channel_open_session()).await?.map_err(|e| self.failed(e))
    }

    /// What `work` answers, if that is soon.
    async fn opened<T>(&self, what: &'static str, work: impl Future<Output = T>) -> Result<T> {
        let after = self.budgets.open;
        let late = |_| Error::Late { host: self.host.clone(), what, after };
        tokio::time::timeout(after, work).await.map_err(late)
    }

    /// What `work` answers, if it keeps to the budget of `meter`.
    async fn metered<T>(&self, meter: &Meter, work: impl Future<Output = Result<T>>) -> Result<T> {
        let host = || self.host.clone();
        let result = tokio::select! {
            result = work => result,
            (what, after) = meter.over() => return Err(Error::Late { host: host(), what, after }),
        };
        result.map_err(|error| match &error {
            Error::Local(local) => match TooMuch::in_error(local) {
                Some(TooMuch { what, bytes }) => Error::TooMuch { host: host(), what, bytes },
                None => error,
            },
            _ => error,
        })
    }

    pub(super) async fn transfer<R, W, E>(
        &self,
        mut reader: ChannelReadHalf,
        writer: &ChannelWriteHalf<Msg>,
        stdin: R,
        stdout: &mut W,
        stderr: &mut E,
    ) -> Result<Exit>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let mut feed = pin!(async {
            // A command that ends without reading its input closes the channel: no error of ours.
            if writer.data(stdin).await.is_ok() {
                let _ = writer.eof().await;
            }
        });
        let mut feeding = true;
        let mut exit = Exit::Lost;
        loop {
            let message = tokio::select! {
                message = reader.wait() => message,
                () = &mut feed, if feeding => { feeding = false; continue }
            };
            match message {
                Some(ChannelMsg::Data { data }) => stdout.write_all(&data).await.map_err(Error::Local)?,
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    stderr.write_all(&data).await.map_err(Error::Local)?;
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => exit = Exit::Code(exit_status),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => exit = Exit::Signal(signal_text(&signal_name)),
                Some(ChannelMsg::Failure) => {
                    return Err(self.failed(russh::Error::RequestDenied));
                }
                Some(ChannelMsg::Close) | None => break,
                Some(_) => {}
            }
            if matches!(exit, Exit::Lost) {
                stdout.flush().await.map_err(Error::Local)?;
            }
        }
        stdout.flush().await.map_err(Error::Local)?;
        stderr.flush().await.map_err(Error::Local)?;
        Ok(exit)
    }

    /// Opens a TCP connection from the host to `host:port` (RFC 4254, section 7.2).
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub async fn forward(&self, host: &str, port: u16) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
        let opening = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
        let channel = self.opened("open a channel", opening).await?.map_err(|e| self.failed(e))?;
        Ok(channel.into_stream())
    }

    /// Starts the host's SFTP server.
    ///
    /// # Errors
    ///
    /// [`Error::NoSftp`] when it has none.
    pub async fn sftp(&self) -> Result<Arc<Sftp>> {
        self.opened("start its SFTP server", self.start_sftp()).await?
    }

    async fn start_sftp(&self) -> Result<Arc<Sftp>> {
        let none = || Error::NoSftp { host: self.host.clone() };
        let mut channel = self.channel().await?;
        channel.request_subsystem(true, "sftp").await.map_err(|e| self.failed(e))?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return Err(none()),
            }
        }
        match Sftp::start(channel.into_stream(), &self.budgets).await {
            Ok(sftp) => Ok(Arc::new(sftp)),
            // The subsystem is named in sshd's configuration, and its program is missing.
            Err(SftpError::Lost) if self.is_open() => Err(none()),
            Err(source) => Err(Error::Sftp { host: self.host.clone(), source }),
        }
    }

    /// Whether the connection stands, as far as is known.
    pub fn is_open(&self) -> bool {
        !self.handle.is_closed()
    }

    /// Says goodbye; a session that is dropped without it ends as well.
    pub async fn close(self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        match tokio::time::timeout(GOODBYE, bye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(host = self.host, "the session was gone already: {error}"),
            Err(_) => tracing::debug!(host = self.host, "the host takes no goodbye"),
        }
    }

    pub(super) fn failed(&self, source: russh::Error) -> Error {
        Error::Protocol { host: self.host.clone(), source }
    }
}

fn signal_text(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}
