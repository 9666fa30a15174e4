//! `adopt`: a new record for a machine of ours that has lost its own.

use std::path::PathBuf;

use rmachine_bootstrap as bootstrap;
use rmachine_model::{
    EngineSpec,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{
    self as api, Cx, HostTrust, InstanceId, MachineState, MachineToken, Notify, Owner, Provider, Stray, Values,
};
use rmachine_ssh::{KeyPair, Session, Target};
use rmachine_store::{
    Phase, Record, SshRecord,
    audit::{Event, Key},
    check_name, file,
};

use super::{
    Core, Created, SshRoute, audit,
    contact::Vouch,
    create::fresh_record,
    open::{CONNECT_PATIENTLY, Machine},
    spec::configured,
    voice,
};

/// What `adopt` is asked for.
#[derive(Debug, Clone)]
pub struct AdoptOptions {
    /// The provider's id of the instance.
    pub id: String,
    /// Name of the driver.
    pub driver: String,
    /// Values of the driver's flags: where to look, how to reach it.
    pub values: Values,
    /// Name in this store; else the one in the instance's tag.
    pub name: Option<String>,
    /// The store that the instance's tag names, where that is another one.
    pub owner: Option<Owner>,
    /// Private key that the host knows; else the provider lets a new one in.
    pub ssh_key: Option<PathBuf>,
    /// The host's key or its fingerprint; else known_hosts or the user's word.
    pub host_key: Option<String>,
    /// Reach the engine through SSH only.
    pub ssh_tunnel: bool,
    /// The way to its sshd.
    pub ssh_route: SshRoute,
    /// What the engine shall be.
    pub engine: EngineSpec,
}

impl Core {
    /// Gives a record back to an instance of ours: a new login key, new certificates. What runs on it runs on.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when it has a record or belongs to another store, [`Kind::Ssh`] when it lets nobody in. Until
    /// the first login nothing is changed; after that the record stays, and `provision` goes on.
    pub async fn adopt(&self, options: &AdoptOptions) -> Result<Created> {
        let driver = self.drivers.get(&options.driver)?.clone();
        let configured = configured(driver.as_ref(), &options.values)?;
        let notify = self.talk.about(options.name.as_deref().unwrap_or(&options.id));
        notify.progress("looking at the instance");
        let provider = driver.connect(&configured.config, &configured.secrets, notify.clone()).await?;
        let id: InstanceId = options.id.parse().map_err(|e| Error::usage("no id of an instance").source(e))?;
        let stray = provider.examine(&id).await?;
        let own = self.store.prepare()?;
        let token = check_owner(&stray, &own, options.owner.as_ref())?;
        let name = options.name.clone().or_else(|| stray.resource.machine.clone()).ok_or_else(|| {
            Error::usage(format!("the instance {id} has no name in its tags")).hint("give one with --name NAME")
        })?;
        check_name(&name)?;
        let lock = self.lock(&name).await?;
        let damaged = self.require_free(&name, &token)?;
        if options.ssh_tunnel {
            super::tunnel::require_ssh(driver.as_ref(), "--ssh-tunnel")?;
        }
        options.ssh_route.validate(driver.as_ref())?;
        self.warn_of_engine(&name, &options.engine)?;
        let mut record = record_of(options, &stray, &name, own, token, configured.engine_port);
        record.engine.on_loopback = options.ssh_tunnel;
        record.tunnel_port = options.ssh_tunnel.then(|| self.free_port()).transpose()?;
        let instance = stray.instance.clone();
        record.instance = Some(running(provider.as_ref(), &stray, instance, &self.cx(voice(&notify))).await?);
        let mut machine = self.hold(record, lock);
        machine.notify = notify.clone();
        let pair = KeyPair::generate_ed25519(&format!("rmachine {name}"))?;
        let session = self.first_login(options, &mut machine, provider.as_ref(), &pair, voice(&notify)).await?;
        let from = stray.resource.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        self.audit(
            &name,
            &[
                audit::key_made(Key::Login, &pair.public_openssh())?,
                Event::Adopted { instance: options.id.clone(), from },
            ],
        )?;
        provider.claim(&machine.token, &machine.owner, &name, &self.cx(voice(&notify))).await.map_err(|e| {
            Error::from(e).context(format!("the instance {id} stays with the store that it belongs to"))
        })?;
        // From here on it is this store's machine, and the record stays whatever comes.
        if damaged {
            let place = self.store.tombstones();
            notify.warn(&format!("the files of the damaged record are moved to {}", place.display()));
            self.store.entomb(&name)?;
        }
        self.store.reserve(&machine, self.legacy_fields(&machine), &configured.secrets)?;
        let write =
            |name: &str, text: &str| self.store.write(&self.store.machine_file(&machine.name, name), text.as_bytes());
        write(file::LOGIN_KEY, pair.private_openssh())?;
        write(file::LOGIN_KEY_PUBLIC, &format!("{}\n", pair.public_openssh()))?;
        self.store.remember_place(&machine.driver, &driver.scope(&machine.config), &machine.config)?;
        machine.enter(Phase::Provisioning)?;
        let authority = self.load_authority(&mut machine, false).await?;
        if let Some(session) = session {
            let result = self.provision_over(&mut machine, &session, &authority).await;
            session.close().await;
            result.map_err(|e| e.hint(format!("it is in the store now: go on with `rmachine provision {name}`")))?;
        }
        self.finish_provision(&mut machine, authority).await?;
        if self.has_host(&machine) {
            let ended = self.end_old_keys(&mut machine, stray.resource.machine.as_deref()).await.map_err(|e| {
                e.context(format!("machine \"{name}\" is in the store now, and its earlier keys log in still"))
                    .hint(format!("`rmachine rotate-keys {name}` ends that"))
            })?;
            ended.lines().iter().for_each(|line| notify.warn(line));
        } else {
            machine.commit(|record| record.ssh.inherited = false)?;
        }
        Ok(Created { record: machine.into_record() })
    }

    /// Refuses a name that is taken and an instance that has a record; answers whether a record of that name is there
    /// that does not read, and makes room when the machine is adopted.
    fn require_free(&self, name: &str, token: &MachineToken) -> Result<bool> {
        for known in self.store.names()? {
            if let Ok(record) = self.store.load(&known)
                && record.token == *token
            {
                let error = Error::new(Kind::Conflict, format!("machine \"{known}\" has the record of this instance"));
                return Err(match record.phase.is_unfinished() {
                    true => {
                        error.hint(format!("`rmachine provision {known}`, or the same create again, goes on with it"))
                    }
                    false => error.hint(format!("`rmachine status {known}` shows how it is")),
                });
            }
        }
        if !self.store.exists(name) {
            return Ok(false);
        }
        match self.store.load(name) {
            Ok(_) => Err(Error::new(Kind::Conflict, format!("machine \"{name}\" already exists"))
                .hint("give the adopted one another name with --name NAME")),
            Err(_) => Ok(true),
        }
    }

    /// Logs in by the key that is given, by what the provider lets in, or by the user's own keys, and lets the
    /// machine's new key in. `None` where the driver has no SSH.
    async fn first_login(
        &self,
        options: &AdoptOptions,
        machine: &mut Machine<'_>,
        provider: &dyn Provider,
        pair: &KeyPair,
        notify: &dyn Notify,
    ) -> Result<Option<Session>> {
        if !self.driver(machine)?.info().capabilities.ssh {
            return Ok(None);
        }
        // The record and its key come into the store only after the login.
        let directory = self.store.scratch()?;
        let key = directory.path().join(file::LOGIN_KEY);
        self.store.write(&key, pair.private_openssh().as_bytes())?;
        notify.progress("waiting for SSH");
        self.trust_host(machine, Vouch::Flag("--host-key"), std::time::Duration::ZERO).await?;
        let ours = Target { keys: vec![key], ..self.target(machine)? };
        let session = match &options.ssh_key {
            Some(key) => self.connect(machine, &Target { keys: vec![key.clone()], ..ours }, CONNECT_PATIENTLY).await?,
            None => self.be_let_in(machine, provider, pair, ours, notify).await?,
        };
        if machine.ssh.host_keys.is_empty() {
            self.pin(machine, session.host_key(), "a known_hosts file or a flag")?;
        }
        notify.progress("letting the new login key in");
        bootstrap::authorize_key(&session, &pair.public_openssh()).await?;
        Ok(Some(session))
    }

    async fn be_let_in(
        &self,
        record: &Record,
        provider: &dyn Provider,
        pair: &KeyPair,
        ours: Target,
        notify: &dyn Notify,
    ) -> Result<Session> {
        let Some(instance) = &record.instance else { return Err(super::shell::no_address(record)) };
        notify.progress("asking the provider to let the new key in");
        let by_hand = "give a key that the host knows with --ssh-key PATH";
        let error =
            match provider.let_in(&instance.id, &record.ssh.user, &pair.public_openssh(), &self.cx(notify)).await {
                Ok(()) => match self.connect(record, &ours, CONNECT_PATIENTLY).await {
                    Ok(session) => return Ok(session),
                    Err(error) => {
                        error.hint("the instance may have no EC2 Instance Connect (package ec2-instance-connect)")
                    }
                },
                Err(error) if error.kind() == api::Kind::Unsupported => Error::from(error).with_kind(Kind::Ssh),
                Err(error) => return Err(Error::from(error).hint(by_hand)),
            };
        let keys = super::shell::default_keys();
        match Session::connect(&Target { keys, offer_agent: true, ..ours }, CONNECT_PATIENTLY).await {
            Ok(session) => Ok(session),
            Err(second) => {
                tracing::debug!("the keys of ~/.ssh: {second}");
                Err(error.hint(by_hand))
            }
        }
    }
}

/// Whose it is: ours, or the one's that was named.
fn check_owner(stray: &Stray, own: &Owner, named: Option<&Owner>) -> Result<MachineToken> {
    let id = &stray.instance.id;
    let owner = stray.resource.owner.as_ref();
    if owner.is_none() || (owner != Some(own) && owner != named) {
        let of = owner.map_or_else(|| "nobody".to_owned(), ToString::to_string);
        return Err(Error::new(Kind::Conflict, format!("the instance {id} belongs to another store, {of}"))
            .hint(format!("if that store is lost, take it over with --owner {of}"))
            .hint("a store that is still there would count it as its own as well"));
    }
    let token = stray.resource.token.clone();
    token.ok_or_else(|| Error::new(Kind::Conflict, format!("the instance {id} has no token of rmachine in its tags")))
}

fn record_of(
    options: &AdoptOptions,
    stray: &Stray,
    name: &str,
    owner: Owner,
    token: MachineToken,
    engine_port: Option<u16>,
) -> Record {
    let mut plan = stray.plan.clone();
    if let Some(key) = &options.host_key {
        plan.host_trust = HostTrust::Given(key.clone());
    }
    let ssh = SshRecord {
        user: plan.login.user.clone(),
        port: plan.login.port,
        key_file: file::LOGIN_KEY.to_owned(),
        // Whoever has the lost store; the end of `adopt`, or what goes on with it, ends that.
        inherited: true,
        ..options.ssh_route.in_record()
    };
    let fresh = fresh_record(name, &options.driver, &options.engine, stray.config.clone(), engine_port, owner);
    Record {
        token,
        created: stray.resource.created.unwrap_or(fresh.created),
        phase: Phase::Booting,
        plan: Some(plan),
        answered: true,
        resources: vec![stray.resource.clone()],
        ssh,
        ..fresh
    }
}

/// The instance, which is started when it is stopped.
async fn running(
    provider: &dyn Provider,
    stray: &Stray,
    mut instance: api::Instance,
    cx: &Cx<'_>,
) -> Result<api::Instance> {
    match stray.state {
        MachineState::Running => Ok(instance),
        MachineState::Stopped | MachineState::Stopping | MachineState::Starting => {
            cx.progress("starting");
            instance.addresses = provider.start(&instance.id, cx).await?.addresses;
            Ok(instance)
        }
        state => {
            let text = format!("the instance {} is {state:?}", instance.id).to_lowercase();
            Err(Error::new(Kind::Conflict, text).hint("only an instance that runs or can be started has a way in"))
        }
    }
}
