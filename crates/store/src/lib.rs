//! The store: one directory a machine, one for the certificates, in docker-machine's layout.
//!
//! ```text
//! ROOT/rmachine.json                  id of this store
//! ROOT/audit.jsonl                    what was done with keys, certificates and machines
//! ROOT/places.json                    accounts and regions where it ever made machines
//! ROOT/certs/{ca,ca-key,cert,key}.pem the CA and the client's certificate of machines that have none of their own
//! ROOT/machines/NAME/config.json      the record
//! ROOT/machines/NAME/…                keys, certificates, the saved request, secrets (all 0600)
//! ROOT/locks/                         one lock a machine, one for the CA
//! ROOT/tombstones/                    machines forgotten by force while something may be left of them
//! ```

pub mod atomic;
pub mod audit;
mod bytes;
mod debris;
mod document;
mod elsewhere;
mod legacy;
mod legacy_engine;
mod load;
mod lock;
mod name;
mod phase;
mod places;
mod record;
mod strict;
mod tls;
mod tombs;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{Owner, Secrets};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use self::bytes::{cannot, read_optional, read_within, to_json, unreadable};
pub use self::elsewhere::refused;
pub use self::{
    legacy::Foreign,
    legacy_engine::hide_secrets,
    lock::{Lock, LockError},
    name::check_name,
    phase::Phase,
    places::Place,
    record::{HostRecord, LOOPBACK, Power, RECORD_VERSION, Record, SshRecord, Trust},
    tls::TlsPaths,
    tombs::Tombstone,
};

/// Files of a machine, in its directory.
pub mod file {
    /// The record.
    pub const CONFIG: &str = "config.json";
    /// Engine options as typed; they may hold secrets.
    pub const ENGINE: &str = "engine.json";
    /// Cloud credentials that were typed as flags.
    pub const CREDENTIALS: &str = "credentials.json";
    /// First-boot data as sent, for a byte-for-byte repeat.
    pub const USER_DATA: &str = "user-data";
    /// Who else has access to the engine, and until when.
    pub const SHARES: &str = "shares.json";
    /// The pinned host keys for the stock ssh, as `ssh-config` wrote them.
    pub const KNOWN_HOSTS: &str = "known_hosts";
    /// How the stock ssh logs in, for rsync and sshfs.
    pub const SSH_CONFIG: &str = "ssh_config";
    /// The tunnel that runs: id of its process's run, written by it.
    pub const TUNNEL: &str = "tunnel";
    /// What the tunnel that runs in the background says.
    pub const TUNNEL_LOG: &str = "tunnel.log";
    /// The login key, be it made here or a copy of the user's: docker-machine's name for it, whatever its type, as scripts
    /// and inventories have it. Which one a machine has says its record: `id_ed25519` and `id_user` are those of earlier
    /// versions.
    pub const LOGIN_KEY: &str = "id_rsa";
    /// Its public half.
    pub const LOGIN_KEY_PUBLIC: &str = "id_rsa.pub";
    /// A login key that rmachine did not make, since another one has taken its place.
    pub const GIVEN_LOGIN_KEY: &str = "id_user";
    /// The login key that is about to take the place of the present one.
    pub const NEXT_LOGIN_KEY: &str = "id_next";
    /// The login key that has been replaced, until its host refuses it.
    pub const OLD_LOGIN_KEY: &str = "id_old";
    /// Certificate of the CA: of the store's in `certs/`, and in each machine's directory those that its clients go by.
    pub const CA_CERT: &str = "ca.pem";
    /// Key of the CA, in `certs/` only.
    pub const CA_KEY: &str = "ca-key.pem";
    /// Certificate of the CA that is being replaced, in `certs/` only.
    pub const OLD_CA_CERT: &str = "ca-old.pem";
    /// Its key, in `certs/` only.
    pub const OLD_CA_KEY: &str = "ca-old-key.pem";
    /// The CA of one machine, certificate and key in one text, in its directory.
    pub const AUTHORITY: &str = "authority.pem";
    /// What a machine's engine lets in besides while its CA is replaced: the CA before with its key, or, without one,
    /// those whose clients it let in before it had a CA of its own.
    pub const OLD_AUTHORITY: &str = "authority-old.pem";
    /// Certificate of the client.
    pub const CLIENT_CERT: &str = "cert.pem";
    /// Key of the client.
    pub const CLIENT_KEY: &str = "key.pem";
    /// Certificate of the machine's engine.
    pub const SERVER_CERT: &str = "server.pem";
    /// Key of the machine's engine.
    pub const SERVER_KEY: &str = "server-key.pem";
}

/// A store on disk. Cheap to make: nothing is read or written before it is asked for.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    tls: TlsPaths,
    /// Those that read docker-machine's records.
    drivers: Drivers,
    /// Whether others wrote it: nothing in it leads out of it, and no section of ours is believed.
    of_others: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    version: u32,
    owner: Owner,
}

impl Store {
    /// The store at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), tls: TlsPaths::default(), drivers: Drivers::of(Vec::new()), of_others: false }
    }

    /// The same store, whose records of docker-machine are read by these drivers.
    #[must_use]
    pub fn with_drivers(self, drivers: &Drivers) -> Self {
        Self { drivers: drivers.clone(), ..self }
    }

    /// The same store as one that others wrote, which is read and never written.
    #[must_use]
    pub fn of_others(self) -> Self {
        Self { of_others: true, ..self }
    }

    /// The directory that holds it all.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the CA and the client's certificate.
    pub fn certs_directory(&self) -> PathBuf {
        self.root.join("certs")
    }

    /// The directory of machine `name`; clients use it as `DOCKER_CERT_PATH`.
    pub fn machine_directory(&self, name: &str) -> PathBuf {
        self.root.join("machines").join(name)
    }

    /// The path of `file` of machine `name`.
    pub fn machine_file(&self, name: &str, file: &str) -> PathBuf {
        self.machine_directory(name).join(file)
    }

    /// Makes the directories and the store's id where they are missing, and answers the id.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when that fails.
    pub fn prepare(&self) -> Result<Owner> {
        for directory in [self.root.join("machines"), self.certs_directory(), self.root.join("locks")] {
            atomic::create_directory(&directory).map_err(|e| {
                cannot("make the directory", &directory, e).hint("choose another place with --storage-path DIR")
            })?;
        }
        if let Some(owner) = self.owner()? {
            return Ok(owner);
        }
        let _lock = self.lock("store", || {})?;
        if let Some(owner) = self.owner()? {
            return Ok(owner);
        }
        let identity = Identity { version: 1, owner: Owner::from_bits(rand::random()) };
        self.write(&self.root.join("rmachine.json"), &to_json(&identity)?)?;
        Ok(identity.owner)
    }

    /// The store's id; `None` when it has none yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the file is there and does not read.
    pub fn owner(&self) -> Result<Option<Owner>> {
        let path = self.root.join("rmachine.json");
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        let identity: Identity = serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, e))?;
        Ok(Some(identity.owner))
    }

    /// The names of all machines, sorted. A store that does not exist has none.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let directory = self.root.join("machines");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cannot("read", &directory, e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| cannot("read", &directory, e))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with('.') && entry.file_type().is_ok_and(|t| t.is_dir()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether a machine of this name is there, readable or not.
    pub fn exists(&self, name: &str) -> bool {
        name::is_name(name) && self.machine_directory(name).is_dir()
    }

    /// Saves `record`; `driver_fields` are what docker-machine's driver keeps besides.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; the old record is there then.
    pub fn save(&self, record: &Record, driver_fields: Map<String, Value>) -> Result<()> {
        let owned = self.take_over(record)?;
        let bytes = document::bytes(owned.as_ref().unwrap_or(record), &self.root, driver_fields)?;
        self.write(&self.machine_file(&record.name, file::CONFIG), &bytes)
    }

    /// The text of `config.json` for `record`, as [`Store::save`] writes it.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn encode(&self, record: &Record, driver_fields: Map<String, Value>) -> Result<Vec<u8>> {
        document::bytes(record, &self.root, driver_fields)
    }

    /// Gives the directory of machine `old` the name `new`; the caller holds both locks and saves the record.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; it has the old name then.
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        let (from, to) = (self.machine_directory(old), self.machine_directory(new));
        atomic::move_directory(&from, &to).map_err(|e| cannot("rename", &from, e))
    }

    /// Takes the name of `record`: its directory appears with record, engine options and secrets in it, or not at
    /// all; the caller holds the machine's lock.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; nothing is left then.
    pub fn reserve(&self, record: &Record, driver_fields: Map<String, Value>, secrets: &Secrets) -> Result<()> {
        self.reserve_with(record, driver_fields, secrets, &[])
    }

    /// [`Store::reserve`] with other files of the machine, by their names.
    ///
    /// # Errors
    ///
    /// As [`Store::reserve`].
    pub fn reserve_with(
        &self,
        record: &Record,
        driver_fields: Map<String, Value>,
        secrets: &Secrets,
        files: &[(String, Zeroizing<Vec<u8>>)],
    ) -> Result<()> {
        let (name, target) = (&record.name, self.machine_directory(&record.name));
        let directory = debris::unfinished(&self.root, name);
        let fill = || {
            atomic::create_directory(&directory).map_err(|e| cannot("make the directory", &directory, e))?;
            self.write(&directory.join(file::CONFIG), &document::bytes(record, &self.root, driver_fields)?)?;
            self.write(&directory.join(file::ENGINE), &to_json(&record.engine)?)?;
            if !secrets.0.is_empty() {
                self.write(&directory.join(file::CREDENTIALS), &to_json(secrets)?)?;
            }
            for (name, content) in files {
                self.write(&directory.join(name), content)?;
            }
            atomic::move_directory(&directory, &target).map_err(|e| cannot("make the directory", &target, e))
        };
        fill().inspect_err(|_| debris::sweep_machine(&self.root, name))
    }

    /// A private directory for files that are not the store's yet; it goes when it is dropped.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(atomic::TEMPORARY)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(atomic::PRIVATE_DIRECTORY))
            .tempdir_in(&self.root)
            .map_err(|e| cannot("make a directory in", &self.root, e))
    }

    /// Writes a private file (0600) under the store.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`]; the old content is there then.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        atomic::write(path, bytes, atomic::PRIVATE).map_err(|e| cannot("write", path, e))
    }

    /// Removes a file under the store. Missing is success.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        match atomic::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path, e)),
            _ => Ok(()),
        }
    }

    /// Reads a file under the store; `None` when it is missing.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn read_bytes(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        if self.of_others { read_within(&self.root, path) } else { read_optional(path) }
    }

    /// Reads a text file under the store; `None` when it is missing.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn read_text(&self, path: &Path) -> Result<Option<String>> {
        let Some(bytes) = self.read_bytes(path)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|e| unreadable(path, e))
    }

    /// As [`Store::read_text`], for what has a key in it.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn read_secret(&self, path: &Path) -> Result<Option<Zeroizing<String>>> {
        Ok(self.read_text(path)?.map(Zeroizing::new))
    }

    /// Removes machine `name` from the store. Missing is success.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let directory = self.machine_directory(name);
        atomic::remove_directory(&directory).map_err(|e| cannot("remove", &directory, e))
    }

    fn no_such_machine(&self, name: &str) -> Error {
        let mut error = Error::new(Kind::NoSuchMachine, format!("machine \"{name}\" does not exist")).known_as(format!(
            "Docker machine \"{name}\" does not exist. Use \"docker-machine ls\" to list machines. Use \"docker-machine create\" to add a new one."
        ));
        if name == "default" {
            error = error.hint("without a name, commands mean the machine called \"default\"");
        }
        let names = self.names().unwrap_or_default();
        let near = rmachine_text::near::nearest(name, names.iter().map(String::as_str));
        match near.first() {
            Some(near) => error.hint(format!("did you mean \"{near}\"? `rmachine ls` shows all machines")),
            None => error.hint("`rmachine ls` shows all machines, `rmachine create` makes one"),
        }
    }
}

/// A random 128-bit id in hexadecimal.
pub fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod properties;
