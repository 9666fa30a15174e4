//! What a create sends: the keys, the first-boot data and the request, saved before they are sent, so that a repeat
//! sends the same bytes.

use std::path::Path;

use rmachine_bootstrap::{self as bootstrap, BootSpec};
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::{AttemptToken, CreateRequest, HostTrust, LoginKey, Plan};
use rmachine_ssh::KeyPair;
use rmachine_store::{
    Record, SshRecord,
    audit::{Event, Key},
    file,
};
use zeroize::Zeroizing;

use super::{Core, audit};

/// Keys that exist only while the machine is made.
struct Keys {
    /// Public half of the login key, where we know it.
    login: Option<String>,
    seed: Option<KeyPair>,
}

impl Core {
    /// Makes the keys and the first-boot data of a plan, and saves all that a repeat needs.
    pub(super) fn prepare(&self, record: &mut Record, plan: Plan) -> Result<()> {
        for (label, value) in &plan.summary {
            tracing::info!(machine = record.name, "{label}: {value}");
        }
        let keys = self.prepare_login(record, &plan)?;
        self.prepare_boot_data(record, &plan, &keys)?;
        record.plan = Some(plan);
        record.attempt = Some(AttemptToken::from_bits(rand::random()));
        record.answered = false;
        Ok(())
    }

    /// Makes or copies the login key, and writes down how to log in.
    fn prepare_login(&self, record: &mut Record, plan: &Plan) -> Result<Keys> {
        let name = record.name.clone();
        let mut login = None;
        let key_file = match &plan.login.key {
            LoginKey::Generate => {
                let pair = KeyPair::generate_ed25519(&format!("rmachine {name}"))?;
                self.audit(&name, &[audit::key_made(Key::Login, &pair.public_openssh())?])?;
                self.write_login(&name, pair.private_openssh().as_bytes(), &pair.public_openssh())?;
                login = Some(pair.public_openssh());
                file::LOGIN_KEY
            }
            LoginKey::File(path) => {
                let public = rmachine_ssh::public_half(path)?;
                let fingerprint = rmachine_ssh::fingerprint(&public)?;
                self.audit(&name, &[Event::KeyCopied { key: Key::Login, fingerprint }])?;
                let key = std::fs::read(path)
                    .map(Zeroizing::new)
                    .map_err(|e| Error::usage(format!("cannot read the SSH key {}", path.display())).source(e))?;
                self.write_login(&name, &key, &public)?;
                login = Some(public);
                file::LOGIN_KEY
            }
            LoginKey::Default => "",
        };
        let seed = match plan.host_trust {
            HostTrust::Seeded => {
                let seed = KeyPair::generate_ed25519("rmachine seed")?;
                self.audit(&name, &[audit::key_made(Key::Seed, &seed.public_openssh())?])?;
                Some(seed)
            }
            HostTrust::Given(_) | HostTrust::KnownHosts => None,
        };
        record.ssh = SshRecord {
            user: plan.login.user.clone(),
            port: plan.login.port,
            key_file: key_file.to_owned(),
            host_keys: seed.iter().map(KeyPair::public_openssh).collect(),
            seed_key: seed.as_ref().map(KeyPair::public_openssh),
            ..std::mem::take(&mut record.ssh)
        };
        Ok(Keys { login, seed })
    }

    fn write_login(&self, name: &str, private: &[u8], public: &str) -> Result<()> {
        self.store.write(&self.store.machine_file(name, file::LOGIN_KEY), private)?;
        self.store.write(&self.store.machine_file(name, file::LOGIN_KEY_PUBLIC), format!("{public}\n").as_bytes())
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

    /// The request of the present attempt, from what was saved before it was first sent.
    pub(super) fn saved_request(&self, record: &Record) -> Result<Option<CreateRequest>> {
        self.saved_request_in(record, &self.store.machine_directory(&record.name))
    }

    fn saved_request_in(&self, record: &Record, directory: &Path) -> Result<Option<CreateRequest>> {
        let (Some(plan), Some(attempt)) = (&record.plan, &record.attempt) else { return Ok(None) };
        let saved = |name: &str| self.store.read_bytes(&directory.join(name));
        let public_key = match &plan.login.key {
            LoginKey::Generate => saved(&format!("{}.pub", record.ssh.key_file))?
                .map(|key| String::from_utf8_lossy(&key).trim().to_owned()),
            // A key that is gone must not keep rm from its work; a login will say that it is.
            LoginKey::File(_) => rmachine_ssh::public_half(&directory.join(&record.ssh.key_file)).ok(),
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
            engine_through_ssh: record.tunnel_port.is_some(),
            sent_before: !record.intents.is_empty(),
        }))
    }

    /// The request of an attempt that was never answered, as it was saved in `directory`.
    pub(super) fn unanswered_in(&self, record: &Record, directory: &Path) -> Result<Option<CreateRequest>> {
        if record.instance.is_some() || record.answered { Ok(None) } else { self.saved_request_in(record, directory) }
    }
}
