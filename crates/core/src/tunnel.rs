//! `--ssh-tunnel`: the engine listens on its host's loopback only, and a port on ours leads there through SSH.

use std::{
    io::ErrorKind,
    process::Stdio,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use rmachine_engine::{self as engine, EngineVersion, TlsFiles};
use rmachine_model::{
    Endpoint, effect,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::Driver;
use rmachine_ssh::Session;
use rmachine_store::{LOOPBACK, Record, atomic, file, random_id};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::{
    Access, Core,
    create::wants_engine,
    open::{CONNECT, Need},
    peer,
};

/// How long the tunnel in the background may take until it listens, login included.
const START: Duration = Duration::from_secs(30);
/// How long a tunnel may take to see that it shall end.
const END: Duration = Duration::from_secs(5);
/// How often a tunnel looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(500);
/// How many connections are carried at once; each is a channel of the one SSH session. More wait.
const MOST_CONNECTIONS: usize = 64;
/// The SSH connection is closed after this long without use; the next use opens it again.
const IDLE: Duration = Duration::from_secs(300);

impl Core {
    /// Whether a tunnel to machine `name` runs.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when that cannot be told.
    pub fn tunnel_runs(&self, name: &str) -> Result<bool> {
        Ok(self.is_marked(name)? && self.store.is_tunnel_locked(name)?)
    }

    /// Whether a tunnel to machine `name` has opened, and has not ended by itself.
    fn is_marked(&self, name: &str) -> Result<bool> {
        Ok(self.store.read_text(&self.store.machine_file(name, file::TUNNEL))?.is_some())
    }

    /// Serves the tunnel to machine `name` until it is told to end; `ready` is called when it listens and the way is proved.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when it has none or one runs already, [`Kind::Ssh`] when the host does not let us in.
    pub async fn serve_tunnel(&self, name: &str, ready: impl FnOnce(&Access) -> Result<()>) -> Result<()> {
        self.tunnel_port(name)?;
        let Some(_held) = self.store.lock_tunnel(name, Duration::from_secs(2))? else {
            return Err(Error::new(Kind::Conflict, format!("a tunnel to machine \"{name}\" runs already"))
                .hint(format!("`rmachine tunnel --stop {name}` ends it")));
        };
        let listener = self.listen(name).await?;
        let link = Link { core: self, name, session: Mutex::new(None), used: std::sync::Mutex::new(Instant::now()) };
        link.session().await?;
        let mark = random_id();
        let mark_path = self.store.machine_file(name, file::TUNNEL);
        atomic::mark(&mark_path, mark.as_bytes())
            .map_err(|e| Error::new(Kind::Store, format!("cannot write {}", mark_path.display())).source(e))?;
        ready(&self.access(name)?)?;
        let mut connections = FuturesUnordered::new();
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    // Others cannot get past mutual TLS, but they could take all channels.
                    Ok((stream, peer)) if !stream.local_addr().is_ok_and(|local| peer::is_own(local, peer)) => {
                        tracing::debug!(machine = name, "a connection of another user is not carried");
                    }
                    Ok((stream, _)) => {
                        connections.push(link.carry(stream));
                        if connections.len() == MOST_CONNECTIONS {
                            let text = format!("{MOST_CONNECTIONS} connections are open at once; more wait for one to end");
                            self.talk.about(name).warn(&text);
                        }
                    }
                    // Such as too many open files: the next one may be luckier.
                    Err(error) => {
                        tracing::warn!(machine = name, "a connection was not taken: {error}");
                        tokio::time::sleep(LOOK).await;
                    }
                },
                Some(()) = connections.next() => {}
                _ = looks.tick() => {
                    if self.store.read_text(&mark_path)?.is_none_or(|now| now != mark) {
                        return Ok(());
                    }
                    if connections.is_empty() {
                        link.rest().await;
                    }
                }
            }
        }
    }

    /// Starts the tunnel to machine `name` as a process of its own, where none runs.
    ///
    /// # Errors
    ///
    /// As [`Core::serve_tunnel`], in the words of that process.
    pub async fn ensure_tunnel(&self, name: &str) -> Result<()> {
        self.tunnel_port(name)?;
        if self.tunnel_runs(name)? {
            return Ok(());
        }
        self.talk.about(name).progress("opening the tunnel");
        // Another command may have started one that is about to open.
        let deadline = Instant::now() + START;
        while self.store.is_tunnel_locked(name)? && Instant::now() < deadline {
            if self.is_marked(name)? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let failed = |what: &str, e: std::io::Error| Error::new(Kind::Failure, format!("cannot {what}")).source(e);
        let Some(program) = &self.program else {
            return Err(Error::new(Kind::Failure, format!("no tunnel to machine \"{name}\" runs"))
                .hint(format!("`rmachine tunnel {name}` opens one")));
        };
        let log_path = self.store.machine_file(name, file::TUNNEL_LOG);
        let log = atomic::new_log(&log_path).map_err(|e| failed("open the tunnel's log", e))?;
        let mut command = tokio::process::Command::new(program);
        command.arg("--storage-path").arg(self.store.root()).args(["tunnel", "--foreground", name]);
        // A group of its own: Ctrl-C in this terminal is not meant for it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
        effect::before("start", "tunnel");
        let mut child = command.spawn().map_err(|e| failed("start the tunnel", e))?;
        effect::after("start", "tunnel");
        let Some(stdout) = child.stdout.take() else {
            return Err(Error::new(Kind::Failure, "the tunnel's process has no output"));
        };
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(START, lines.next_line()).await {
            Ok(Ok(Some(_))) => Ok(()),
            // Another process was faster.
            Ok(_) if self.tunnel_runs(name)? => Ok(()),
            Ok(_) => {
                let said = self.store.read_text(&log_path)?.unwrap_or_default();
                let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
                let cause = said.iter().find_map(|line| line.strip_prefix("Error: ")).unwrap_or("it ended at once");
                let error = Error::new(Kind::Ssh, format!("the tunnel to machine \"{name}\" does not open"))
                    .source(cause.to_owned());
                let hints = said.iter().filter_map(|line| line.strip_prefix("Hint: "));
                Err(hints.fold(error, |error, hint| error.hint(hint.to_owned())))
            }
            Err(_) => {
                // It is ours and does not answer.
                if let Err(error) = child.kill().await {
                    tracing::debug!("the tunnel's process was gone: {error}");
                }
                Err(Error::new(Kind::Ssh, format!("the tunnel to machine \"{name}\" does not open in {START:?}"))
                    .hint(format!("`rmachine tunnel --foreground {name}` shows what it does")))
            }
        }
    }

    /// Ends the tunnel to machine `name`, and answers whether one ran. One that is about to open is ended when it has.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; [`Kind::Conflict`] when it does not end.
    pub async fn end_tunnel(&self, name: &str) -> Result<bool> {
        let mark = self.store.machine_file(name, file::TUNNEL);
        let (mut ran, mut deadline) = (false, Instant::now() + START);
        while self.store.is_tunnel_locked(name)? {
            if self.is_marked(name)? {
                (ran, deadline) = (true, Instant::now() + END);
                self.store.remove_file(&mark)?;
            }
            if Instant::now() > deadline {
                return Err(Error::new(Kind::Conflict, format!("the tunnel to machine \"{name}\" does not end")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.store.remove_file(&mark)?;
        Ok(ran)
    }

    /// Asks the engine of `record` for its version through an SSH session of its own.
    pub(super) async fn check_through(
        &self,
        record: &Record,
        tls: &TlsFiles<'_>,
        timeout: Duration,
    ) -> Result<EngineVersion> {
        let session = self.connect(record, &self.target(record)?, timeout).await?;
        let checked = Self::check_over(&session, record, tls, timeout).await;
        session.close().await;
        checked.map_err(|e| {
            Error::from(e)
                .about(&record.name)
                .context(format!("the engine of machine \"{}\" is not reachable", record.name))
        })
    }

    /// Asks the engine of `record` for its version over `session`.
    pub(super) async fn check_over(
        session: &Session,
        record: &Record,
        tls: &TlsFiles<'_>,
        timeout: Duration,
    ) -> Result<EngineVersion, engine::Error> {
        let endpoint = Endpoint { host: LOOPBACK.to_owned(), port: record.engine_port };
        let stream = session.forward(LOOPBACK, record.engine_port).await.map_err(|e| {
            engine::Error::Unreachable(endpoint.url(), std::io::Error::new(ErrorKind::ConnectionRefused, e))
        })?;
        engine::check_over(stream, &endpoint, tls, timeout).await
    }

    /// A port of the loopback that nothing listens on and no other machine of the store has.
    pub(super) fn free_port(&self) -> Result<u16> {
        let none = |e: std::io::Error| Error::new(Kind::Failure, format!("{LOOPBACK} has no free port")).source(e);
        let taken: Vec<u16> =
            self.store.names()?.iter().filter_map(|name| self.store.load(name).ok()?.tunnel_port).collect();
        // Each is held until one fits, so that none comes twice.
        let mut tried = Vec::new();
        loop {
            let listener = std::net::TcpListener::bind((LOOPBACK, 0)).map_err(none)?;
            let port = listener.local_addr().map_err(none)?.port();
            if !taken.contains(&port) {
                return Ok(port);
            }
            tried.push(listener);
        }
    }

    fn tunnel_port(&self, name: &str) -> Result<u16> {
        let record = self.store.load(name)?;
        self.require_ready(&record)?;
        if !wants_engine(&record) {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" was made without an engine")));
        }
        record.tunnel_port.ok_or_else(|| {
            Error::new(Kind::Conflict, format!("machine \"{name}\" was not made with --ssh-tunnel"))
                .hint(format!("its engine is dialled itself: `rmachine env {name}`"))
        })
    }

    /// Listens on the machine's port; where another program has taken that meanwhile, on a new one.
    async fn listen(&self, name: &str) -> Result<TcpListener> {
        let port = self.tunnel_port(name)?;
        let failed = |e| Error::new(Kind::Failure, format!("cannot listen on {LOOPBACK}:{port}")).source(e);
        match TcpListener::bind((LOOPBACK, port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.map_err(failed),
        }
        let mut machine = self.open(name, Need::any()).await?;
        let listener = TcpListener::bind((LOOPBACK, self.free_port()?)).await.map_err(failed)?;
        let new = listener.local_addr().map_err(failed)?.port();
        self.talk.about(name).warn(&format!("port {port} is taken by another program; the tunnel is at {new} now"));
        machine.commit(|record| record.tunnel_port = Some(new))?;
        Ok(listener)
    }
}

/// Refuses a driver whose machines nobody can log in to.
pub(super) fn require_ssh(driver: &dyn Driver, flag: &str) -> Result<()> {
    let info = driver.info();
    if info.capabilities.ssh && info.capabilities.engine {
        return Ok(());
    }
    Err(Error::usage(format!("{flag} needs a driver with SSH, and \"{}\" has none", info.name)))
}

/// The SSH connection of a tunnel: opened when it is needed, and again after it broke.
struct Link<'a> {
    core: &'a Core,
    name: &'a str,
    session: Mutex<Option<Arc<Session>>>,
    used: std::sync::Mutex<Instant>,
}

impl Link<'_> {
    fn is_used(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn session(&self) -> Result<Arc<Session>> {
        self.is_used();
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        // Read anew: the machine may have moved.
        let record = self.core.store.load(self.name)?;
        let target = self.core.target(&record)?;
        let session = Arc::new(self.core.connect(&record, &target, CONNECT).await?);
        self.core.settle_by_the_way(&record, &session)?;
        *held = Some(session.clone());
        Ok(session)
    }

    /// Carries one connection to the engine and back until both sides have ended.
    async fn carry(&self, mut local: TcpStream) {
        let carried = async {
            local.set_nodelay(true).map_err(|e| Error::new(Kind::Failure, "the connection broke").source(e))?;
            let port = self.core.store.load(self.name)?.engine_port;
            let session = self.session().await?;
            let mut remote = session.forward(LOOPBACK, port).await?;
            // Whichever side breaks, the other one's program says so.
            if let Err(error) = tokio::io::copy_bidirectional(&mut local, &mut remote).await {
                tracing::debug!(machine = self.name, "a connection broke: {error}");
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = carried.await {
            self.core.talk.about(self.name).warn(&format!("a connection was not carried: {error}"));
        }
        self.is_used();
    }

    /// Closes the connection when nobody has used it for a while.
    async fn rest(&self) {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.elapsed() < IDLE {
            return;
        }
        let session = self.session.lock().await.take();
        if let Some(session) = session.and_then(Arc::into_inner) {
            session.close().await;
        }
    }
}
