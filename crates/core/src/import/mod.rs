//! `import`: the machines of a docker-machine store become machines of this one. The source is never written.
//!
//! What is taken over is on disk before anybody is asked over the network: a host that is away today is imported all
//! the same, with the certificates that docker-machine gave it, and its host key is pinned when it is met.

mod authority;
mod consent;
pub(super) mod files;

use std::{collections::BTreeMap, fs, path::PathBuf};

use futures::stream::{self, StreamExt};
use rmachine_certs as certs;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::MachineToken;
use rmachine_ssh as ssh;
use rmachine_store::{Foreign, Record, Store, Trust, audit::Event, check_name, file, hide_secrets};
use serde::Serialize;

use self::files::Files;
pub use self::{authority::TakenAuthority, consent::Consent};
use super::{Core, Regenerate, blocking, open::Need};

/// How many hosts are met at once.
const AT_ONCE: usize = 32;

/// What `import` is asked for.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The directory of docker-machine's store.
    pub source: PathBuf,
    /// These machines; all when empty.
    pub machines: Vec<String>,
    /// Only look.
    pub dry_run: bool,
    /// Ask nobody over the network.
    pub offline: bool,
    /// Whether the user agrees with whom is asked.
    pub consent: Consent,
}

/// What became of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is in this store now.
    Imported,
    /// It was in this store already.
    Present,
    /// It would be imported.
    WouldImport,
    /// It stays where it is; the error says why.
    Failed,
}

impl Outcome {
    /// The word as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Present => "already here",
            Self::WouldImport => "would be imported",
            Self::Failed => "failed",
        }
    }
}

/// One machine of the source.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Its name there.
    pub name: String,
    /// Name of its driver, where its record reads.
    pub driver: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// What its user should know.
    pub notes: Vec<String>,
    /// Why it failed.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// What `import` did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Where it looked.
    pub source: PathBuf,
    /// What became of docker-machine's CA.
    pub authority: TakenAuthority,
    /// The machines, by name.
    pub machines: Vec<Taken>,
}

fn as_text<S: serde::Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = error.as_ref().map(|error| [vec![error.to_string()], error.causes()].concat().join(": "));
    serializer.serialize_some(&text)
}

/// What is known before machines are looked at.
struct Setting {
    theirs: Store,
    /// Whether the source is this store itself: records are converted where they are.
    in_place: bool,
    /// The names of our machines by their tokens.
    known: BTreeMap<MachineToken, String>,
    dry_run: bool,
    /// Whether the user agrees with the places that the records name.
    agreed: bool,
}

impl Core {
    /// Takes the machines of docker-machine's store over. One that cannot be taken is a line of the report and keeps
    /// no other one back; a second run takes what is new, and meets hosts that were not met yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] when the source is no such store, [`Kind::Store`] when ours cannot be written.
    pub async fn import(&self, options: &ImportOptions) -> Result<ImportReport> {
        let source = &options.source;
        if !source.join("machines").is_dir() {
            return Err(Error::usage(format!(
                "{} is no store of docker-machine: there is no directory machines in it",
                source.display()
            ))
            .hint("name it: `rmachine import DIR`; docker-machine's own place is ~/.docker/machine"));
        }
        let same = |one: &std::path::Path| fs::canonicalize(one).ok();
        let in_place = same(source).is_some() && same(source) == same(self.store.root());
        let theirs = Store::at(source.clone()).with_drivers(&self.drivers);
        let theirs = if in_place { theirs } else { theirs.of_others() };
        let mut known = BTreeMap::new();
        for name in self.store.names()? {
            if let Ok(record) = self.store.load(&name) {
                known.insert(record.token, name);
            }
        }
        let names = if options.machines.is_empty() { theirs.names()? } else { options.machines.clone() };
        let agreed = self.agree_with(&theirs, &names, &known, options).await?;
        let setting = Setting { theirs, in_place, known, dry_run: options.dry_run, agreed };
        // A CA without a machine of it would be in the way of the next one.
        let some = names.iter().any(|name| setting.theirs.load(name).is_ok());
        let authority = match in_place || !some {
            true => TakenAuthority::Same,
            false => self.take_authority(&setting).await?,
        };
        let mut machines = Vec::new();
        for name in names {
            let (record, taken) = match self.import_one(&setting, &name).await {
                Ok((record, outcome, notes)) => {
                    let driver = Some(record.driver.clone());
                    (Some(record), Taken { name, driver, outcome, notes, error: None })
                }
                Err(error) => {
                    let driver = setting.theirs.load(&name).ok().map(|record| record.driver);
                    (None, Taken { name, driver, outcome: Outcome::Failed, notes: Vec::new(), error: Some(error) })
                }
            };
            machines.push((record, taken));
        }
        if !options.dry_run && !options.offline && !agreed && !self.meets_anybody() {
            for (_, taken) in machines.iter_mut().filter(|(_, taken)| taken.outcome == Outcome::Imported) {
                taken.notes.push(
                    "nobody was asked over the network: there is no terminal to ask you on whether to, and no --yes"
                        .to_owned(),
                );
            }
        } else if !options.dry_run && !options.offline {
            let meetings = machines.iter().map(|(record, _)| async move {
                match record {
                    Some(record) => Box::pin(self.first_meeting(&record.name)).await,
                    None => Vec::new(),
                }
            });
            let meetings: Vec<_> = meetings.collect();
            let said: Vec<_> = stream::iter(meetings).buffered(AT_ONCE).collect().await;
            machines.iter_mut().zip(said).for_each(|((_, taken), said)| taken.notes.extend(said));
        }
        let machines = machines.into_iter().map(|(_, taken)| taken).collect();
        Ok(ImportReport { source: source.clone(), authority, machines })
    }

    /// Asks whether the machines that are new here are to be met, and their clouds asked.
    async fn agree_with(
        &self,
        theirs: &Store,
        names: &[String],
        known: &BTreeMap<MachineToken, String>,
        options: &ImportOptions,
    ) -> Result<bool> {
        let is_new = |record: &Record| {
            record.foreign.as_ref().is_some_and(|foreign| foreign.untouched) && !known.contains_key(&record.token)
        };
        let records: Vec<Record> =
            names.iter().filter_map(|name| theirs.load(name).ok()).filter(|record| is_new(record)).collect();
        let asks = |record: &&Record| !options.offline || self.check_endpoint(record, "").is_err();
        let asked: Vec<&Record> = records.iter().filter(asks).collect();
        if options.dry_run {
            return Ok(false);
        }
        self.agree(&asked, "import them, and ask these hosts and clouds?", options.consent).await
    }

    async fn import_one(&self, setting: &Setting, name: &str) -> Result<(Record, Outcome, Vec<String>)> {
        let record = setting.theirs.load(name)?;
        if !setting.in_place {
            check_name(name).map_err(|e| {
                e.hint(format!("`rmachine -s {} rename {name} OTHER` gives it one", setting.theirs.root().display()))
            })?;
        }
        let of_ours = Error::new(Kind::Conflict, format!("machine \"{name}\" there is rmachine's own"));
        if setting.in_place && !record.imported {
            return Ok((record, Outcome::Present, Vec::new()));
        }
        let Some(foreign) = record.foreign.clone() else {
            return Err(of_ours.hint(format!(
                "`rmachine -s {} export {name} -o FILE`, then `rmachine import FILE`",
                setting.theirs.root().display()
            )));
        };
        let mut notes = foreign.notes.clone();
        if record.lacks_driver() {
            notes.push(format!(
                "rmachine has no driver \"{}\": env, config, url, ip and inspect work, what needs the driver does not",
                record.driver
            ));
        }
        if foreign.untouched && !setting.agreed {
            let hint =
                format!("`rmachine import --yes --machine {name} {}` agrees with it", setting.theirs.root().display());
            match (self.check_endpoint(&record, &hint), setting.dry_run) {
                (Err(error), true) => notes.push(error.to_string()),
                (checked, _) => checked?,
            }
        }
        if setting.dry_run {
            notes.push(format!("calls for it would go to: {}", self.destination(&record)));
        }
        if setting.in_place {
            return self.convert_in_place(record, &foreign, setting.dry_run, notes).await;
        }
        if let Some(here) = setting.known.get(&record.token) {
            return Ok((self.store.load(here)?, Outcome::Present, renamed(name, here)));
        }
        if self.store.exists(name) {
            return Err(Error::new(Kind::Conflict, format!("this store has another machine \"{name}\""))
                .hint(format!("`rmachine rename {name} OTHER` gives the one that is here another name")));
        }
        let files = files::collect(&setting.theirs, &record, self.has_host(&record))?;
        notes.extend(files.notes.iter().cloned());
        if setting.dry_run {
            return Ok((record, Outcome::WouldImport, notes));
        }
        let record = self.write_imported(&setting.theirs, record, *foreign, files).await?;
        notes.extend(self.expiry(&record).warnings);
        if self.has_other_ca(&record) {
            notes.push(match self.has_host(&record) {
                true => format!(
                    "it keeps docker-machine's certificates until `rmachine regenerate-certs {name}` gives it a CA of its own"
                ),
                false => "it keeps docker-machine's certificates".to_owned(),
            });
        }
        Ok((record, Outcome::Imported, notes))
    }

    /// Writes the machine into this store: its directory appears whole, or not at all.
    async fn write_imported(
        &self,
        theirs: &Store,
        mut record: Record,
        mut foreign: Foreign,
        files: Files,
    ) -> Result<Record> {
        let mut secrets = theirs.load_secrets(&record.name)?;
        let hidden = hide_secrets(&mut foreign.document);
        if record.lacks_driver() {
            secrets.0.extend(hidden.0);
        }
        foreign.untouched = false;
        record.foreign = Some(Box::new(foreign));
        record.ssh.key_file = files.key_file;
        record.owner = self.store.prepare()?;
        let _lock = self.lock(&record.name).await?;
        if self.store.exists(&record.name) {
            // Another process may have taken the same machine meanwhile.
            let here = self.store.load(&record.name)?;
            if here.token == record.token {
                return Ok(here);
            }
            return Err(Error::new(Kind::Conflict, format!("machine \"{}\" is there by now", record.name)));
        }
        self.remember_place_of(&record)?;
        let from = theirs.root().display().to_string();
        self.audit(&record.name, &[Event::Imported { from, token: record.token.to_string() }])?;
        self.store.reserve_with(&record, self.legacy_fields(&record), &secrets, &files.files)?;
        Ok(record)
    }

    /// Writes down where `gc` has to look for what was made for `record`.
    pub(super) fn remember_place_of(&self, record: &Record) -> Result<()> {
        match self.driver(record) {
            Ok(driver) if driver.places(&record.config, &[]).is_ok() => {
                self.store.remember_place(&record.driver, &driver.scope(&record.config), &record.config)
            }
            _ => Ok(()),
        }
    }

    /// The source is this store: the record gets our section, and its keys a file of their own.
    async fn convert_in_place(
        &self,
        record: Record,
        foreign: &Foreign,
        dry_run: bool,
        notes: Vec<String>,
    ) -> Result<(Record, Outcome, Vec<String>)> {
        match (foreign.untouched, dry_run) {
            (false, _) => Ok((record, Outcome::Present, Vec::new())),
            (true, true) => Ok((record, Outcome::WouldImport, notes)),
            (true, false) => {
                let mut machine = self.open(&record.name, Need::any()).await?;
                let from = "docker-machine, in this store".to_owned();
                let imported = Event::Imported { from, token: machine.token.to_string() };
                self.audit(&record.name, &[imported])?;
                machine.save()?;
                Ok((machine.into_record(), Outcome::Imported, notes))
            }
        }
    }

    /// Pins the host's key, and renews certificates that are over; what does not work now is said, and waits.
    async fn first_meeting(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        let Ok(record) = self.store.load(name) else { return notes };
        if self.is_unmet(&record) {
            match self.meet_now(name).await {
                Ok(met) => notes.push(met),
                Err(error) => {
                    let cause = error.causes().pop().map(|cause| format!(" ({cause})")).unwrap_or_default();
                    notes.push(format!("its host key is not pinned yet: {error}{cause}"));
                    notes.extend(error.hints().iter().cloned());
                    return notes;
                }
            }
        }
        let expiry = self.expiry(&record);
        if expiry.renewable && expiry.days.is_some_and(|days| days < 0) {
            match self.regenerate_certificates(name, Regenerate::default()).await {
                Ok(_) => notes.push("its certificates had expired and are renewed".to_owned()),
                Err(error) => notes.push(format!(
                    "its certificates have expired and were not renewed ({error}); repeat `rmachine regenerate-certs {name}`"
                )),
            }
        }
        notes
    }

    async fn meet_now(&self, name: &str) -> Result<String> {
        let mut machine = self.open(name, Need::any()).await?;
        self.meet(&mut machine, std::time::Duration::ZERO).await?;
        Ok(match machine.ssh.host_keys.first() {
            Some(key) => format!("its host key is pinned: {}", ssh::fingerprint(key)?),
            None => "its host key is the one of known_hosts".to_owned(),
        })
    }

    async fn take_authority(&self, setting: &Setting) -> Result<TakenAuthority> {
        let (ours, theirs, dry_run) = (self.store.clone(), setting.theirs.clone(), setting.dry_run);
        let taken = blocking(move || authority::take(&ours, &theirs, dry_run)).await?;
        if !dry_run {
            // There is one from here on, whoever made it.
            self.load_store_authority(false).await?;
        }
        Ok(taken)
    }

    /// Whether the client's files in the machine's directory are those of another CA than this store's.
    pub(super) fn has_other_ca(&self, record: &Record) -> bool {
        if record.trust == Trust::Own {
            return false;
        }
        let read = |path: PathBuf| self.store.read_text(&path).ok().flatten();
        let copy = read(self.store.machine_file(&record.name, file::CA_CERT));
        let own = read(self.store.certs_directory().join(file::CA_CERT));
        copy.is_some_and(|copy| own.is_none_or(|own| !certs::same(&copy, &own)))
    }
}

fn renamed(name: &str, here: &str) -> Vec<String> {
    if name == here { Vec::new() } else { vec![format!("it is called \"{here}\" here")] }
}
