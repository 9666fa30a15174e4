//! `export`: all that another store needs to go on with a machine.

use std::collections::BTreeMap;

use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{Trust, audit::Event, file, hide_secrets};
use zeroize::Zeroizing;

use super::{
    Sealer,
    content::{self, Content, Contents},
};
use crate::{Core, import::files};

/// An archive, encrypted.
#[derive(Debug)]
pub struct Exported {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What its user should know, by machine.
    pub notes: Vec<(String, String)>,
}

impl Core {
    /// Puts machines `names` into one archive for `sealer`. They stay in this store as they are.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchMachine`], [`Kind::Conflict`] for one that is not finished or is on this computer only,
    /// [`Kind::Store`] when a file of one is missing; nothing is made then.
    pub fn export(&self, names: &[String], sealer: &Sealer) -> Result<Exported> {
        let mut machines = BTreeMap::new();
        let mut notes = Vec::new();
        for name in names {
            machines.insert(name.clone(), self.contents(name, &mut notes)?);
        }
        let plain = content::pack(&Content { owner: self.store.prepare()?, machines })?;
        // What no import would take is no archive.
        content::unpack(&plain).map_err(|e| {
            e.without_hints()
                .context("these machines cannot be put into one archive")
                .hint("export some of them at a time")
        })?;
        let bytes = sealer.seal(&plain)?;
        for name in names {
            self.audit(name, &[Event::Exported { to: sealer.describe() }])?;
        }
        Ok(Exported { bytes, notes })
    }

    fn contents(&self, name: &str, notes: &mut Vec<(String, String)>) -> Result<Contents> {
        self.store.load(name)?;
        let notify = self.talk.about(name);
        // Its files belong together.
        let _lock = self
            .store
            .lock_machine(name, || notify.progress("waiting for another rmachine process to finish with it"))?;
        let mut record = self.store.load(name)?;
        self.require_ready(&record)?;
        let driver = if record.lacks_driver() { None } else { Some(self.driver(&record)?) };
        if driver.is_some_and(|driver| driver.is_local()) {
            return Err(Error::new(
                Kind::Conflict,
                format!("machine \"{name}\" is on this computer, and no other one can use it"),
            )
            .hint("a copy of the store's directory is a backup of it"));
        }
        let collected = files::collect(&self.store, &record, self.has_host(&record))?;
        let mut note = |text: String| notes.push((name.to_owned(), text));
        collected.notes.into_iter().for_each(&mut note);
        if collected.key_file.is_empty() && driver.is_some_and(|driver| driver.info().capabilities.ssh) {
            note("it is logged in to with keys of your own, which are not in the archive".to_owned());
        }
        let mut secrets = self.store.load_secrets(name)?;
        if let Some(foreign) = &mut record.foreign {
            let hidden = hide_secrets(&mut foreign.document);
            if record.config.is_null() {
                secrets.0.extend(hidden.0);
            }
        }
        record.ssh.key_file = collected.key_file;
        let json = |value: serde_json::Result<Vec<u8>>| {
            let bytes = value.map_err(|e| Error::new(Kind::Store, "the record cannot be written as JSON").source(e))?;
            Ok::<_, Error>(Zeroizing::new(bytes))
        };
        let mut contents: Contents = collected.files.into_iter().collect();
        let config = self.store.encode(&record, self.legacy_fields(&record))?;
        contents.insert(file::CONFIG.to_owned(), Zeroizing::new(config));
        contents.insert(file::ENGINE.to_owned(), json(serde_json::to_vec(&record.engine))?);
        if !secrets.0.is_empty() {
            contents.insert(file::CREDENTIALS.to_owned(), json(serde_json::to_vec(&secrets))?);
            note("the cloud keys that are stored for it are in the archive".to_owned());
        }
        let own = [file::AUTHORITY, file::OLD_AUTHORITY];
        for file in own.into_iter().filter(|_| record.trust == Trust::Own) {
            if let Some(content) = self.store.read_bytes(&self.store.machine_file(name, file))? {
                contents.insert(file.to_owned(), Zeroizing::new(content));
            }
        }
        if let Some(shares) = self.store.read_bytes(&self.store.machine_file(name, file::SHARES))? {
            contents.insert(file::SHARES.to_owned(), Zeroizing::new(shares));
        }
        Ok(contents)
    }
}
