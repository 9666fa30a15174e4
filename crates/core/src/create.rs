//! `create`: from a name to a usable engine, saved at every step, undone when it fails.

use std::sync::Arc;

use rmachine_bootstrap as bootstrap;
use rmachine_certs::Sans;
use rmachine_model::{
    EngineSource, EngineSpec,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{
    self as api, AttemptToken, Cx, Driver, LeftBehind, MachineToken, Notify, Plan, PreflightRequest, Provider, Retry,
};
use rmachine_store::{Phase, Power, RECORD_VERSION, Record, SshRecord, Trust, audit::Event, check_name};
use time::OffsetDateTime;

use super::{
    Core, ENGINE_PORT, MachineSpec, SshRoute, audit::instance_of, journal::RecordJournal, open::Machine,
    spec::configured, tunnel, voice,
};

/// A finished `create`.
#[derive(Debug, Clone)]
pub struct Created {
    /// The machine.
    pub record: Record,
}

impl Core {
    /// Makes a machine. A failure undoes what was made, unless `keep_on_failure`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] and [`Kind::PreCreate`] before anything is made; else what went wrong, with
    /// what is left in a hint.
    pub async fn create(&self, spec: MachineSpec) -> Result<Created> {
        check_name(&spec.name)?;
        let driver = self.drivers.get(&spec.driver)?.clone();
        bootstrap::check(&spec.engine)?;
        Sans::parse(&spec.tls_sans)?;
        let configured = configured(driver.as_ref(), &spec.flags)?;
        let name = spec.name.as_str();
        if spec.ssh_tunnel {
            tunnel::require_ssh(driver.as_ref(), "--ssh-tunnel")?;
        }
        spec.ssh_route.validate(driver.as_ref())?;
        let resumed = self.may_go_on(name)?;
        if driver.info().capabilities.engine {
            self.warn_of_engine(name, &spec.engine)?;
        }
        let owner = self.store.prepare()?;
        // Where another process makes it right now, a second create has nothing to wait for.
        let lock = if resumed { self.lock_at_once(name)? } else { self.lock(name).await? };
        if driver.places(&configured.config, &[]).is_ok() {
            self.store.remember_place(&spec.driver, &driver.scope(&configured.config), &configured.config)?;
        }
        let engine = EngineSpec { on_loopback: spec.ssh_tunnel, ..spec.engine.clone() };
        let fresh = Record {
            ssh: spec.ssh_route.in_record(),
            extra_sans: spec.tls_sans.clone(),
            tunnel_port: spec.ssh_tunnel.then(|| self.free_port()).transpose()?,
            ..fresh_record(name, &spec.driver, &engine, configured.config, configured.engine_port, owner)
        };
        let mut machine = match self.may_go_on(name)? {
            true => {
                let mut machine = self.hold(self.record_to_go_on_with(fresh)?, lock);
                self.store.save_secrets(name, &configured.secrets)?;
                let phase = machine.phase.word();
                machine.notify.warn(&format!("going on with a create that ended while the machine was {phase}"));
                self.interrupt.or(self.can_go_on(&mut machine)).await?;
                machine
            }
            false => {
                self.audit(
                    name,
                    &[Event::CreationBegun { driver: fresh.driver.clone(), token: fresh.token.to_string() }],
                )?;
                self.store.reserve(&fresh, self.legacy_fields(&fresh), &configured.secrets)?;
                self.hold(fresh, lock)
            }
        };
        let result = Box::pin(self.make(&mut machine, driver.as_ref())).await;
        match result {
            Ok(()) => {
                self.audit_or_warn(name, &[Event::Created { instance: instance_of(&machine) }]);
                Ok(Created { record: machine.into_record() })
            }
            Err(error) => Err(self.undo(&mut machine, error, spec.keep_on_failure).await),
        }
    }

    /// Says what the user should know of the engine that is asked for.
    pub(super) fn warn_of_engine(&self, name: &str, engine: &EngineSpec) -> Result<()> {
        let notify = self.talk.about(name);
        bootstrap::warnings(engine)?.iter().for_each(|warning| notify.warn(warning));
        Ok(())
    }

    /// Refuses a name that [`Core::create`] would refuse because a machine has it.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`].
    pub fn check_free(&self, name: &str) -> Result<()> {
        self.may_go_on(name).map(drop)
    }

    /// Whether there is an unfinished create of this name; a finished machine is a conflict.
    fn may_go_on(&self, name: &str) -> Result<bool> {
        if !self.store.exists(name) {
            return Ok(false);
        }
        let known_as = format!("Docker machine \"{name}\" already exists");
        let taken =
            || Error::new(Kind::Conflict, format!("machine \"{name}\" already exists")).known_as(known_as.as_str());
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
                .known_as(known_as.as_str())
                .hint("choose another name")),
        }
    }

    /// The record to go on with, when it asks for what `wanted` asks for.
    fn record_to_go_on_with(&self, wanted: Record) -> Result<Record> {
        let name = &wanted.name;
        let record = self.store.load(name)?;
        let same = record.driver == wanted.driver
            && record.config == wanted.config
            && record.engine == wanted.engine
            && record.engine_port == wanted.engine_port
            && record.extra_sans == wanted.extra_sans
            && SshRoute::of(&record) == SshRoute::of(&wanted);
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

    /// Asks what a create that goes on needs. That it cannot be had now is no reason to undo what there is.
    async fn can_go_on(&self, machine: &mut Machine<'_>) -> Result<()> {
        let reached = async {
            self.load_store_authority(false).await?;
            self.provider(machine).await?;
            self.follow(machine).await
        };
        reached.await.map_err(|e: Error| {
            e.context(format!("cannot go on with the create of machine \"{}\" now", machine.name))
                .hint(format!("repeat it when that is mended; `rmachine rm -y {}` removes what was made", machine.name))
        })
    }

    /// Carries on from the phase that `machine` is in.
    async fn make(&self, machine: &mut Machine<'_>, driver: &dyn Driver) -> Result<()> {
        let notify = machine.notify.clone();
        notify.progress("checking the request");
        // Scripts look for the store's own as well.
        let of_store = self.load_store_authority(false);
        let provider = if machine.phase == Phase::Reserved {
            let (of_store, prepared) =
                tokio::join!(of_store, self.interrupt.or(self.preflight(machine, driver, voice(&notify))));
            let (plan, provider) = prepared?;
            of_store?;
            self.prepare(machine, plan)?;
            provider
        } else {
            of_store.await?;
            self.interrupt.or(self.provider(machine)).await?
        };
        let authority = self.load_authority(machine, false).await?;
        self.interrupt.check()?;
        if machine.phase == Phase::Reserved {
            machine.enter(Phase::Creating)?;
        }
        if machine.phase == Phase::Creating {
            let instance = self.make_instance(machine, provider.as_ref()).await?;
            machine.instance = Some(instance);
            machine.enter(Phase::Booting)?;
        }
        self.interrupt.check()?;
        if driver.info().capabilities.ssh {
            self.interrupt.or(Box::pin(self.first_session(machine, &authority))).await?;
        }
        self.finish_provision(machine, authority).await
    }

    /// Connects to the provider and has the request checked; nothing of the machine is made.
    async fn preflight(
        &self,
        record: &Record,
        driver: &dyn Driver,
        notify: &dyn Notify,
    ) -> Result<(Plan, Arc<dyn Provider>)> {
        let checked = async {
            let provider = self.provider(record).await?;
            let spec = PreflightRequest {
                name: record.name.clone(),
                config: record.config.clone(),
                engine_port: record.engine_port,
            };
            Ok((provider.preflight(&spec, &self.cx(notify)).await?, provider))
        };
        checked.await.map_err(|e: Error| {
            let kind = if e.kind() == Kind::Interrupted { Kind::Interrupted } else { Kind::PreCreate };
            e.with_kind(kind).context(format!("{} refuses to make machine \"{}\"", driver.info().name, record.name))
        })
    }

    /// Makes the instance: as planned, or where the cloud has no room for that, as the alternatives say.
    async fn make_instance(&self, machine: &mut Machine<'_>, provider: &dyn Provider) -> Result<api::Instance> {
        let name = machine.name.clone();
        loop {
            let Some(request) = self.saved_request(machine)? else {
                return Err(Error::new(Kind::Store, format!("the saved request of machine \"{name}\" is missing"))
                    .hint(format!("remove what its create left with `rmachine rm -y {name}`")));
            };
            let notify = machine.notify.clone();
            let journal = RecordJournal::new(machine);
            let error = match provider.create(&request, &self.cx(voice(&notify)).journal(&journal)).await {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            let nothing_lost = *error.left_behind() != LeftBehind::Unknown;
            let elsewhere = error.retryable() == Retry::Elsewhere && nothing_lost && !self.interrupt.is_raised();
            if elsewhere && let Some(label) = next_attempt(machine) {
                let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
                machine.notify.warn(&format!("{error}{cause}; trying {label}"));
                machine.save()?;
                continue;
            }
            if error.kind() == api::Kind::Cancelled {
                return Err(error.into());
            }
            // What fails when the user has interrupted it, as a child that got the signal as well, is no reason of its own.
            if self.interrupt.is_raised() {
                return Err(Error::new(Kind::Interrupted, "interrupted").source(Error::from(error)));
            }
            return Err(Error::from(error).context(format!("cannot make the instance of machine \"{name}\"")));
        }
    }

    /// Removes what a failed create made, and says what is left when that fails too.
    async fn undo(&self, machine: &mut Machine<'_>, error: Error, keep: bool) -> Error {
        let name = machine.name.clone();
        if !machine.phase.may_hold_resources() {
            self.sweep(machine);
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
        machine.notify.progress("removing what was made");
        // Whoever has interrupted the create does not mean this.
        let notify = machine.notify.clone();
        match self.destroy(machine, &Cx::new(voice(&notify))).await {
            Ok(()) => {
                machine.notify.warn("the create failed; all that it made was removed");
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
        token: MachineToken::from_bits(rand::random()),
        phase: Phase::Reserved,
        power: Power::Running,
        config,
        engine_port,
        tunnel_port: None,
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
        trust: Trust::default(),
        ends_old_trust: false,
        protected: false,
        renamed: None,
        imported: false,
        foreign: None,
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
    record.attempt = Some(AttemptToken::from_bits(rand::random()));
    record.answered = false;
    Some(next.label)
}

/// Whether an engine has to be brought up at all.
pub(super) fn wants_engine(record: &Record) -> bool {
    record.engine.source != EngineSource::None
}
