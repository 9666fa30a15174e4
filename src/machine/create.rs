//! `create`: from a name to a usable engine, saved at every step, undone when it fails.

use std::{path::Path, sync::Arc};

use rmachine_provider_api::{
    self as api, AttemptToken, CreateRequest, Driver, HostTrust, LeftBehind, LoginKey, MachineSpec, MachineToken,
    Notify, Plan, Provider, Retry, Values,
};
use time::OffsetDateTime;

use super::{Core, ENGINE_PORT, blocking, journal::RecordJournal, voice};
use crate::{
    bootstrap::{self, BootSpec, EngineSource, EngineSpec},
    certs::Sans,
    error::{Error, Kind, Result},
    ssh::KeyPair,
    store::{Phase, Power, RECORD_VERSION, Record, SshRecord, check_name, file, random_id},
};

/// What `create` is asked for.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Name of the new machine.
    pub name: String,
    /// Name of the driver.
    pub driver: String,
    /// Values of the driver's flags.
    pub values: Values,
    /// What the engine shall be.
    pub engine: EngineSpec,
    /// More names and addresses for the server certificate.
    pub tls_sans: Vec<String>,
    /// Keep what was made when it fails.
    pub keep_on_failure: bool,
}

/// A finished `create`.
#[derive(Debug, Clone)]
pub struct Created {
    /// The machine.
    pub record: Record,
}

/// Keys that exist only while the machine is made.
struct Keys {
    /// Public half of the login key, where we know it.
    login: Option<String>,
    seed: Option<KeyPair>,
}

impl Core {
    /// Makes a machine. A failure undoes what was made, unless `keep_on_failure`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] and [`Kind::PreCreate`] before anything is made; else what went wrong, with
    /// what is left in a hint.
    pub async fn create(&self, options: CreateOptions) -> Result<Created> {
        check_name(&options.name)?;
        let driver = self.drivers.get(&options.driver)?.clone();
        options.engine.validate()?;
        Sans::parse(&options.tls_sans)?;
        let configured = driver.configure(&options.values)?;
        let name = options.name.as_str();
        let resumed = self.may_go_on(name)?;
        let owner = self.store.prepare()?;
        // Where another process makes it right now, a second create has nothing to wait for.
        let _lock = if resumed { self.lock_at_once(name)? } else { self.lock(name).await? };
        if driver.places(&configured.config, &[]).is_ok() {
            self.store.remember_place(&options.driver, &driver.scope(&configured.config), &configured.config)?;
        }
        let fresh = Record {
            extra_sans: options.tls_sans.clone(),
            ..fresh_record(name, &options.driver, &options.engine, configured.config, configured.engine_port, owner)
        };
        let mut record = match self.may_go_on(name)? {
            true => {
                let record = self.unfinished(fresh)?;
                self.talk
                    .about(name)
                    .warn(&format!("going on with a create that ended while the machine was {}", record.phase.word()));
                self.store.save_secrets(name, &configured.secrets)?;
                record
            }
            false => {
                self.store.reserve(&fresh, self.legacy_fields(&fresh), &configured.secrets)?;
                fresh
            }
        };
        let result = self.make(&mut record, driver.as_ref()).await;
        match result {
            Ok(()) => Ok(Created { record }),
            Err(error) => Err(self.undo(&mut record, error, options.keep_on_failure).await),
        }
    }

    /// Whether there is an unfinished create of this name; a finished machine is a conflict.
    fn may_go_on(&self, name: &str) -> Result<bool> {
        if !self.store.exists(name) {
            return Ok(false);
        }
        let taken = || Error::new(Kind::Conflict, format!("machine \"{name}\" already exists"));
        match self.store.load(name) {
            Ok(record) if record.phase.is_unfinished() => Ok(true),
            Ok(record) if record.phase == Phase::Removing => {
                Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is being removed"))
                    .hint(format!("finish it with `rmachine rm -y {name}`, then create it again")))
            }
            Ok(_) => Err(taken().hint(format!("choose another name, or remove it with `rmachine rm {name}`"))),
            Err(error) => Err(error
                .context(format!("machine \"{name}\" already exists"))
                .with_kind(Kind::Conflict)
                .hint("choose another name")),
        }
    }

    /// The record to go on with, when it asks for what `wanted` asks for.
    fn unfinished(&self, wanted: Record) -> Result<Record> {
        let name = &wanted.name;
        let record = self.store.load(name)?;
        let same = record.driver == wanted.driver
            && record.config == wanted.config
            && record.engine == wanted.engine
            && record.engine_port == wanted.engine_port
            && record.extra_sans == wanted.extra_sans;
        if same {
            return Ok(record);
        }
        Err(Error::new(
            Kind::Conflict,
            format!("the create of machine \"{name}\" did not end, and it asked for something else"),
        )
        .hint("repeat it with the same flags to go on with it")
        .hint(format!("or remove what it left with `rmachine rm -y {name}`, then create it again")))
    }

    /// Carries on from the phase that `record` is in.
    async fn make(&self, record: &mut Record, driver: &dyn Driver) -> Result<()> {
        let notify = self.talk.about(&record.name);
        notify.progress("checking the request");
        let store = self.store.clone();
        let authority = blocking(move || Self::authority(&store, false));
        let (authority, provider) = if record.phase == Phase::Reserved {
            let (authority, prepared) = tokio::join!(authority, self.interrupt.or(self.preflight(record, driver)));
            let (plan, provider) = prepared?;
            let authority = authority?;
            self.prepare(record, plan)?;
            (authority, provider)
        } else {
            (authority.await?, self.interrupt.or(self.provider(record)).await?)
        };
        self.interrupt.check()?;
        if record.phase == Phase::Reserved {
            self.enter(record, Phase::Creating)?;
        }
        if record.phase == Phase::Creating {
            let instance = self.make_instance(record, provider.as_ref(), &notify).await?;
            record.instance = Some(instance);
            self.enter(record, Phase::Booting)?;
        } else {
            self.interrupt.or(self.follow(record)).await?;
        }
        self.interrupt.check()?;
        if driver.info().capabilities.ssh {
            self.interrupt.or(self.first_session(record, &authority, &notify)).await?;
        }
        self.finish_provision(record, authority).await
    }

    /// Makes the keys and the first-boot data of a plan, and saves all that a repeat needs.
    fn prepare(&self, record: &mut Record, plan: Plan) -> Result<()> {
        for (label, value) in &plan.summary {
            tracing::info!(machine = record.name, "{label}: {value}");
        }
        let keys = self.prepare_login(record, &plan)?;
        self.prepare_boot_data(record, &plan, &keys)?;
        record.plan = Some(plan);
        record.attempt = Some(AttemptToken(random_id()));
        record.answered = false;
        Ok(())
    }

    /// Connects to the provider and has the request checked; nothing is made.
    async fn preflight(&self, record: &Record, driver: &dyn Driver) -> Result<(Plan, Arc<dyn Provider>)> {
        let checked = async {
            let provider = self.provider(record).await?;
            let spec = MachineSpec {
                name: record.name.clone(),
                config: record.config.clone(),
                engine_port: record.engine_port,
            };
            Ok((provider.preflight(&spec).await?, provider))
        };
        checked.await.map_err(|e: Error| {
            let kind = if e.kind() == Kind::Interrupted { Kind::Interrupted } else { Kind::PreCreate };
            e.with_kind(kind).context(format!("{} refuses to make machine \"{}\"", driver.info().name, record.name))
        })
    }

    /// Makes or copies the login key, and writes down how to log in.
    fn prepare_login(&self, record: &mut Record, plan: &Plan) -> Result<Keys> {
        let name = record.name.clone();
        let mut login = None;
        let key_file = match &plan.login.key {
            LoginKey::Generate => {
                let pair = KeyPair::generate_ed25519(&format!("rmachine {name}"))?;
                self.store
                    .write(&self.store.machine_file(&name, file::LOGIN_KEY), pair.private_openssh().as_bytes())?;
                self.store.write(
                    &self.store.machine_file(&name, file::LOGIN_KEY_PUBLIC),
                    format!("{}\n", pair.public_openssh()).as_bytes(),
                )?;
                login = Some(pair.public_openssh());
                file::LOGIN_KEY
            }
            LoginKey::File(path) => {
                login = Some(crate::ssh::public_half(path)?);
                let key = std::fs::read(path)
                    .map_err(|e| Error::usage(format!("cannot read the SSH key {}", path.display())).source(e))?;
                self.store.write(&self.store.machine_file(&name, file::COPIED_KEY), &key)?;
                file::COPIED_KEY
            }
            LoginKey::Default => "",
        };
        let seed = match plan.host_trust {
            HostTrust::Seeded => Some(KeyPair::generate_ed25519("rmachine seed")?),
            HostTrust::Given(_) | HostTrust::KnownHosts => None,
        };
        record.ssh = SshRecord {
            user: plan.login.user.clone(),
            port: plan.login.port,
            key_file: key_file.to_owned(),
            host_keys: seed.iter().map(KeyPair::public_openssh).collect(),
            seed_key: seed.as_ref().map(KeyPair::public_openssh),
        };
        Ok(Keys { login, seed })
    }

    /// Renders the first-boot data and saves it, so that a repeat sends the same bytes.
    fn prepare_boot_data(&self, record: &Record, plan: &Plan, keys: &Keys) -> Result<()> {
        let Some(boot) = &plan.boot_data else { return Ok(()) };
        let data = bootstrap::user_data(&BootSpec {
            form: boot.form,
            hostname: &record.name,
            login_user: &plan.login.user,
            login_public_key: keys.login.as_deref(),
            seed_host_key: keys.seed.as_ref(),
            engine: &record.engine,
            user_supplied: boot.user_supplied.as_deref(),
            limit: boot.limit,
        })?;
        self.store.write(&self.store.machine_file(&record.name, file::USER_DATA), &data)
    }

    /// Makes the instance: as planned, or where the cloud has no room for that, as the alternatives say.
    async fn make_instance(
        &self,
        record: &mut Record,
        provider: &dyn Provider,
        notify: &Arc<dyn Notify>,
    ) -> Result<api::Instance> {
        let name = record.name.clone();
        loop {
            let Some(request) = self.saved_request(record)? else {
                return Err(Error::new(Kind::Store, format!("the saved request of machine \"{name}\" is missing"))
                    .hint(format!("remove what its create left with `rmachine rm -y {name}`")));
            };
            let journal = RecordJournal::new(self, record, notify.clone());
            let error = match provider.create(&request, &journal).await {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            drop(journal);
            let nothing_lost = *error.left_behind() != LeftBehind::Unknown;
            if error.retryable() == Retry::Elsewhere && nothing_lost && !self.interrupt.is_raised() {
                if let Some(label) = next_attempt(record) {
                    let cause =
                        std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
                    notify.warn(&format!("{error}{cause}; trying {label}"));
                    self.save(record)?;
                    continue;
                }
            }
            return Err(Error::from(error).context(format!("cannot make the instance of machine \"{name}\"")));
        }
    }

    /// The request of the present attempt, from what was saved before it was first sent.
    fn saved_request(&self, record: &Record) -> Result<Option<CreateRequest>> {
        self.saved_request_in(record, &self.store.machine_directory(&record.name))
    }

    fn saved_request_in(&self, record: &Record, directory: &Path) -> Result<Option<CreateRequest>> {
        let (Some(plan), Some(attempt)) = (&record.plan, &record.attempt) else { return Ok(None) };
        let saved = |name: &str| self.store.read_bytes(&directory.join(name));
        let public_key = match &plan.login.key {
            LoginKey::Generate => {
                saved(file::LOGIN_KEY_PUBLIC)?.map(|key| String::from_utf8_lossy(&key).trim().to_owned())
            }
            LoginKey::File(_) => Some(crate::ssh::public_half(&directory.join(file::COPIED_KEY))?),
            LoginKey::Default => None,
        };
        let user_data = saved(file::USER_DATA)?;
        Ok(Some(CreateRequest {
            name: record.name.clone(),
            owner: record.owner.clone(),
            token: record.token.clone(),
            attempt: attempt.clone(),
            plan: plan.clone(),
            user_data,
            public_key,
            engine_port: record.engine_port,
        }))
    }

    /// The request of an attempt that was never answered, as it was saved in `directory`.
    pub(super) fn unanswered_in(&self, record: &Record, directory: &Path) -> Result<Option<CreateRequest>> {
        if record.instance.is_some() || record.answered { Ok(None) } else { self.saved_request_in(record, directory) }
    }

    /// Removes what a failed create made, and says what is left when that fails too.
    async fn undo(&self, record: &mut Record, error: Error, keep: bool) -> Error {
        let name = record.name.clone();
        let notify = self.talk.about(&name);
        if !record.phase.may_hold_resources() {
            return match self.store.remove(&name) {
                Ok(()) => error,
                Err(e) => error.hint(format!("its directory could not be removed: {e}")),
            };
        }
        if keep {
            return error.hint(format!(
                "everything was kept; look with `rmachine ssh {name}`, remove it with `rmachine rm -y {name}`"
            ));
        }
        notify.progress("removing what was made");
        match self.destroy(record, voice(&notify)).await {
            Ok(()) => {
                notify.warn("the create failed; all that it made was removed");
                error
            }
            Err(left) => {
                let error = error.hint(format!("removing what was made failed as well: {left}"));
                error.hint(format!("repeat it with `rmachine rm -y {name}`"))
            }
        }
    }
}

/// The record of a machine that nothing was done for yet.
pub(super) fn fresh_record(
    name: &str,
    driver: &str,
    engine: &EngineSpec,
    config: serde_json::Value,
    engine_port: Option<u16>,
    owner: api::Owner,
) -> Record {
    let engine_port = engine_port.unwrap_or(ENGINE_PORT);
    let engine = EngineSpec { provider_label: Some(driver.to_owned()), port: engine_port, ..engine.clone() };
    Record {
        version: RECORD_VERSION,
        name: name.to_owned(),
        driver: driver.to_owned(),
        created: OffsetDateTime::now_utc(),
        owner,
        token: MachineToken(random_id()),
        phase: Phase::Reserved,
        power: Power::Running,
        config,
        engine_port,
        engine,
        extra_sans: Vec::new(),
        plan: None,
        attempt: None,
        answered: false,
        intents: Vec::new(),
        resources: Vec::new(),
        instance: None,
        ssh: SshRecord::default(),
        host: None,
        protected: false,
    }
}

/// Puts the next alternative in the place of the plan, with a token of its own; answers what is tried then.
fn next_attempt(record: &mut Record) -> Option<String> {
    let plan = record.plan.as_mut()?;
    if plan.alternatives.is_empty() {
        return None;
    }
    let next = plan.alternatives.remove(0);
    if let (Some(resolved), serde_json::Value::Object(changes)) = (plan.resolved.as_object_mut(), next.changes) {
        resolved.extend(changes);
    }
    plan.arch = next.arch.or(plan.arch.take());
    record.attempt = Some(AttemptToken(random_id()));
    record.answered = false;
    Some(next.label)
}

/// Whether an engine has to be brought up at all.
pub(super) fn wants_engine(record: &Record) -> bool {
    record.engine.source != EngineSource::None
}
