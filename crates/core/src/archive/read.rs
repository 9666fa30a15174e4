//! `import` of an archive: its machines become machines of this store.

use std::path::Path;

use rmachine_certs as certs;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::{Kind as ApiKind, Owner, Provider, Resource, ResourceKind, Secrets};
use rmachine_ssh as ssh;
use rmachine_store::{Record, Trust, audit::Event, file, refused};

use super::{
    Opener,
    content::{self, Content, Contents},
    shares,
};
use crate::{
    Consent, Core, ImportReport, Outcome, RotateKeys, Taken, TakenAuthority,
    import::files::is_key_name,
    open::{Machine, Need},
};

/// What `import` of an archive is asked for.
#[derive(Debug, Clone, Default)]
pub struct ArchiveOptions {
    /// These machines; all when empty.
    pub machines: Vec<String>,
    /// Leave the machines to the store that they come from, as their tags have it.
    pub keep_owner: bool,
    /// Take over who else has access to the engines.
    pub keep_shares: bool,
    /// Ask no host over the network: keys are replaced at the first session.
    pub offline: bool,
    /// Only look.
    pub dry_run: bool,
    /// Whether the user agrees with what is asked and tagged.
    pub consent: Consent,
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
        let mut machines = Vec::new();
        let wanted: Vec<String> = match options.machines.as_slice() {
            [] => content.machines.keys().cloned().collect(),
            named => named.to_vec(),
        };
        if !options.dry_run {
            self.agree_with_archive(&content, &wanted, options).await?;
            self.load_store_authority(false).await?;
        }
        for name in wanted {
            let taken = match content.machines.get(&name) {
                Some(files) => self.import_archived(&name, files, options).await,
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

    /// Asks whether the machines of the archive are to be made this store's in their clouds.
    async fn agree_with_archive(&self, content: &Content, wanted: &[String], options: &ArchiveOptions) -> Result<()> {
        let read =
            |name: &String| self.read_archived(name, content.machines.get(name)?).ok().map(|(record, ..)| record);
        let records: Vec<Record> = wanted.iter().filter_map(read).collect();
        let asks = |record: &&Record| {
            let claims = !options.keep_owner
                && self.drivers.get(&record.driver).is_ok_and(|driver| driver.places(&record.config, &[]).is_ok());
            claims || self.check_endpoint(record, "").is_err()
        };
        let asked: Vec<&Record> = records.iter().filter(asks).collect();
        let what = match options.keep_owner {
            true => "import them, so that later commands talk to these?",
            false => "import them, and make all that carries these tokens there this store's?",
        };
        if self.agree(&asked, what, options.consent).await? {
            return Ok(());
        }
        let places: Vec<String> =
            asked.iter().map(|record| format!("machine \"{}\": {}", record.name, self.destination(record))).collect();
        Err(Error::usage("the import would change things in a cloud, and there is no terminal to ask you on")
            .source(places.join("; "))
            .hint("--dry-run shows what the archive has; --yes agrees with it")
            .hint("--keep-owner changes nothing there, and leaves the machines to the store that they come from"))
    }

    async fn import_archived(
        &self,
        name: &str,
        files: &Contents,
        options: &ArchiveOptions,
    ) -> Result<(String, Outcome, Vec<String>)> {
        let (mut record, secrets, mut notes) = self.read_archived(name, files)?;
        let driver = record.driver.clone();
        if options.dry_run {
            notes.push(format!("calls for it would go to: {}", self.destination(&record)));
        }
        if let Some(here) = self.by_token(&record)? {
            if !options.dry_run && !options.keep_owner {
                let mut known = self.open(&here, Need::any()).await?;
                let from = known.owner.clone();
                self.own(&mut known, &mut notes).await?;
                // It was the other store's until now, which has its keys still.
                if known.owner != from && self.has_host(&known) {
                    known.commit(|record| record.ssh.inherited = true)?;
                    notes.push(inherited_until(&here));
                }
            }
            return Ok((driver, Outcome::Present, notes));
        }
        let free = || match self.store.exists(name) {
            true => Err(Error::new(Kind::Conflict, format!("this store has another machine \"{name}\""))
                .hint(format!("`rmachine rename {name} OTHER` gives the one that is here another name"))),
            false => Ok(()),
        };
        free()?;
        if options.dry_run {
            return Ok((driver, Outcome::WouldImport, notes));
        }
        self.store.prepare()?;
        let lock = self.lock(name).await?;
        // Another process may have taken it meanwhile.
        if self.by_token(&record)?.is_some() {
            return Ok((driver, Outcome::Present, notes));
        }
        free()?;
        if record.tunnel_port.is_some() {
            record.tunnel_port = Some(self.free_port()?);
        }
        let mut own = vec![file::CONFIG, file::ENGINE, file::CREDENTIALS];
        if record.trust != Trust::Own {
            own.extend([file::AUTHORITY, file::OLD_AUTHORITY]);
        }
        let mut others: Vec<_> = files
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()) && name.as_str() != file::SHARES)
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        let keep = options.keep_shares || options.keep_owner;
        let shares = shares::taken_over(name, files.get(file::SHARES).map(|text| &text[..]), keep, &mut notes)?;
        others.extend(shares.file.map(|text| (file::SHARES.to_owned(), text)));
        record.ssh.inherited = !options.keep_owner && self.has_host(&record);
        self.remember_place_of(&record)?;
        let from = format!("an archive of store {}", record.owner);
        self.audit(name, &[Event::Imported { from, token: record.token.to_string() }])?;
        self.audit(name, &shares.events)?;
        // It is the other store's until the cloud has answered: who is killed before that repeats it.
        self.store.reserve_with(&record, self.legacy_fields(&record), &secrets, &others)?;
        let mut machine = self.hold(record, lock);
        if !options.keep_owner
            && let Err(error) = self.own(&mut machine, &mut notes).await
        {
            self.store.remove(name)?;
            return Err(error
                .context(format!("machine \"{name}\" stays with the store that it comes from"))
                .hint("repeat it when the cloud can be asked, or add --keep-owner"));
        }
        notes.push(format!(
            "the store that it comes from has it as well, and an rm there deletes it; when it is used here only, delete the directory machines/{name} there"
        ));
        if machine.ssh.inherited {
            notes.extend(self.replace_inherited(&mut machine, options.offline).await);
        }
        if machine.trust == Trust::Own && (machine.ssh.inherited || options.keep_owner) {
            notes.push(format!(
                "the store that it comes from has the key of its CA, too; `rmachine rotate-ca --now {name}` gives it another one"
            ));
        } else if self.has_other_ca(&machine) {
            notes.push(match self.has_host(&machine) {
                true => format!(
                    "it has the certificates of the store that it comes from until `rmachine rotate-ca --now {name}` gives it a CA of its own"
                ),
                false => "it has the certificates of the store that it comes from".to_owned(),
            });
        }
        Ok((driver, Outcome::Imported, notes))
    }

    /// The keys of an archive are the other store's as well: they are replaced now, or at the first session.
    async fn replace_inherited(&self, machine: &mut Machine<'_>, offline: bool) -> Vec<String> {
        let name = machine.name.clone();
        if offline {
            return vec![inherited_until(&name)];
        }
        match Box::pin(self.lock_others_out(machine, &RotateKeys::default())).await {
            Ok(done) => done.lines(),
            Err(error) => {
                let causes = error.causes().join(": ");
                let mut notes = vec![format!("{error} ({causes})")];
                notes.extend(error.hints().iter().cloned());
                notes
            }
        }
    }

    /// The name of the machine here that `record` is a copy of.
    fn by_token(&self, record: &Record) -> Result<Option<String>> {
        let same = |name: &String| self.store.load(name).is_ok_and(|here| here.token == record.token);
        Ok(self.store.names()?.into_iter().find(same))
    }

    /// The record of a machine of the archive, built anew: [`Record::from_elsewhere`]. All is read in memory.
    fn read_archived(&self, name: &str, files: &Contents) -> Result<(Record, Secrets, Vec<String>)> {
        let (mut record, secrets, notes) =
            self.store.decode(name, |file| files.get(file).map(|content| content.to_vec()))?;
        let key = &record.ssh.key_file;
        if !(key.is_empty() || is_key_name(key) && files.contains_key(key)) {
            return Err(refused(name, "Ssh.KeyFile", &format!("{key:?} is no login key of the archive")));
        }
        for key in &record.ssh.host_keys {
            ssh::fingerprint(key).map_err(|e| refused(name, "Ssh.HostKeys", &e.to_string()))?;
        }
        record.trust = archived_trust(&record, files).map_err(|why| refused(name, "Trust", why))?;
        Ok((record, secrets, notes))
    }

    /// Refuses a record whose instance does not carry its token in the cloud: by its token things would be claimed, and by
    /// its id another one used.
    async fn check_token(&self, provider: &dyn Provider, record: &Record) -> Result<()> {
        let Some(instance) = record.instance.as_ref().filter(|_| !record.imported) else { return Ok(()) };
        let found = provider.find(None).await?;
        let is_its = |resource: &Resource| {
            resource.kind == ResourceKind::Instance
                && resource.token.as_ref() == Some(&record.token)
                && resource.id == instance.id.as_str()
        };
        if found.iter().any(is_its) {
            return Ok(());
        }
        let (id, token) = (&instance.id, &record.token);
        Err(Error::new(
            Kind::Conflict,
            format!("there is no instance {id} that carries the token {token} of its record"),
        ))
    }

    /// Makes this store the owner of what was made for `machine`: in the cloud, then in the record.
    async fn own(&self, machine: &mut Machine<'_>, notes: &mut Vec<String>) -> Result<()> {
        let own: Owner = self.store.prepare()?;
        if !machine.lacks_driver() && self.driver(machine)?.places(&machine.config, &[]).is_ok() {
            let provider = self.provider(machine).await?;
            self.check_token(provider.as_ref(), machine).await?;
            self.audit(&machine.name, &[Event::Claimed { from: machine.owner.to_string() }])?;
            let notify = machine.notify.clone();
            match provider.claim(&machine.token, &own, &machine.name, &self.cx(notify.as_ref())).await {
                Ok(()) => {}
                Err(error) if error.kind() == ApiKind::Unsupported => {
                    notes.push("its tags cannot be changed, so they name the store that it comes from".to_owned());
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if machine.owner != own {
            machine.owner = own;
            machine.save()?;
        }
        Ok(())
    }
}

/// What is said of a machine whose keys another store has as well.
fn inherited_until(name: &str) -> String {
    format!(
        "the store that it comes from has its keys as well, until `rmachine rotate-keys {name}` or the first `ssh` replaces them"
    )
}

/// Whose certificates a machine of an archive has; what is to be its CA has to be one. An archive of format 1 has leaves
/// only: such a machine gets a CA of its own in its next session.
fn archived_trust(record: &Record, files: &Contents) -> Result<Trust, &'static str> {
    let read = |name: &str| {
        let text = files.get(name).map(|content| std::str::from_utf8(content).unwrap_or_default());
        text.map(|text| certs::split(text).map_err(|_| "the CA of the machine does not read")).transpose()
    };
    let (present, before) = (read(file::AUTHORITY)?, read(file::OLD_AUTHORITY)?);
    let Some(present) = present.filter(|_| record.trust == Trust::Own) else { return Ok(Trust::Store) };
    let all = present.certs.iter().chain(before.iter().flat_map(|before| &before.certs));
    let all_sign = all.map(|cert| certs::inspect(cert)).all(|info| info.is_ok_and(|info| info.is_ca));
    match present.identity.is_some() && all_sign {
        true => Ok(Trust::Own),
        false => Err("what is to be the CA of the machine is none"),
    }
}
