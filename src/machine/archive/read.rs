//! `import` of an archive: its machines become machines of this store.

use std::path::Path;

use rmachine_provider_api::{Kind as ApiKind, Owner};

use super::{
    Opener,
    content::{self, Contents},
};
use crate::{
    error::{Error, Kind, Result},
    machine::{Core, ImportReport, Outcome, Taken, TakenAuthority},
    store::{Record, Store, file},
};

/// What `import` of an archive is asked for.
#[derive(Debug, Clone, Default)]
pub struct ArchiveOptions {
    /// These machines; all when empty.
    pub machines: Vec<String>,
    /// Leave the machines to the store that they come from, as their tags have it.
    pub keep_owner: bool,
    /// Only look.
    pub dry_run: bool,
}

impl Core {
    /// Takes the machines of an archive in. One that cannot be taken keeps no other one back.
    ///
    /// # Errors
    ///
    /// When the archive cannot be opened, is damaged or changed; nothing was written then.
    pub async fn import_archive(
        &self,
        source: &Path,
        sealed: &[u8],
        opener: &Opener<'_>,
        options: &ArchiveOptions,
    ) -> Result<ImportReport> {
        let content = content::unpack(&opener.open(sealed)?)?;
        self.store.prepare()?;
        // Where the records are read from; it goes when this ends.
        let scratch = self.store.scratch()?;
        let theirs = Store::at(scratch.path()).with_drivers(&self.drivers);
        let mut machines = Vec::new();
        if !options.dry_run {
            self.load_authority(false).await?;
        }
        let wanted: Vec<String> = match options.machines.as_slice() {
            [] => content.machines.keys().cloned().collect(),
            named => named.to_vec(),
        };
        for name in wanted {
            let taken = match content.machines.get(&name) {
                Some(files) => self.import_archived(&theirs, &name, files, options).await,
                None => Err(Error::new(Kind::NoSuchMachine, format!("the archive has no machine \"{name}\""))),
            };
            machines.push(match taken {
                Ok((driver, outcome, notes)) => Taken { name, driver: Some(driver), outcome, notes, error: None },
                Err(error) => {
                    Taken { name, driver: None, outcome: Outcome::Failed, notes: Vec::new(), error: Some(error) }
                }
            });
        }
        Ok(ImportReport { source: source.to_owned(), authority: TakenAuthority::Other, machines })
    }

    async fn import_archived(
        &self,
        theirs: &Store,
        name: &str,
        files: &Contents,
        options: &ArchiveOptions,
    ) -> Result<(String, Outcome, Vec<String>)> {
        let mut record = self.read_archived(theirs, name, files)?;
        let driver = record.driver.clone();
        let mut notes = Vec::new();
        if record.ssh.proxy_command.take().is_some() {
            // It would be run here, and was written elsewhere.
            notes.push(format!(
                "its SSH proxy command is left out; `rmachine provision --ssh-proxy-command … {name}` sets one"
            ));
        }
        for known in self.store.names()? {
            if self.store.load(&known).is_ok_and(|here| here.token == record.token) {
                if !options.dry_run && !options.keep_owner {
                    let here = self.store.load(&known)?;
                    self.claim_archived(&here, &mut notes).await?;
                }
                return Ok((driver, Outcome::Present, notes));
            }
        }
        if self.store.exists(name) {
            return Err(Error::new(Kind::Conflict, format!("this store has another machine \"{name}\""))
                .hint(format!("`rmachine rename {name} OTHER` gives the one that is here another name")));
        }
        if options.dry_run {
            return Ok((driver, Outcome::WouldImport, notes));
        }
        let from = record.owner.clone();
        let _lock = self.lock(name).await?;
        if record.tunnel_port.is_some() {
            record.tunnel_port = Some(self.free_port()?);
        }
        if !options.keep_owner {
            record.owner = self.store.prepare()?;
        }
        let own = [file::CONFIG, file::ENGINE, file::CREDENTIALS];
        let others: Vec<_> = files
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        self.store.reserve_with(&record, self.legacy_fields(&record), &theirs.load_secrets(name)?, &others)?;
        if let Ok(driver) = self.driver(&record)
            && driver.places(&record.config, &[]).is_ok()
        {
            self.store.remember_place(&record.driver, &driver.scope(&record.config), &record.config)?;
        }
        if !options.keep_owner {
            match self.claim_archived(&record, &mut notes).await {
                Ok(true) => {}
                Ok(false) => {
                    record.owner = from;
                    self.save(&record)?;
                }
                Err(error) => {
                    self.store.remove(name)?;
                    return Err(error
                        .context(format!("machine \"{name}\" stays with the store that it comes from"))
                        .hint("repeat it when the cloud can be asked, or add --keep-owner"));
                }
            }
        }
        notes.push(format!(
            "the store that it comes from has it as well, and an rm there deletes it; when it is used here only, delete the directory machines/{name} there"
        ));
        if self.has_other_ca(&record) {
            notes.push(format!(
                "it has the certificates of the store that it comes from until `rmachine regenerate-certs {name}` gives it this store's, which locks that one out"
            ));
        }
        Ok((driver, Outcome::Imported, notes))
    }

    /// The record of a machine of the archive, checked: nothing in it names a file of this computer.
    fn read_archived(&self, theirs: &Store, name: &str, files: &Contents) -> Result<Record> {
        let directory = theirs.machine_directory(name);
        crate::store::atomic::create_directory(&directory).map_err(|e| {
            Error::new(Kind::Store, format!("cannot make the directory {}", directory.display())).source(e)
        })?;
        for file in [file::CONFIG, file::ENGINE, file::CREDENTIALS] {
            if let Some(content) = files.get(file) {
                theirs.write(&directory.join(file), content)?;
            }
        }
        let damaged = |what: &str| {
            Error::new(Kind::Store, format!("the record of machine \"{name}\" in the archive is not good"))
                .source(what.to_owned())
                .hint("export it anew")
        };
        let record = theirs.load(name)?;
        if record.foreign.as_ref().is_some_and(|foreign| foreign.untouched) {
            return Err(damaged("it is docker-machine's own"));
        }
        let key = &record.ssh.key_file;
        if !key.is_empty() && !files.contains_key(key) {
            return Err(damaged("its login key is not in the archive"));
        }
        if !record.lacks_driver() && self.driver(&record)?.is_local() {
            return Err(damaged("it is on the computer that it was made on"));
        }
        self.require_ready(&record)?;
        Ok(record)
    }

    /// Makes this store the owner of what was made for `record`; answers whether it is now.
    async fn claim_archived(&self, record: &Record, notes: &mut Vec<String>) -> Result<bool> {
        if record.lacks_driver() || self.driver(record)?.places(&record.config, &[]).is_err() {
            return Ok(true);
        }
        let own: Owner = self.store.prepare()?;
        match self.provider(record).await?.claim(&record.token, &own, &record.name).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ApiKind::Unsupported => {
                notes.push("its tags cannot be changed, so they name the store that it comes from".to_owned());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
