//! Reading records: ours, and docker-machine's.

use std::{io, path::Path};

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::{Owner, Secrets};
use serde_json::{Map, Value};

use super::{
    Record, Store,
    bytes::{cannot, read_optional, to_json, unreadable},
    check_name,
    document::{self, Document},
    elsewhere::{engine_of_others, refused},
    file, legacy, legacy_engine,
    name::is_name,
};

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
        let Some(bytes) = self.read_bytes(&path)? else {
            return Err(self.without_record(name));
        };
        if self.of_others {
            return self.load_of_others(name, directory, &bytes);
        }
        let mut record = match document::read(&bytes, name, &path)? {
            Document::Ours(record) => *record,
            Document::Foreign(document) => {
                let owner = self.owner()?.unwrap_or_else(Owner::unnamed);
                return legacy::convert(document, self.origin(name, directory, owner));
            }
        };
        let path = directory.join(file::ENGINE);
        if let Some(bytes) = read_optional(&path)? {
            record.engine = document::read_engine(&bytes, name, &path)?;
        }
        Ok(record)
    }

    /// The record of a machine of docker-machine's in a store that others wrote: docker-machine's fields are converted, and
    /// a section of ours is not believed; of it goes on what protects the machine, and the options of its engine.
    fn load_of_others(&self, name: &str, directory: &Path, bytes: &[u8]) -> Result<Record> {
        let path = directory.join(file::CONFIG);
        let mut document: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| unreadable(&path, e))?;
        let section = document.shift_remove(document::SECTION);
        if section.as_ref().is_some_and(|section| section["Imported"] != true) {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" there is rmachine's own")).hint(
                format!("`rmachine -s {} export {name} -o FILE`, then `rmachine import FILE`", self.root.display()),
            ));
        }
        let mut record = legacy::convert(document, self.origin(name, directory, Owner::unnamed()))?;
        let Some(section) = section else { return Ok(record) };
        record.protected = section["Protected"] == true;
        let path = directory.join(file::ENGINE);
        if let Some(bytes) = self.read_bytes(&path)? {
            let engine = document::read_engine(&bytes, name, &path)?;
            let mut notes = Vec::new();
            record.engine = engine_of_others(engine, name, record.engine_port, false, &record.driver, &mut notes)?;
            if let Some(foreign) = &mut record.foreign {
                foreign.notes.extend(notes);
            }
        }
        Ok(record)
    }

    fn origin<'a>(&'a self, name: &'a str, directory: &'a Path, owner: Owner) -> legacy::Origin<'a> {
        legacy::Origin { name, root: &self.root, directory, drivers: &self.drivers, owner }
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

    /// The record and the secrets of machine `name` from the contents of files that another store wrote, and what its
    /// user should know: [`Record::from_elsewhere`].
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when one of them does not read, or a field is not taken.
    pub fn decode(
        &self,
        name: &str,
        content: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(Record, Secrets, Vec<String>)> {
        let unread = |file: &str, e: serde_json::Error| refused(name, file, &e.to_string());
        let Some(config) = content(file::CONFIG) else { return Err(refused(name, file::CONFIG, "it is missing")) };
        let document = serde_json::from_slice(&config).map_err(|e| unread(file::CONFIG, e))?;
        let engine = content(file::ENGINE).map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let engine = engine.map_err(|e| unread(file::ENGINE, e))?.unwrap_or_default();
        let secrets = content(file::CREDENTIALS).map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let secrets: Secrets = secrets.map_err(|e| unread(file::CREDENTIALS, e))?.unwrap_or_default();
        let (record, notes) = Record::from_elsewhere(document, name, &self.drivers, engine, &secrets)?;
        Ok((record, secrets, notes))
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
        match self.read_bytes(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, e)),
            None => Ok(Secrets::default()),
        }
    }

    /// Before docker-machine's record is saved for the first time: its keys and the engine's options go to files of their
    /// own, and it gets an owner. Answers the record to save, where that is another one.
    pub(super) fn take_over(&self, record: &Record) -> Result<Option<Record>> {
        let Some(foreign) = record.foreign.as_ref().filter(|foreign| foreign.untouched) else { return Ok(None) };
        let mut owned = record.clone();
        if owned.owner == Owner::unnamed() {
            owned.owner = self.prepare()?;
        }
        // None are saved over those of an earlier time.
        self.save_secrets(&record.name, &foreign.secrets)?;
        self.write(&self.machine_file(&record.name, file::ENGINE), &to_json(&record.engine)?)?;
        Ok(Some(owned))
    }
}
