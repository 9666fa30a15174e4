//! Reading records: ours, and docker-machine's.

use std::{io, path::Path};

use rmachine_provider_api::{Owner, Secrets};
use serde_json::{Map, Value};

use super::{
    Record, Store,
    bytes::{cannot, read_optional, to_json, unreadable},
    check_name,
    document::{self, Document},
    file, legacy, legacy_engine,
    name::is_name,
};
use crate::error::{Error, Kind, Result};

impl Store {
    /// Reads the record of machine `name`; one of docker-machine's is converted, and its files stay as they are until
    /// a command saves it.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`] with the near names, [`Kind::Store`] when it does not read or is newer than this program.
    pub fn load(&self, name: &str) -> Result<Record> {
        self.require_name(name)?;
        self.load_from(name, &self.machine_directory(name))
    }

    /// Reads the record of machine `name` in `directory`.
    pub(super) fn load_from(&self, name: &str, directory: &Path) -> Result<Record> {
        let path = directory.join(file::CONFIG);
        let Some(bytes) = read_optional(&path)? else {
            return Err(self.without_record(name));
        };
        let mut record = match document::read(&bytes, name, &path)? {
            Document::Ours(record) => *record,
            Document::Foreign(document) => {
                let owner = self.owner()?.unwrap_or_else(unnamed);
                return legacy::convert(document, legacy::Origin { name, directory, drivers: &self.drivers, owner });
            }
        };
        let path = directory.join(file::ENGINE);
        if let Some(bytes) = read_optional(&path)? {
            record.engine = document::read_engine(&bytes, name, &path)?;
        }
        Ok(record)
    }

    /// Refuses what cannot be the name of a machine that is there.
    fn require_name(&self, name: &str) -> Result<()> {
        if is_name(name) { Ok(()) } else { Err(self.no_such_machine(name)) }
    }

    /// Whether machine `new` has its directory from a rename of `old` that was killed before its record said so.
    pub fn is_half_renamed(&self, old: &str, new: &str) -> bool {
        let document = read_optional(&self.machine_file(new, file::CONFIG)).ok().flatten();
        let document = document.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
        let section = &document[document::SECTION];
        check_name(new).is_ok() && section["Name"] == old && section["Renamed"] == new
    }

    /// Refuses a new machine name whose place is taken, be it by something that is no machine.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`]; [`Kind::Store`] when that cannot be seen.
    pub fn require_free(&self, name: &str) -> Result<()> {
        let place = self.machine_directory(name);
        if self.exists(name) {
            return Err(
                Error::new(Kind::Conflict, format!("machine \"{name}\" already exists")).hint("choose another name")
            );
        }
        // A link that leads nowhere takes it, too.
        match place.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(cannot("look at", &place, e)),
            Ok(_) => Err(Error::new(Kind::Conflict, format!("{} is there, and is no machine", place.display()))
                .hint("move it away, or choose another name")),
        }
    }

    /// The error for a machine that has no record.
    fn without_record(&self, name: &str) -> Error {
        if self.exists(name) {
            return Error::new(Kind::Store, format!("the record of machine \"{name}\" is missing"))
                .hint(document::without_record(name));
        }
        self.no_such_machine(name)
    }

    /// The record and the secrets of machine `name` from the contents of its files, which are read as those in the store are.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when one of them does not read, or the record is docker-machine's own.
    pub fn decode(&self, name: &str, content: impl Fn(&str) -> Option<Vec<u8>>) -> Result<(Record, Secrets)> {
        let path = |file| self.machine_file(name, file);
        let Some(config) = content(file::CONFIG) else { return Err(self.without_record(name)) };
        let Document::Ours(mut record) = document::read(&config, name, &path(file::CONFIG))? else {
            return Err(Error::new(Kind::Store, format!("the record of machine \"{name}\" is docker-machine's own")));
        };
        if let Some(engine) = content(file::ENGINE) {
            record.engine = document::read_engine(&engine, name, &path(file::ENGINE))?;
        }
        let secrets = match content(file::CREDENTIALS) {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| unreadable(&path(file::CREDENTIALS), e))?,
            None => Secrets::default(),
        };
        Ok((*record, secrets))
    }

    /// Reads `config.json` of machine `name` as it would be saved; what docker-machine keeps in it that may be secret
    /// is hidden.
    ///
    /// # Errors
    ///
    /// As [`Store::load`].
    pub fn load_document(&self, name: &str) -> Result<Value> {
        self.require_name(name)?;
        let path = self.machine_file(name, file::CONFIG);
        let Some(bytes) = read_optional(&path)? else { return Err(self.without_record(name)) };
        let mut document: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, e))?;
        if !document.contains_key(document::SECTION) {
            let record = self.load(name)?;
            let rendered = document::render(&record, self.root(), Map::new()).map_err(|e| unreadable(&path, e))?;
            let Value::Object(rendered) = rendered else { return Ok(rendered) };
            document = rendered;
        }
        if document[document::SECTION]["Imported"] == true {
            legacy_engine::hide_secrets(&mut document);
        }
        Ok(Value::Object(document))
    }

    /// Saves the secrets of machine `name`; none removes nothing and writes nothing.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`].
    pub fn save_secrets(&self, name: &str, secrets: &Secrets) -> Result<()> {
        if secrets.0.is_empty() {
            return Ok(());
        }
        self.write(&self.machine_file(name, file::CREDENTIALS), &to_json(secrets)?)
    }

    /// The secrets of machine `name`; empty when there are none.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the file does not read.
    pub fn load_secrets(&self, name: &str) -> Result<Secrets> {
        self.secrets_in(name, &self.machine_directory(name))
    }

    /// The secrets in the directory of a machine: our file, or docker-machine's record.
    pub(super) fn secrets_in(&self, name: &str, directory: &Path) -> Result<Secrets> {
        // Of a record that docker-machine has saved the keys in it are the newest. What does not read was said when it was
        // loaded.
        let foreign = self.load_from(name, directory).ok().and_then(|record| record.foreign);
        if let Some(foreign) = foreign.filter(|foreign| foreign.untouched && !foreign.secrets.0.is_empty()) {
            return Ok(foreign.secrets);
        }
        let path = directory.join(file::CREDENTIALS);
        match read_optional(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, e)),
            None => Ok(Secrets::default()),
        }
    }

    /// Before docker-machine's record is saved for the first time: its keys and the engine's options go to files of their
    /// own, and it gets an owner. Answers the record to save, where that is another one.
    pub(super) fn take_over(&self, record: &Record) -> Result<Option<Record>> {
        let Some(foreign) = record.foreign.as_ref().filter(|foreign| foreign.untouched) else { return Ok(None) };
        let mut owned = record.clone();
        if owned.owner == unnamed() {
            owned.owner = self.prepare()?;
        }
        // None are saved over those of an earlier time.
        self.save_secrets(&record.name, &foreign.secrets)?;
        self.write(&self.machine_file(&record.name, file::ENGINE), &to_json(&record.engine)?)?;
        Ok(Some(owned))
    }
}

/// The owner of machines in a store that has no id yet.
fn unnamed() -> Owner {
    Owner(String::new())
}
