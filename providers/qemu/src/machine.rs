//! What exists of a machine: one directory, whose `machine.json` is written before anything else.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use rmachine_provider_api::{
    Addresses, AttemptToken, Error, Instance, InstanceId, Kind, MachineToken, Owner, Resource, ResourceKind, Result,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{files, image::Base, plan::Resolved};

/// The version of `machine.json` that this program writes.
const VERSION: u32 = 1;
/// Longest path of a socket: `sun_path` has 108 bytes on Linux and 104 elsewhere, with a zero at the end (unix(7)).
const LONGEST_SOCKET: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
const PREFIX: &str = "qemu-";

/// `machine.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub version: u32,
    pub name: String,
    pub owner: Owner,
    pub token: MachineToken,
    pub attempt: AttemptToken,
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// What preflight chose.
    pub resolved: Resolved,
    /// The image below the disk, once it is known to be there.
    pub base: Option<Base>,
    /// Whether the disk is whole and qemu was started once.
    pub complete: bool,
    /// Size of the disk in bytes, once it is made.
    pub disk_size: Option<u64>,
}

/// Where one machine's files are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub directory: PathBuf,
    /// The prefix and the 16 digits that name it.
    id: InstanceId,
}

impl Place {
    pub(crate) fn of_token(root: &Path, token: &MachineToken) -> Self {
        let digest = Sha256::digest(token.as_str().as_bytes());
        let id =
            InstanceId::from_bits(PREFIX, digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)));
        Self { directory: machines(root).join(key_of(&id)), id }
    }

    pub(crate) fn of_id(root: &Path, id: &InstanceId) -> Option<Self> {
        let key = key_of(id);
        let is_key = id.as_str().starts_with(PREFIX) && key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit());
        is_key.then(|| Self { directory: machines(root).join(key), id: id.clone() })
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.id.clone()
    }

    /// The UUID on qemu's command line, by which its process is known: the key, in a UUID's form.
    pub(crate) fn uuid(&self) -> String {
        // A custom one (version 8 of RFC 9562), with our name in it.
        let key = key_of(&self.id);
        format!("{}-{}-{}-8000-726d61636869", &key[..8], &key[8..12], &key[12..])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.file("disk.qcow2")
    }

    pub(crate) fn seed(&self) -> PathBuf {
        self.file("seed.img")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.file("qmp.sock")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.file("qemu.pid")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.file("console.log")
    }

    pub(crate) fn variables(&self) -> PathBuf {
        self.file("efivars.fd")
    }

    /// Refuses a directory whose socket no program could open.
    pub(crate) fn check_socket(root: &Path) -> Result<()> {
        let socket = Self::of_token(root, &MachineToken::from_bits(0)).socket();
        let length = socket.as_os_str().len();
        if length <= LONGEST_SOCKET {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the path of qemu's socket would have {length} bytes, and {LONGEST_SOCKET} are the most: {}",
            socket.display()
        ))
        .hint("give a shorter place with --qemu-directory PATH"))
    }

    /// Reads `machine.json`; `None` when there is no such machine.
    pub(crate) fn load(&self) -> Result<Option<Machine>> {
        let file = self.file("machine.json");
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(files::failed("read", &file, e)),
        };
        let unreadable = |why: String| {
            Error::new(Kind::Other, format!("cannot read {}", file.display()))
                .source(why)
                .hint("remove the machine with `rmachine rm`; its disk is lost then")
        };
        let machine: Machine = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if machine.version > VERSION {
            return Err(unreadable(format!("it is of version {}, and this rmachine knows {VERSION}", machine.version)));
        }
        Ok(Some(machine))
    }

    pub(crate) fn save(&self, machine: &Machine) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(machine)
            .map_err(|e| Error::new(Kind::Other, "the machine cannot be written down").source(e))?;
        files::write(&self.file("machine.json"), &bytes)
    }
}

/// What follows the prefix.
fn key_of(id: &InstanceId) -> &str {
    id.as_str().strip_prefix(PREFIX).unwrap_or_default()
}

fn machines(root: &Path) -> PathBuf {
    root.join("machines")
}

/// All machines of `root`; one whose `machine.json` does not read is left out, with a word in the log.
pub(crate) fn all(root: &Path) -> Result<Vec<(Place, Machine)>> {
    let directory = machines(root);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(files::failed("read", &directory, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| files::failed("read", &directory, e))?;
        let id = format!("{PREFIX}{}", entry.file_name().to_string_lossy()).parse().ok();
        let Some(place) = id.and_then(|id| Place::of_id(root, &id)) else { continue };
        match place.load() {
            Ok(Some(machine)) => found.push((place, machine)),
            // Its create was killed before it wrote anything.
            Ok(None) => {}
            Err(error) => tracing::warn!("{}: {error}", place.directory.display()),
        }
    }
    found.sort_by_key(|(_, machine)| machine.created);
    Ok(found)
}

impl Machine {
    pub(crate) fn new(request: &rmachine_provider_api::CreateRequest, resolved: Resolved) -> Self {
        Self {
            version: VERSION,
            name: request.name.clone(),
            owner: request.owner.clone(),
            token: request.token.clone(),
            attempt: request.attempt.clone(),
            created: OffsetDateTime::now_utc(),
            resolved,
            base: None,
            complete: false,
            disk_size: None,
        }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let address: IpAddr = self.resolved.address;
        Addresses { dial: Some(address.into()), private: vec![address], ..Addresses::default() }
    }

    pub(crate) fn instance(&self, place: &Place) -> Instance {
        Instance {
            id: place.id(),
            addresses: self.addresses(),
            url: None,
            engine_port: Some(self.resolved.engine_port),
            details: serde_json::json!({
                "directory": place.directory,
                "console": place.console(),
                "publish": self.resolved.publish,
            }),
        }
    }

    /// The machine and its disk, as they are found again.
    pub(crate) fn resources(&self, place: &Place) -> [Resource; 2] {
        let of = |kind, id| Resource {
            kind,
            id,
            owner: Some(self.owner.clone()),
            token: Some(self.token.clone()),
            machine: Some(self.name.clone()),
            created: Some(self.created),
            location: Some(place.directory.display().to_string()),
            detail: None,
            monthly_usd: Some(0.0),
        };
        [
            of(ResourceKind::Instance, place.id().to_string()),
            of(ResourceKind::Volume, format!("{}/disk.qcow2", place.id())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_follows_from_the_token_and_from_the_id() {
        let root = Path::new("/r");
        let place = Place::of_token(root, &MachineToken::from_bits(1));
        assert_eq!(Place::of_id(root, &place.id()).unwrap().directory, place.directory);
        assert_eq!(place.uuid().len(), 36);
        for id in ["qemu-x", "i-0123456789abcdef", "qemu-..", "qemu-0123456789abcde."] {
            assert!(Place::of_id(root, &id.parse().unwrap()).is_none(), "{id}");
        }
        for id in ["qemu-../../../../../x", "qemu-0123456789abcde/"] {
            id.parse::<InstanceId>().unwrap_err();
        }
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused() {
        Place::check_socket(Path::new("/home/somebody/.local/share/rmachine/qemu")).unwrap();
        let error = Place::check_socket(&PathBuf::from(format!("/{}", "x".repeat(90)))).unwrap_err();
        assert!(error.to_string().contains("bytes") && error.hint_text().unwrap().contains("--qemu-directory"));
    }
}
