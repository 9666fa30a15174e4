//! `create`: from a name to a usable engine, saved at every step, undone when it fails.

use std::sync::Arc;

use rmachine_provider_api::{
    self as api, AttemptToken, CreateRequest, Driver, HostTrust, LoginKey, MachineSpec, MachineToken, Notify, Plan,
    Provider, Values,
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
        if self.store.exists(name) {
            return Err(self.name_taken(name));
        }
        let owner = self.store.prepare()?;
        let _lock = self.lock(name).await?;
        if self.store.exists(name) {
            return Err(self.name_taken(name));
        }
        let mut record = Record {
            version: RECORD_VERSION,
            name: options.name.clone(),
            driver: options.driver.clone(),
            created: OffsetDateTime::now_utc(),
            owner,
            token: MachineToken(random_id()),
            phase: Phase::Reserved,
            power: Power::Running,
            config: configured.config,
            engine_port: configured.engine_port.unwrap_or(ENGINE_PORT),
            engine: options.engine.clone(),
            extra_sans: options.tls_sans.clone(),
            plan: None,
            attempt: None,
            intents: Vec::new(),
            resources: Vec::new(),
            instance: None,
            ssh: SshRecord::default(),
            host: None,
        };
        record.engine.provider_label = Some(options.driver.clone());
        record.engine.port = record.engine_port;
        self.store.reserve(&record, self.legacy_fields(&record), &configured.secrets)?;
        let result = self.make(&mut record, driver.as_ref()).await;
        match result {
            Ok(()) => Ok(Created { record }),
            Err(error) => Err(self.undo(&mut record, error, options.keep_on_failure).await),
        }
    }

    fn name_taken(&self, name: &str) -> Error {
        let error = Error::new(Kind::Conflict, format!("machine \"{name}\" already exists"));
        match self.store.load(name) {
            Ok(record) if record.phase != Phase::Ready => error.hint(format!(
                "its create did not end; remove what it left with `rmachine rm -y {name}`, then create it again"
            )),
            _ => error.hint(format!("choose another name, or remove it with `rmachine rm {name}`")),
        }
    }

    async fn make(&self, record: &mut Record, driver: &dyn Driver) -> Result<()> {
        let notify = self.talk.about(&record.name);
        notify.progress("checking the request");
        let store = self.store.clone();
        let authority = blocking(move || Self::authority(&store, false));
        let plan = self.interrupt.or(self.preflight(record, driver));
        let (authority, plan) = tokio::join!(authority, plan);
        let (plan, provider) = plan?;
        let authority = authority?;
        for (label, value) in &plan.summary {
            tracing::info!(machine = record.name, "{label}: {value}");
        }
        let keys = self.prepare_login(record, &plan)?;
        let user_data = self.prepare_boot_data(record, &plan, &keys)?;
        let attempt = AttemptToken(random_id());
        record.plan = Some(plan.clone());
        record.attempt = Some(attempt.clone());
        self.interrupt.check()?;
        self.enter(record, Phase::Creating)?;
        let request = request(record, attempt, plan, user_data, keys.login);
        let instance = self.make_instance(record, provider.as_ref(), &request, notify.clone()).await?;
        record.instance = Some(instance);
        self.enter(record, Phase::Booting)?;
        self.interrupt.check()?;
        if driver.info().capabilities.ssh {
            self.interrupt.or(self.first_session(record, &authority, &notify)).await?;
        }
        self.finish_provision(record, authority).await
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
    fn prepare_boot_data(&self, record: &Record, plan: &Plan, keys: &Keys) -> Result<Option<Vec<u8>>> {
        let Some(boot) = &plan.boot_data else { return Ok(None) };
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
        self.store.write(&self.store.machine_file(&record.name, file::USER_DATA), &data)?;
        Ok(Some(data))
    }

    async fn make_instance(
        &self,
        record: &mut Record,
        provider: &dyn Provider,
        request: &CreateRequest,
        notify: Arc<dyn Notify>,
    ) -> Result<api::Instance> {
        let name = record.name.clone();
        let journal = RecordJournal::new(self, record, notify);
        provider
            .create(request, &journal)
            .await
            .map_err(|e| Error::from(e).context(format!("cannot make the instance of machine \"{name}\"")))
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

/// The request of one attempt to make the machine of `record`.
pub(super) fn request(
    record: &Record,
    attempt: AttemptToken,
    plan: Plan,
    user_data: Option<Vec<u8>>,
    public_key: Option<String>,
) -> CreateRequest {
    CreateRequest {
        name: record.name.clone(),
        owner: record.owner.clone(),
        token: record.token.clone(),
        attempt,
        plan,
        user_data,
        public_key,
        engine_port: record.engine_port,
    }
}

/// Whether an engine has to be brought up at all.
pub(super) fn wants_engine(record: &Record) -> bool {
    record.engine.source != EngineSource::None
}
