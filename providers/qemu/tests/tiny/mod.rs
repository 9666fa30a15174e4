//! A guest of one sector, and a provider of a directory of its own.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rmachine_provider_api::{
    AttemptToken, CreateRequest, Cx, Driver, MachineToken, Notify, Owner, PreflightRequest, Provider, Secrets, Silent,
    Values,
};
use rmachine_provider_qemu::QemuDriver;
use tempfile::TempDir;

/// The boot sector, assembled from `guest.s`.
#[rustfmt::skip]
const CODE: [u8; 78] = [
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xb8, 0x01, 0x02, 0xe8, 0x31,
    0x00, 0xfe, 0x06, 0x00, 0x7e, 0xb8, 0x01, 0x03, 0xe8, 0x27, 0x00, 0xba, 0xf8, 0x03, 0xa0, 0x00,
    0x7e, 0x04, 0x30, 0xee, 0xb0, 0x0a, 0xee, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xfb, 0xf4,
    0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf5, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef,
    0xeb, 0xec, 0xbb, 0x00, 0x7e, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13, 0xc3,
];
/// Size of its disk.
pub const SIZE: usize = 1 << 20;

/// The whole disk.
pub fn guest() -> Vec<u8> {
    let mut disk = CODE.to_vec();
    disk.resize(510, 0);
    disk.extend([0x55, 0xaa]);
    disk.resize(SIZE, 0);
    disk
}

/// What a provider said.
#[derive(Debug, Default)]
pub struct Heard {
    pub warnings: Mutex<Vec<String>>,
}

impl Notify for Heard {
    fn progress(&self, _: &str) {}
    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
}

/// A directory with the guest's image, and a provider whose machines are kept there.
pub struct Lab {
    pub provider: Arc<dyn Provider>,
    pub config: serde_json::Value,
    pub base: TempDir,
    count: AtomicU32,
}

/// A config with these flags besides those that every test has.
pub fn config(directory: &Path, flags: &[(&str, &str)]) -> rmachine_provider_api::Result<serde_json::Value> {
    let mut values = Values::default();
    let directory = directory.display().to_string();
    let common = [
        ("qemu-directory", directory.as_str()),
        ("qemu-arch", "amd64"),
        ("qemu-memory", "32m"),
        ("qemu-cpus", "1"),
        ("qemu-accel", "tcg"),
        ("qemu-disk-size", "16m"),
    ];
    for (name, value) in common.iter().chain(flags) {
        let flag = QemuDriver.info().flags.iter().find(|f| f.name == *name).unwrap();
        values.set(name, flag.parse(value).unwrap());
    }
    QemuDriver.configure(&values).map(|configured| configured.config)
}

impl Lab {
    /// With the guest as image.
    pub async fn new(flags: &[(&str, &str)]) -> Self {
        let base = tempfile::Builder::new().prefix("rmq-").tempdir_in("/tmp").unwrap();
        let image = base.path().join("guest.img");
        std::fs::write(&image, guest()).unwrap();
        let image = image.display().to_string();
        let mut all = vec![("qemu-image", image.as_str())];
        all.extend(flags);
        let config = config(&base.path().join("d"), &all).unwrap();
        Self::of(base, config).await
    }

    /// With a config of its own.
    pub async fn of(base: TempDir, config: serde_json::Value) -> Self {
        let provider = QemuDriver.connect(&config, &Secrets::default(), Arc::new(Silent)).await.unwrap();
        Self { provider, config, base, count: AtomicU32::new(0) }
    }

    pub fn spec(&self, name: &str) -> PreflightRequest {
        PreflightRequest { name: name.into(), config: self.config.clone(), engine_port: 2376 }
    }

    pub async fn request(&self, name: &str) -> CreateRequest {
        let plan = self.provider.preflight(&self.spec(name), &Cx::silent()).await.unwrap();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        CreateRequest {
            name: name.into(),
            owner: "owner".parse::<Owner>().unwrap(),
            token: self.token(count),
            attempt: AttemptToken::from_bits(count.into()),
            plan,
            user_data: Some(b"#cloud-config\n".to_vec()),
            public_key: None,
            engine_port: 2376,
            engine_through_ssh: false,
            sent_before: false,
        }
    }

    /// Another one for each test and each of its machines.
    fn token(&self, count: u32) -> MachineToken {
        let mut hasher = DefaultHasher::new();
        (self.base.path(), count).hash(&mut hasher);
        MachineToken::from_bits(hasher.finish().into())
    }

    /// The names in a directory of the driver, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.base.path().join("d").join(directory)) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A test that fails leaves no machine that runs.
impl Drop for Lab {
    fn drop(&mut self) {
        for key in self.names("machines") {
            let directory = self.base.path().join("d/machines").join(key);
            let Ok(pid) = std::fs::read_to_string(directory.join("qemu.pid")) else { continue };
            let command = std::process::Command::new("ps").args(["-o", "args=", "-p", pid.trim()]).output();
            let is_ours = command
                .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(directory.to_string_lossy().as_ref()));
            if is_ours {
                let _ = std::process::Command::new("kill").args(["-9", pid.trim()]).status();
            }
        }
    }
}
