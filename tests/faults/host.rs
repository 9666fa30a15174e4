//! A host behind the fake cloud: an SSH server that answers the scripts of `templates/` as a Debian host with an
//! engine does, and the engine's TLS port. It has the keys that its instance's first-boot data brought.

use std::{
    collections::HashMap,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmachine_provider_api::{MachineState, ResourceKind};
use rmachine_provider_fake::{Account, Held};
use rmachine_ssh::{KeyPair, authorized_key, same_key};
use russh::{
    Channel, ChannelId,
    keys::{PrivateKey, decode_secret_key},
    server::{self, Auth, ChannelOpenHandle, Config, Msg, Session, VerifiedPublicKey},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinHandle,
};

use crate::engine;

/// Two open ports; they close when it is dropped.
pub struct Host {
    pub disk: SharedDisk,
    ports: Vec<JoinHandle<()>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ports.iter().for_each(JoinHandle::abort);
    }
}

/// The disk of the host.
#[derive(Default)]
pub struct Disk {
    instance: String,
    boots: u32,
    seed: String,
    /// The lines of authorized_keys.
    pub logins: Vec<String>,
    /// In the place of the seed.
    pub own_key: Option<String>,
    new_key: Option<KeyPair>,
    /// CA, certificate and key of the engine.
    pub tls: Option<[String; 3]>,
    /// Whether the engine runs.
    pub engine_runs: bool,
    /// What it says of its addresses.
    pub claims: Vec<String>,
    /// Whether it is a swarm node.
    pub swarm: bool,
}

pub type SharedDisk = Arc<Mutex<Disk>>;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

impl Host {
    /// Opens the ports of the one host that `account` has, and tells the account of them.
    pub fn up(account: Account) -> Self {
        let disk = SharedDisk::default();
        runtime().block_on(async {
            let ssh = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
            account.answer_at(ssh.local_addr().unwrap(), tls.local_addr().unwrap().port());
            let looks = (account.clone(), disk.clone());
            let ports = vec![
                tokio::spawn(accept(ssh, account, disk.clone(), |stream, disk| async move {
                    serve(stream, disk).await;
                })),
                tokio::spawn(accept(tls, looks.0, looks.1, |stream, disk| async move {
                    engine::serve(stream, disk).await;
                })),
            ];
            Self { disk, ports }
        })
    }
}

/// Serves each connection that comes while the instance runs.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    account: Account,
    disk: SharedDisk,
    serve: impl Fn(TcpStream, SharedDisk) -> F,
) {
    loop {
        let (stream, _): (TcpStream, SocketAddr) = listener.accept().await.unwrap();
        let running = |held: &Held| {
            held.resource.kind == ResourceKind::Instance
                && held.state == MachineState::Running
                && held.user_data.is_some()
        };
        if let Some(instance) = account.held().into_iter().find(running) {
            disk.lock().unwrap().follow(&instance);
            tokio::spawn(serve(stream, disk.clone()));
        }
    }
}

impl Disk {
    /// Another instance has another disk; after a boot the engine runs when it is set up.
    fn follow(&mut self, instance: &Held) {
        if self.instance != instance.resource.id {
            let text = first_boot_text(instance.user_data.as_deref().unwrap());
            *self = Self {
                instance: instance.resource.id.clone(),
                seed: json_after(&text, "ed25519_private: "),
                logins: vec![json_after(&text, "ssh_authorized_keys:\n      - ")],
                claims: std::mem::take(&mut self.claims),
                ..Self::default()
            };
        }
        if self.boots != instance.boots {
            self.boots = instance.boots;
            self.engine_runs = self.tls.is_some();
        }
    }

    fn host_key(&self) -> PrivateKey {
        decode_secret_key(self.own_key.as_ref().unwrap_or(&self.seed), None).unwrap()
    }

    /// What the host answers to `command` with `script` on its standard input.
    pub fn answer(&mut self, command: &str, script: &str) -> String {
        let boot_id = format!("{}-{}", self.instance, self.boots);
        let is = |template: &str| script.starts_with(template.split("{{").next().unwrap());
        if command == "cat /proc/sys/kernel/random/boot_id" {
            return boot_id;
        }
        assert!(command.starts_with("sh -s") || command.starts_with("sudo -n sh -s"), "{command}");
        if is(include_str!("../../templates/probe.sh")) {
            let claims: String = self.claims.iter().map(|address| format!("address={address}\n")).collect();
            let swarm = if self.swarm { "swarm=yes\n" } else { "" };
            format!(
                "kernel=Linux\nmachine=x86_64\nos_id=debian\nos_version=13\nos_pretty=Debian\nuid=1000\nsudo=yes\n\
                 hostname=m\nboot_id={boot_id}\nsystemd=yes\ndockerd=/usr/sbin/dockerd\n{claims}{swarm}end=yes\n"
            )
        } else if is(include_str!("../../templates/host-key-generate.sh")) {
            let new = self.new_key.get_or_insert_with(|| KeyPair::generate_ed25519("host").unwrap());
            format!("public={}\n", new.public_openssh())
        } else if is(include_str!("../../templates/host-key-install.sh")) {
            if let Some(new) = self.new_key.take() {
                self.own_key = Some(new.private_openssh().to_owned());
            }
            "end=yes\n".to_owned()
        } else if is(include_str!("../../templates/unit.sh")) {
            let exec = STANDARD.encode("{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; pid=0 }");
            let install = if command.ends_with(" wait") { "install=done existing\n" } else { "" };
            let active = if self.engine_runs { "active" } else { "inactive" };
            format!("{install}load_state=loaded\nexec_start={exec}\nactive={active}\nsocket=yes\nend=yes\n")
        } else if is(include_str!("../../templates/authorize-key.sh")) {
            let key = value(script, "key=");
            if !self.logins.contains(&key) {
                self.logins.push(key);
            }
            "end=yes\n".to_owned()
        } else if is(include_str!("../../templates/authorized-keys.sh")) {
            let lines = self.logins.iter().map(|line| format!("line={}\n", STANDARD.encode(line)));
            lines.collect::<String>() + "end=yes\n"
        } else if is(include_str!("../../templates/authorized-keys-remove.sh")) {
            let remove = value(script, "REMOVE=");
            self.logins.retain(|line| !remove.split_whitespace().any(|other| other == STANDARD.encode(line)));
            let keep = value(script, "KEEP=");
            assert!(self.logins.iter().any(|line| STANDARD.encode(line) == keep), "{:?}", self.logins);
            "end=yes\n".to_owned()
        } else if script.starts_with("#!/bin/sh\nset -eu\nSOURCE=") {
            // install.sh, whose comments are left out.
            "done=existing\nend=yes\n".to_owned()
        } else if is(include_str!("../../templates/apply.sh")) {
            self.apply(script)
        } else {
            panic!("the host has no answer to {command:?} with {script}")
        }
    }

    fn apply(&mut self, script: &str) -> String {
        let assignments = &script[script.find("CA=").unwrap()..script.find("DIR=").unwrap()];
        let values: HashMap<String, String> = shlex::split(assignments)
            .unwrap()
            .iter()
            .map(|word| word.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let tls = ["CA", "CERT", "KEY"].map(|name| values[name].clone());
        let changed = self.tls.as_ref() != Some(&tls);
        let restarted = self.engine_runs && (changed || values["FORCE"] == "yes");
        self.tls = Some(tls);
        self.engine_runs = true;
        let word = |yes| if yes { "yes" } else { "no" };
        let (changed, restarted) = (word(changed), word(restarted));
        format!("changed={changed}\ncertificates={changed}\nrestarted={restarted}\nkept={restarted}\nend=yes\n")
    }
}

/// The value of the shell's assignment `name` in `script`, in whatever quotes.
fn value(script: &str, name: &str) -> String {
    let rest = &script[script.find(name).unwrap() + name.len()..];
    shlex::Shlex::new(rest).next().unwrap()
}

/// All parts of the first-boot data, one after the other.
fn first_boot_text(data: &[u8]) -> String {
    let mut archive = String::new();
    flate2::read::GzDecoder::new(data).read_to_string(&mut archive).unwrap();
    let decoded = archive.split("\n\n").filter_map(|part| {
        let body: String = part.lines().take_while(|line| !line.starts_with("--")).collect();
        String::from_utf8(STANDARD.decode(body).ok()?).ok()
    });
    decoded.collect()
}

/// The JSON string that follows `key`.
fn json_after(text: &str, key: &str) -> String {
    let at = text.find(key).unwrap_or_else(|| panic!("no {key:?} in {text}")) + key.len();
    serde_json::from_str(text[at..].lines().next().unwrap()).unwrap()
}

async fn serve(stream: TcpStream, disk: SharedDisk) {
    stream.set_nodelay(true).unwrap();
    let config = Config {
        auth_rejection_time: Duration::ZERO,
        keys: vec![disk.lock().unwrap().host_key()],
        ..Config::default()
    };
    // A client that is killed ends it early: no error of ours.
    if let Ok(session) = server::run_stream(Arc::new(config), stream, Login { disk, commands: HashMap::new() }).await {
        let _ = session.await;
    }
}

/// One connection: its commands, with what has come to their standard inputs.
struct Login {
    disk: SharedDisk,
    commands: HashMap<ChannelId, (String, Vec<u8>)>,
}

impl server::Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let shown = key.public_key.to_openssh().unwrap();
        let lets_in = |line: &String| authorized_key(line).is_some_and(|key| same_key(&shown, key));
        let known = user == "fake" && self.disk.lock().unwrap().logins.iter().any(lets_in);
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    /// The engine's port, through SSH.
    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        assert_eq!(host, "127.0.0.1");
        reply.accept().await;
        let disk = self.disk.clone();
        tokio::spawn(async move { engine::serve(channel.into_stream(), disk).await });
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.commands.insert(id, (String::from_utf8(data.to_vec()).unwrap(), Vec::new()));
        session.channel_success(id)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        // What goes to the engine is not for us.
        if let Some((_, input)) = self.commands.get_mut(&id) {
            input.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let Some((command, script)) = self.commands.remove(&id) else { return Ok(()) };
        let answer = self.disk.lock().unwrap().answer(&command, &String::from_utf8(script).unwrap());
        session.data(id, answer.into_bytes())?;
        session.exit_status_request(id, 0)?;
        session.eof(id)?;
        session.close(id)
    }
}
