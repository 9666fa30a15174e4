//! Stores as docker-machine 0.16 leaves them: its fields, an RSA CA and leaves in PKCS#1, made by openssl.

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// Days that docker-machine's certificates live.
const LIFE: i64 = 1080;

/// A store, and how long ago it was made.
pub struct DockerMachine {
    pub root: PathBuf,
    pub days_ago: i64,
}

#[allow(dead_code, reason = "each of the test targets uses some")]
impl DockerMachine {
    /// A store with a CA and a client's certificate of `days_ago`.
    pub fn new(root: impl Into<PathBuf>, days_ago: i64) -> Self {
        let store = Self { root: root.into(), days_ago };
        let certs = store.certs();
        std::fs::create_dir_all(&certs).unwrap();
        std::fs::create_dir_all(store.root.join("machines")).unwrap();
        store.openssl(&certs, "genrsa -traditional -out ca-key.pem 2048");
        store.openssl(
            &certs,
            &format!("req -x509 -new -key ca-key.pem -subj /O=me -days {LIFE} -out ca.pem -addext keyUsage=critical,keyCertSign,digitalSignature"),
        );
        store.leaf(&certs, ["cert.pem", "key.pem"], "/O=me.<bootstrap>", "extendedKeyUsage=clientAuth\n");
        store
    }

    pub fn certs(&self) -> PathBuf {
        self.root.join("certs")
    }

    pub fn machine(&self, name: &str) -> PathBuf {
        self.root.join("machines").join(name)
    }

    /// A machine with `fields` in its object `Driver` and `engine` in its `EngineOptions`; its files, too.
    pub fn add(&self, name: &str, driver: &str, fields: &Value, engine: &Value) -> PathBuf {
        let directory = self.machine(name);
        std::fs::create_dir_all(&directory).unwrap();
        let address = fields["IPAddress"].as_str().unwrap_or("127.0.0.1");
        let san = match address.parse::<std::net::IpAddr>() {
            Ok(_) => format!("IP:{address}"),
            Err(_) => format!("DNS:{address}"),
        };
        if driver != "none" {
            let extensions = format!("extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:localhost,{san}\n");
            self.leaf(&directory, ["server.pem", "server-key.pem"], &format!("/O=me.{name}"), &extensions);
            for file in ["ca.pem", "cert.pem", "key.pem"] {
                std::fs::copy(self.certs().join(file), directory.join(file)).unwrap();
            }
            self.openssl(&directory, "genrsa -traditional -out id_rsa 2048");
            let public = Command::new("ssh-keygen").arg("-yf").arg(directory.join("id_rsa")).output().unwrap();
            std::fs::write(directory.join("id_rsa.pub"), public.stdout).unwrap();
        }
        let document = self.document(name, driver, fields, engine);
        self.write(name, &document);
        directory
    }

    /// Puts `document` in the place of the machine's record.
    pub fn write(&self, name: &str, document: &Value) {
        let path = self.machine(name).join("config.json");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(&serde_json::to_vec_pretty(document).unwrap()).unwrap();
    }

    /// Reads the machine's record as it stands.
    pub fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.machine(name).join("config.json")).unwrap()).unwrap()
    }

    pub fn document(&self, name: &str, driver: &str, fields: &Value, engine: &Value) -> Value {
        let (root, certs, machine) = (self.root.display(), self.certs(), self.machine(name));
        let key = if driver == "none" { String::new() } else { machine.join("id_rsa").display().to_string() };
        let mut of_driver = json!({
            "IPAddress": "", "MachineName": name, "SSHUser": "root", "SSHPort": 22, "SSHKeyPath": key,
            "StorePath": root.to_string(), "SwarmMaster": false, "SwarmHost": "tcp://0.0.0.0:3376", "SwarmDiscovery": "",
        });
        merge(&mut of_driver, fields);
        let mut options = json!({
            "ArbitraryFlags": [], "Dns": null, "GraphDir": "", "Env": [], "Ipv6": false, "InsecureRegistry": [],
            "Labels": [], "LogLevel": "", "StorageDriver": "", "SelinuxEnabled": false, "TlsVerify": true,
            "RegistryMirror": [], "InstallURL": "https://get.docker.com",
        });
        merge(&mut options, engine);
        json!({
            "ConfigVersion": 3,
            "Driver": of_driver,
            "DriverName": driver,
            "HostOptions": {
                "Driver": "", "Memory": 0, "Disk": 0,
                "EngineOptions": options,
                "SwarmOptions": {
                    "IsSwarm": false, "Address": "", "Discovery": "", "Agent": false, "Master": false,
                    "Host": "tcp://0.0.0.0:3376", "Image": "swarm:latest", "Strategy": "spread", "Heartbeat": 0,
                    "Overcommit": 0, "ArbitraryFlags": [], "ArbitraryJoinFlags": [], "Env": null, "IsExperimental": false,
                },
                "AuthOptions": {
                    "CertDir": certs, "CaCertPath": certs.join("ca.pem"), "CaPrivateKeyPath": certs.join("ca-key.pem"),
                    "CaCertRemotePath": "", "ServerCertPath": machine.join("server.pem"),
                    "ServerKeyPath": machine.join("server-key.pem"), "ClientKeyPath": certs.join("key.pem"),
                    "ServerCertRemotePath": "", "ServerKeyRemotePath": "", "ClientCertPath": certs.join("cert.pem"),
                    "ServerCertSANs": [], "StorePath": machine,
                },
            },
            "Name": name,
        })
    }

    /// Every file with its content, mode and time of change: what must not differ after an import.
    pub fn seen(&self) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
        let mut seen = BTreeMap::new();
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let (path, found) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
                let content = if found.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
                seen.insert(path.clone(), (found.mode(), found.mtime(), found.mtime_nsec(), content));
                if found.is_dir() {
                    directories.push(path);
                }
            }
        }
        seen
    }

    /// A certificate by the store's CA, and its key in PKCS#1.
    fn leaf(&self, directory: &Path, [cert, key]: [&str; 2], subject: &str, extensions: &str) {
        self.openssl(directory, &format!("genrsa -traditional -out {key} 2048"));
        std::fs::set_permissions(directory.join(key), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.openssl(directory, &format!("req -new -key {key} -subj {subject} -out leaf.csr"));
        let text = format!("keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:false\n{extensions}");
        std::fs::write(directory.join("leaf.ext"), text).unwrap();
        let ca = self.certs();
        let ca = ca.display();
        self.openssl(
            directory,
            &format!("x509 -req -in leaf.csr -CA {ca}/ca.pem -CAkey {ca}/ca-key.pem -set_serial 0x{:x} -days {LIFE} -extfile leaf.ext -out {cert}", rand_serial()),
        );
        for file in ["leaf.csr", "leaf.ext"] {
            std::fs::remove_file(directory.join(file)).unwrap();
        }
    }

    fn openssl(&self, directory: &Path, line: &str) {
        let mut command = Command::new("faketime");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").args(["-f", &format!("-{}d", self.days_ago), "openssl"]);
        command.args(line.split(' ')).current_dir(directory);
        // It names a semaphore by its process id; one that was killed has left its own, and the id comes again.
        for _ in 0..20 {
            let run = command.output().expect("the test command installs faketime");
            let said = String::from_utf8_lossy(&run.stderr);
            if run.status.success() {
                return;
            }
            assert!(said.contains("sem_open"), "{line}: {said}");
        }
        panic!("{line}: faketime finds no free name in /dev/shm");
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn rand_serial() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::from(now.subsec_nanos()) << 24 | u64::from(std::process::id()) | 1
}
