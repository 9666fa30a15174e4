//! A private sshd on a free loopback port, with keys of its own; ended when dropped.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
/// What a hanging test waits for at most; nothing is measured by it.
pub const GUARD: Duration = Duration::from_secs(60);

pub struct Sshd {
    directory: TempDir,
    pub port: u16,
    child: Option<Child>,
    first_type: String,
}

/// Makes a key pair with OpenSSH's own tool, and answers the private key's path.
pub fn keygen(directory: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = directory.join(name);
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name])
        .args(arguments)
        .arg("-f")
        .arg(&path)
        .output()
        .expect("ssh-keygen is missing: apt-get install openssh-client");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

/// The public half beside a private key, `TYPE BASE64`.
pub fn public(private: &Path) -> String {
    let text = std::fs::read_to_string(private.with_extension("pub")).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Who runs the test, and so who can log in.
pub fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Sshd {
    /// Starts one with an ed25519 host key; `login` may log in.
    pub fn start() -> Self {
        Self::start_with(&["ed25519"])
    }

    /// Starts one with host keys of these types.
    pub fn start_with(types: &[&str]) -> Self {
        let mut sshd = Self::prepare(types);
        sshd.run();
        sshd
    }

    /// Makes keys of these types and a configuration; does not start it.
    pub fn prepare(types: &[&str]) -> Self {
        let first_type = types[0].to_owned();
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let home = directory.path();
        let mut config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\nLogLevel DEBUG1\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             PrintMotd no\nPrintLastLog no\nMaxStartups 100\nAuthorizedKeysFile {}\n",
            home.join("authorized_keys").display()
        );
        config.push_str(&format!("Subsystem sftp internal-sftp -d {}\n", home.join("files").display()));
        std::fs::create_dir(home.join("files")).unwrap();
        for kind in types {
            let key = keygen(home, &format!("host_{kind}"), &["-t", kind]);
            config.push_str(&format!("HostKey {}\n", key.display()));
        }
        std::fs::write(home.join("sshd_config"), config).unwrap();
        let login = keygen(home, "login", &["-t", "ed25519"]);
        std::fs::write(home.join("authorized_keys"), format!("{}\n", public(&login))).unwrap();
        Self { directory, port, child: None, first_type }
    }

    /// One whose SFTP server is this shell script; empty: none.
    pub fn with_sftp(script: &str) -> Self {
        let mut sshd = Self::prepare(&["ed25519"]);
        let path = sshd.path("sftp.sh");
        std::fs::write(&path, script).unwrap();
        let config = std::fs::read_to_string(sshd.path("sshd_config")).unwrap();
        let others: String = config.split_inclusive('\n').filter(|line| !line.starts_with("Subsystem")).collect();
        let line =
            if script.is_empty() { String::new() } else { format!("Subsystem sftp /bin/sh {}\n", path.display()) };
        std::fs::write(sshd.path("sshd_config"), others + &line).unwrap();
        sshd.run();
        sshd
    }

    /// Starts it and returns when it listens.
    pub fn run(&mut self) {
        if user() == "root" {
            // OpenSSH's privilege separation wants it (sshd(8), FILES).
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let child = Command::new(SSHD)
            .args(["-D", "-f"])
            .arg(self.path("sshd_config"))
            .arg("-E")
            .arg(self.path("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + GUARD;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The public host key of the first type.
    pub fn first_host_key(&self) -> String {
        self.host_key(&self.first_type)
    }

    /// The public host key of this type.
    pub fn host_key(&self, kind: &str) -> String {
        public(&self.path(&format!("host_{kind}")))
    }

    /// Lets the key at `private` log in too.
    pub fn authorize(&self, private: &Path) {
        let path = self.path("authorized_keys");
        let mut keys = std::fs::read_to_string(&path).unwrap();
        keys.push_str(&format!("{}\n", public(private)));
        std::fs::write(path, keys).unwrap();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Sshd {
    /// Ends it with all its connections.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its connections are processes of their own; those that a test has stopped would stay.
            let sessions = Command::new("pkill").args(["-KILL", "-P", &child.id().to_string()]).status();
            drop(sessions);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}
