//! An SSH server with the right host key that lies, or answers as an honest host does.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rmachine_ssh::KeyPair;
use russh::{
    Channel, ChannelId,
    keys::{PrivateKey, decode_secret_key},
    server::{self, Auth, ChannelOpenHandle, Config, Msg, Session, VerifiedPublicKey},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use crate::{engine, host::SharedDisk, liar_sftp, world::runtime};

/// What the host does, after all was honest until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Nothing,
    /// It takes the connection and says nothing.
    NoHandshake,
    /// Lines before its version, without end.
    EndlessGreeting,
    /// It never answers a login.
    SilentLogin,
    /// It never opens a channel.
    NoChannel,
    /// The command runs and says nothing; the connection is kept alive.
    Silence,
    /// A byte now and then.
    Drip,
    /// No line end ever comes.
    EndlessLine,
    /// As fast as it can.
    Gigabytes,
    /// An answer that goes on and on.
    Addresses,
    /// The answer to the probe has escapes and lines that look like ours.
    Escapes,
    /// The errors have.
    ForgedErrors,
    /// It opens channels.
    Channels,
    /// How its SFTP server answers.
    Files(liar_sftp::Lie),
}

/// What a terminal would obey, and lines that look like ours.
pub const FORGED: &str = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\u{9b}31m\u{202e}no\r\nError: forged\nHint: `rm -rf ~`\n";

pub struct Liar {
    pub ssh: u16,
    pub engine: u16,
    pub host_key: String,
    state: Arc<State>,
}

struct State {
    lie: Mutex<Lie>,
    disk: SharedDisk,
    host_key: PrivateKey,
    /// How many channels the host opened, and how many of them were accepted.
    opened: AtomicUsize,
    accepted: AtomicUsize,
}

impl Liar {
    pub fn up() -> Self {
        let pair = KeyPair::generate_ed25519("host").unwrap();
        let state = Arc::new(State {
            lie: Mutex::new(Lie::Nothing),
            disk: SharedDisk::default(),
            host_key: decode_secret_key(pair.private_openssh(), None).unwrap(),
            opened: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        runtime().block_on(async {
            let ssh = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
            let liar =
                Self { ssh: port(&ssh), engine: port(&tls), host_key: pair.public_openssh(), state: state.clone() };
            let disk = state.disk.clone();
            tokio::spawn(accept(ssh, move |stream| serve(stream, state.clone())));
            tokio::spawn(accept(tls, move |stream| engine::serve(stream, disk.clone())));
            liar
        })
    }

    pub fn tells(&self, lie: Lie) {
        *self.state.lie.lock().unwrap() = lie;
    }

    /// Channels that it opened, and those that were accepted.
    pub fn channels(&self) -> (usize, usize) {
        (self.state.opened.load(Ordering::SeqCst), self.state.accepted.load(Ordering::SeqCst))
    }
}

/// Serves each connection that comes.
pub async fn accept<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    loop {
        let (stream, _): (TcpStream, SocketAddr) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let lie = *state.lie.lock().unwrap();
    match lie {
        Lie::NoHandshake => return std::future::pending().await,
        Lie::EndlessGreeting => while stream.write_all(&b"Welcome!\r\n".repeat(1000)).await.is_ok() {},
        _ => {}
    }
    let config =
        Config { auth_rejection_time: Duration::ZERO, keys: vec![state.host_key.clone()], ..Config::default() };
    let login = Login { lie, state, commands: HashMap::new(), channels: HashMap::new(), unanswered: Vec::new() };
    if let Ok(session) = server::run_stream(Arc::new(config), stream, login).await {
        let _ = session.await;
    }
}

/// One connection: its commands, with what has come to their standard inputs.
struct Login {
    lie: Lie,
    state: Arc<State>,
    commands: HashMap<ChannelId, (String, Vec<u8>)>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    unanswered: Vec<ChannelOpenHandle>,
}

impl Login {
    /// Says `part` on a command's output for as long as it is taken, with `pause` in between.
    fn pour(&mut self, id: ChannelId, part: Vec<u8>, pause: Duration) {
        let Some(channel) = self.channels.remove(&id) else { return };
        tokio::spawn(async move {
            while channel.data(&part[..]).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
    }
}

impl server::Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        if self.lie == Lie::SilentLogin {
            std::future::pending::<()>().await;
        }
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        if self.lie == Lie::Channels {
            let (handle, state) = (session.handle(), self.state.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    let tried = [
                        handle.channel_open_session().await,
                        handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await,
                        handle.channel_open_forwarded_streamlocal("/run/docker.sock").await,
                        handle.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await,
                        handle.channel_open_direct_streamlocal("/run/docker.sock").await,
                        handle.channel_open_x11("127.0.0.1", 6000).await,
                        handle.channel_open_agent().await,
                    ];
                    for channel in tried {
                        // One that the connection's end has kept from an answer says nothing.
                        match channel {
                            Ok(_) => state.accepted.fetch_add(1, Ordering::SeqCst),
                            Err(russh::Error::ChannelOpenFailure(_)) => 0,
                            Err(_) => return,
                        };
                        state.opened.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.lie == Lie::NoChannel {
            self.unanswered.push(reply);
            return Ok(());
        }
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(&mut self, id: ChannelId, _: &str, session: &mut Session) -> Result<(), Self::Error> {
        let (Lie::Files(lie), Some(channel)) = (self.lie, self.channels.remove(&id)) else {
            return session.channel_failure(id);
        };
        tokio::spawn(liar_sftp::serve(channel.into_stream(), lie));
        session.channel_success(id)
    }

    async fn exec_request(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        match self.lie {
            Lie::Silence => {}
            Lie::Drip => self.pour(id, b"x".to_vec(), Duration::from_millis(50)),
            Lie::EndlessLine => self.pour(id, vec![b'x'; 1000], Duration::ZERO),
            Lie::Gigabytes => self.pour(id, b"step=x\nwarning=y\n".repeat(2000), Duration::ZERO),
            Lie::Addresses => self.pour(id, b"address=192.0.2.1\naddress=2001:db8::1\n".repeat(500), Duration::ZERO),
            _ => {
                self.commands.insert(id, (String::from_utf8(data.to_vec()).unwrap(), Vec::new()));
            }
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        if let Some((_, input)) = self.commands.get_mut(&id) {
            input.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let Some((command, script)) = self.commands.remove(&id) else { return Ok(()) };
        let script = String::from_utf8(script).unwrap();
        let (answer, errors, code) = match self.lie {
            Lie::Escapes => (format!("kernel=Linux\nsudo=refused: {}end=yes\n", one_line(FORGED)), String::new(), 0),
            Lie::ForgedErrors => (String::new(), FORGED.repeat(3), 1),
            // The install; the engine is there.
            _ if script.contains("\nINSTALL_URL=") => ("done=existing\n".to_owned(), String::new(), 0),
            _ => (self.state.disk.lock().unwrap().answer(&command, &script), String::new(), 0),
        };
        session.data(id, answer.into_bytes())?;
        session.extended_data(id, 1, errors.into_bytes())?;
        session.exit_status_request(id, code)?;
        session.eof(id)?;
        session.close(id)
    }
}

/// A value cannot hold a line feed; a terminal takes others as well.
fn one_line(text: &str) -> String {
    text.replace('\n', "\u{85}") + "\n"
}
