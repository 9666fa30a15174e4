//! The gate for records that others wrote: a record is built anew from a short list of fields, each of a type of its own.
//!
//! Read are the machine's identity (token, owner, instance id), its address and login, the driver's place, and switches.
//! Never read are commands and routes (`ProxyCommand`, `ProxyJump`), paths, URLs but driver none's, names for
//! certificates, plans, attempts, intents, resources, and what a host said: whatever stands there, nothing comes of it.

use std::num::NonZeroU16;

use rmachine_model::{
    EngineSource, EngineSpec,
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{
    Addresses, Driver, Elsewhere, HostAddress, Instance, InstanceId, Kind as ApiKind, LegacyFields, Login, LoginKey,
    MachineToken, Owner, Secrets, no_fields,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Foreign, Phase, Power, RECORD_VERSION, Record, SshRecord};

/// Most pinned keys of one host; it has one a type.
const MOST_HOST_KEYS: usize = 16;
/// Most characters of one of them; an RSA key of 16384 bits has some 2800.
const LONGEST_HOST_KEY: usize = 4096;
/// Longest login name; Linux takes 32, domains are longer.
const LONGEST_USER: usize = 104;
/// Most keys of a cloud, and most characters of one.
const MOST_SECRETS: usize = 16;
const LONGEST_SECRET: usize = 8192;

/// A section `Rmachine` of a document that others wrote.
struct Section<'a> {
    name: &'a str,
    fields: &'a Value,
}

impl Section<'_> {
    fn at(&self, path: &str) -> &Value {
        path.split('.').fold(self.fields, |value, key| &value[key])
    }

    /// The field at `path`, of its type; missing and null are none.
    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let value = self.at(path);
        if value.is_null() {
            return Ok(None);
        }
        T::deserialize(value).map(Some).map_err(|e| refused(self.name, path, &e.to_string()))
    }

    fn need<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(path)?.ok_or_else(|| refused(self.name, path, "it is missing"))
    }

    fn object(&self, path: &str) -> &Map<String, Value> {
        self.at(path).as_object().unwrap_or_else(|| no_fields())
    }

    fn is_set(&self, path: &str) -> bool {
        match self.at(path) {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => !text.is_empty(),
            _ => true,
        }
    }
}

/// The refusal of a field.
pub fn refused(name: &str, field: &str, why: &str) -> Error {
    Error::new(Kind::Store, format!("the record of machine \"{name}\" is not taken"))
        .source(format!("{field}: {why}"))
        .hint("where a rmachine wrote it, export it anew; nothing else is believed of a record that others wrote")
}

impl Record {
    /// Builds a record anew from the document `document` that another store wrote for machine `name`; answers with it
    /// what its user should know. `engine` and `secrets` came with it. Files that it names are the caller's to check.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] that names the field.
    pub fn from_elsewhere(
        mut document: Map<String, Value>,
        name: &str,
        drivers: &Drivers,
        engine: EngineSpec,
        secrets: &Secrets,
    ) -> Result<(Self, Vec<String>)> {
        let Some(section) = document.shift_remove(super::document::SECTION) else {
            return Err(refused(name, super::document::SECTION, "it is missing: the record is docker-machine's own"));
        };
        let section = Section { name, fields: &section };
        let version: u32 = section.need("Version")?;
        if version > RECORD_VERSION {
            return Err(refused(name, "Version", "it is from a newer rmachine")
                .hint(format!("it has format {version}, this program knows {RECORD_VERSION}: update rmachine")));
        }
        if section.need::<Phase>("Phase")? != Phase::Ready {
            return Err(refused(name, "Phase", "its create or rm did not end"));
        }
        let driver: String = section.need("Driver")?;
        check_driver(name, &driver)?;
        let imported: bool = section.read("Imported")?.unwrap_or(false);
        let id: InstanceId = section.need("Instance.id")?;
        let address: Option<HostAddress> = section.read("Instance.addresses.dial")?;
        let login = Login { user: user(&section)?, port: port(&section, "Ssh.Port", 22)?, key: LoginKey::Default };
        let port = port(&section, "EnginePort", 2376)?;
        let tunnel_port = section.read::<NonZeroU16>("TunnelPort")?.map(NonZeroU16::get);
        check_secrets(name, secrets)?;
        let config = section.object("Config");
        // docker-machine's, of a driver that was not there either: what needs one cannot be done.
        let lacks_driver = imported && config.is_empty();
        let vetted = match lacks_driver {
            true => None,
            false => {
                let said = Elsewhere {
                    config: LegacyFields(config),
                    details: LegacyFields(section.object("Instance.details")),
                    id: &id,
                    address: address.as_ref(),
                    login: &login,
                    name,
                };
                let known = drivers.get(&driver).map_err(|e| refused(name, "Driver", &e.to_string()))?;
                Some(vet(known.as_ref(), &said)?)
            }
        };
        let (config, plan, details, url) = match vetted {
            Some(vetted) => (vetted.config, Some(vetted.plan), vetted.details, vetted.url),
            None => (Value::Null, None, Value::Null, None),
        };
        let instance = Instance {
            addresses: Addresses {
                public: address.as_ref().and_then(HostAddress::ip).into_iter().collect(),
                dial: address,
                ..Addresses::default()
            },
            id,
            url,
            engine_port: section.read::<NonZeroU16>("Instance.engine_port")?.map(NonZeroU16::get),
            details,
        };
        let mut notes = Vec::new();
        for (path, what, remedy) in [
            (
                "Ssh.ProxyCommand",
                "SSH proxy command",
                format!("`rmachine provision --ssh-proxy-command … {name}` sets one"),
            ),
            (
                "Ssh.ProxyJump",
                "way over jump hosts",
                format!("`rmachine provision --ssh-proxy-jump … {name}` sets one"),
            ),
            (
                "ExtraSans",
                "list of other names for its certificate",
                "they were for clients that dial those".to_owned(),
            ),
        ] {
            if section.is_set(path) {
                notes.push(format!("its {what} is left out; {remedy}"));
            }
        }
        let engine = engine_of_others(engine, name, port, tunnel_port.is_some(), &driver, &mut notes)?;
        let seed_key: Option<String> = section.read("Ssh.SeedKey")?;
        let host_keys = host_keys(&section)?;
        let ssh = SshRecord {
            user: login.user,
            port: login.port,
            key_file: section.read("Ssh.KeyFile")?.unwrap_or_default(),
            seed_key: seed_key.filter(|key| host_keys.contains(key)),
            // Whoever takes it in says so.
            inherited: false,
            host_keys,
            proxy_jump: None,
            proxy_command: None,
        };
        let record = Self {
            version: RECORD_VERSION,
            name: name.to_owned(),
            created: created(&section)?,
            owner: section.need::<Owner>("Owner")?,
            token: section.need::<MachineToken>("Token")?,
            phase: Phase::Ready,
            power: section.read("Power")?.unwrap_or(Power::Running),
            config,
            engine_port: port,
            tunnel_port,
            engine,
            extra_sans: Vec::new(),
            plan,
            attempt: None,
            answered: true,
            intents: Vec::new(),
            resources: Vec::new(),
            instance: Some(instance),
            ssh,
            host: None,
            protected: section.read("Protected")?.unwrap_or(false),
            trust: section.read("Trust")?.unwrap_or_default(),
            ends_old_trust: section.read("EndsOldTrust")?.unwrap_or(false),
            renamed: None,
            imported,
            foreign: imported.then(|| Box::new(Foreign { document, ..Foreign::default() })),
            driver,
        };
        Ok((record, notes))
    }
}

/// The driver's part; its refusals name fields themselves.
fn vet(driver: &dyn Driver, said: &Elsewhere<'_>) -> Result<rmachine_provider_api::Vetted> {
    driver.vet(said).map_err(|error| match error.kind() {
        ApiKind::Unsupported => refused(said.name, "Driver", &error.to_string()),
        _ => refused(said.name, "Config", &error.to_string()),
    })
}

/// A driver's name, which is shown and looked for.
pub(super) fn check_driver(name: &str, driver: &str) -> Result<()> {
    let good =
        (1..=64).contains(&driver.len()) && driver.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if good { Ok(()) } else { Err(refused(name, "Driver", &format!("{driver:?} is no name of a driver"))) }
}

/// Whether `name` may be a login name: nothing that a shell, a configuration or a terminal takes for something else.
pub(super) fn is_user(name: &str) -> bool {
    name.len() <= LONGEST_USER
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '\\' | '$' | '+'))
}

fn user(section: &Section<'_>) -> Result<String> {
    let user: String = section.read("Ssh.User")?.unwrap_or_default();
    match is_user(&user) {
        true => Ok(user),
        false => Err(refused(section.name, "Ssh.User", &format!("{user:?} is no login name"))),
    }
}

fn port(section: &Section<'_>, path: &str, default: u16) -> Result<u16> {
    Ok(section.read::<NonZeroU16>(path)?.map_or(default, NonZeroU16::get))
}

/// Pinned keys, one line each; the caller reads them in full.
fn host_keys(section: &Section<'_>) -> Result<Vec<String>> {
    let keys: Vec<String> = section.read("Ssh.HostKeys")?.unwrap_or_default();
    let good = |key: &String| key.len() <= LONGEST_HOST_KEY && !key.trim_end_matches('\n').contains(char::is_control);
    if keys.len() > MOST_HOST_KEYS || !keys.iter().all(good) {
        return Err(refused(section.name, "Ssh.HostKeys", "they are not those of a host"));
    }
    Ok(keys)
}

fn created(section: &Section<'_>) -> Result<OffsetDateTime> {
    let text: String = section.need("Created")?;
    OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339)
        .map_err(|e| refused(section.name, "Created", &e.to_string()))
}

fn check_secrets(name: &str, secrets: &Secrets) -> Result<()> {
    let good = |(key, value): (&String, &String)| {
        key.len() <= 64
            && value.len() <= LONGEST_SECRET
            && !key.contains(char::is_control)
            && !value.contains(char::is_control)
    };
    if secrets.0.len() <= MOST_SECRETS && secrets.0.iter().all(good) {
        return Ok(());
    }
    Err(refused(name, super::file::CREDENTIALS, "it holds something that is no key of a cloud"))
}

/// The options of the engine, which are its host's own; a script that would be run there as root is not among them.
pub(super) fn engine_of_others(
    engine: EngineSpec,
    name: &str,
    port: u16,
    on_loopback: bool,
    driver: &str,
    notes: &mut Vec<String>,
) -> Result<EngineSpec> {
    let mut engine = EngineSpec { port, on_loopback, provider_label: Some(driver.to_owned()), ..engine };
    if engine.install_url.take().is_some() || engine.source == EngineSource::Url {
        engine.source = EngineSource::Auto;
        notes.push(
            "the install script that its engine came from is left out; the engine that is there is kept".to_owned(),
        );
    }
    engine.validate().map_err(|e| refused(name, super::file::ENGINE, &e.to_string()))?;
    Ok(engine)
}
