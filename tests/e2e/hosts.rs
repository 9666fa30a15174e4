//! Plain SSH hosts of the lab, keys for them, and files that they can fetch.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Done, Store, eventually, exec_on, lab, lab_variable, run};

/// A repository of Docker's that nobody answers at, so that a test does not depend on the network.
pub const NO_REPOSITORY: (&str, &str) = ("RMACHINE_DOCKER_REPOSITORY", "http://127.0.0.1:9");

/// A host that runs already; it goes when it is dropped.
pub struct Host {
    pub id: String,
    pub address: String,
    pub keys: Vec<String>,
}

impl Host {
    /// Boots `image` with the login `user` (`sudo`: whether it may become root) and one authorized key.
    pub fn boot(image: &str, user: &str, key: &Key, sudo: bool) -> Self {
        let body = json!({ "image": image, "user": user, "authorized_keys": [key.public], "sudo": sudo });
        let host = lab("POST", "hosts", Some(&body));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let keys = host["host_keys"].as_array().unwrap().iter().map(text).collect();
        let host = Self { id: text(&host["id"]), address: text(&host["address"]), keys };
        eventually("sshd answers", Duration::from_secs(60), || {
            TcpStream::connect((host.address.as_str(), 22)).is_ok_and(|stream| {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                (&stream).read_exact(&mut [0; 4]).is_ok()
            })
        });
        // pam_nologin(8) keeps all but root away until the system is up.
        eventually("logins are allowed", Duration::from_secs(60), || {
            host.try_exec("test ! -e /run/nologin")["code"] == 0
        });
        host
    }

    /// The line of its ed25519 key.
    pub fn key_line(&self) -> &str {
        self.keys.iter().find(|line| line.starts_with("ssh-ed25519 ")).unwrap()
    }

    /// The fingerprint of its ed25519 key, in ssh-keygen's words.
    pub fn fingerprint(&self) -> String {
        let line = format!("ssh-keygen -lf - <<<'{}'", self.key_line());
        let shown = run(Command::new("bash").args(["-c", &line])).ok();
        shown.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// What a shell command prints as root on the host, seen from behind.
    #[track_caller]
    pub fn exec(&self, command: &str) -> String {
        let done = self.try_exec(command);
        assert_eq!(done["code"], 0, "{command}: {done}");
        done["stdout"].as_str().unwrap().trim().to_owned()
    }

    pub fn try_exec(&self, command: &str) -> Value {
        exec_on(&self.id, command, "")
    }

    /// When and as which process the engine was started.
    pub fn engine_start(&self) -> String {
        self.exec("systemctl show -p ActiveEnterTimestampMonotonic,MainPID docker.service")
    }

    /// `rmachine create` of this host, known by its key's line.
    #[track_caller]
    pub fn create(&self, store: &Store, user: &str, key: &Key, arguments: &[&str], name: &str) -> Done {
        let mut all = vec!["--generic-ssh-host-key", self.key_line(), "--generic-ssh-user", user];
        all.extend(["--generic-ssh-key", key.path.to_str().unwrap()]);
        all.extend(arguments);
        self.create_bare(store, &all, name)
    }

    /// `rmachine create` of this host with its address only.
    #[track_caller]
    pub fn create_bare(&self, store: &Store, arguments: &[&str], name: &str) -> Done {
        let mut command = store.command("rmachine");
        command.args(["create", "-d", "generic", "--generic-ip-address", &self.address]).args(arguments).arg(name);
        run(command.env(NO_REPOSITORY.0, NO_REPOSITORY.1))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let url = format!("{}/hosts/{}", lab_variable("RMACHINE_LAB"), self.id);
        let _ = Command::new("curl").args(["-sS", "-o", "/dev/null", "-X", "DELETE", &url]).status();
    }
}

/// A key pair in files.
pub struct Key {
    pub path: PathBuf,
    pub public: String,
}

impl Key {
    /// Makes one with ssh-keygen: `-t ed25519`, `-t ecdsa`, `-t rsa -m PEM`.
    pub fn make(store: &Store, name: &str, form: &str) -> Self {
        let path = store.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut command = Command::new("ssh-keygen");
        run(command.args(["-q", "-N", "", "-C", name]).args(form.split(' ')).arg("-f").arg(&path)).ok();
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        Self { path, public: public.trim().to_owned() }
    }
}

/// Serves `files` at a URL that hosts can reach, for as long as the tests run.
pub fn serve(files: &[(&str, Vec<u8>)]) -> String {
    let listener = TcpListener::bind((lab_variable("RMACHINE_LAB_GATEWAY"), 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let files: HashMap<String, Vec<u8>> = files.iter().map(|(path, body)| (format!("/{path}"), body.clone())).collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned));
            lines.find(String::is_empty);
            let found = path.and_then(|path| files.get(&path));
            let (status, body) = found.map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    url
}
