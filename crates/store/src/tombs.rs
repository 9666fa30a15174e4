//! `tombstones/`: machines that were forgotten by force while something may be left of them.

use std::{fs, io, path::PathBuf};

use rmachine_model::error::Result;
use rmachine_provider_api::Secrets;

use super::{Record, Store, atomic, bytes::cannot};

/// The directory of a machine that was moved aside.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// Name of the machine.
    pub machine: String,
    /// Where its files are now.
    pub directory: PathBuf,
}

impl Store {
    /// Where machines go that were forgotten by force.
    pub fn tombstones(&self) -> PathBuf {
        self.root().join("tombstones")
    }

    /// Moves the directory of machine `name` to `tombstones/`, where gc finds it.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`].
    pub fn entomb(&self, name: &str) -> Result<()> {
        let directory = self.tombstones();
        atomic::create_directory(&directory).map_err(|e| cannot("make the directory", &directory, e))?;
        let target = directory.join(format!("{name}-{:08x}", rand::random::<u32>()));
        let source = self.machine_directory(name);
        atomic::move_directory(&source, &target).map_err(|e| cannot("move aside", &source, e))
    }

    /// All tombstones.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`] when the directory cannot be read.
    pub fn list_tombstones(&self) -> Result<Vec<Tombstone>> {
        let directory = self.tombstones();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cannot("read", &directory, e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| cannot("read", &directory, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // NAME-XXXXXXXX, as `entomb` made it.
            let Some((machine, _)) = name.rsplit_once('-').filter(|_| !name.starts_with('.')) else { continue };
            found.push(Tombstone { machine: machine.to_owned(), directory: entry.path() });
        }
        found.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok(found)
    }

    /// Reads the record that a tombstone keeps.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`] when it does not read.
    pub fn load_tombstone(&self, tombstone: &Tombstone) -> Result<Record> {
        self.load_from(&tombstone.machine, &tombstone.directory)
    }

    /// The secrets that a tombstone keeps.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`] when the file does not read.
    pub fn tombstone_secrets(&self, tombstone: &Tombstone) -> Result<Secrets> {
        self.secrets_in(&tombstone.machine, &tombstone.directory)
    }

    /// Removes a tombstone. Missing is success.
    ///
    /// # Errors
    ///
    /// [`rmachine_model::error::Kind::Store`].
    pub fn remove_tombstone(&self, tombstone: &Tombstone) -> Result<()> {
        atomic::remove_directory(&tombstone.directory).map_err(|e| cannot("remove", &tombstone.directory, e))
    }
}
