//! docker-machine's own records (`config.json`, version 3), read as ours.
//!
//! Field names: docker/machine 0.16, libmachine/host/host.go and the types that it embeds. A record is converted each
//! time it is loaded; the first command that saves it adds our section and leaves docker-machine's fields as they are.

use std::{fmt, fs, path::Path};

use rmachine_model::{
    drivers::Drivers,
    error::{Error, Kind, Result},
};
use rmachine_provider_api::{
    Addresses, HostAddress, Imported, Instance, InstanceId, Kind as ApiKind, LegacyFields, MachineToken, Owner,
    Resource, Result as ApiResult, Secrets,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{
    Phase, Power, RECORD_VERSION, Record, SshRecord, Trust,
    elsewhere::{check_driver, is_user, refused},
    legacy_engine,
};

/// The version of the documents that are read.
const VERSION: u64 = 3;
/// The login key that docker-machine makes.
const LOGIN_KEY: &str = "id_rsa";
/// The engine's port unless the record says otherwise.
const ENGINE_PORT: u16 = 2376;

/// What docker-machine's document of a machine holds besides what we go by.
#[derive(Clone, Default)]
pub struct Foreign {
    /// The document without our section. Keys that our driver has taken are empty in it.
    pub document: Map<String, Value>,
    /// Keys that stood in it; they go to a file of their own when the record is saved.
    pub secrets: Secrets,
    /// What of it has no place with us, for people to read.
    pub notes: Vec<String>,
    /// Whether it has no section of ours yet.
    pub untouched: bool,
}

impl fmt::Debug for Foreign {
    /// Without the document, in which there may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("untouched", &self.untouched).finish_non_exhaustive()
    }
}

/// Where a document comes from.
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    /// The store, out of which no path leads.
    pub(super) root: &'a Path,
    /// The directory of its machine.
    pub(super) directory: &'a Path,
    pub(super) drivers: &'a Drivers,
    pub(super) owner: Owner,
}

/// Makes a record of docker-machine's document.
pub(super) fn convert(mut document: Map<String, Value>, origin: Origin<'_>) -> Result<Record> {
    let name = origin.name;
    let damaged = |what: &str| {
        Error::new(Kind::Store, format!("docker-machine's record of machine \"{name}\" does not read: {what}"))
            .hint("restore its config.json from a backup")
    };
    check_version(name, &document)?;
    let driver = text(&document, "DriverName").ok_or_else(|| damaged("it names no driver"))?;
    check_driver(name, &driver)?;
    let Some(Value::Object(fields)) = document.get("Driver") else { return Err(damaged("it has no object Driver")) };
    let read = LegacyFields(fields);
    let imported = match origin.drivers.get(&driver) {
        Ok(known) => match known.import_legacy(read) {
            Ok(imported) => Some(imported),
            Err(error) if error.kind() == ApiKind::Unsupported => None,
            Err(error) => return Err(damaged(&error.to_string())),
        },
        Err(_) => None,
    };
    let token = token(&driver, name, read);
    let (engine, mut notes) = legacy_engine::spec(&document);
    let ssh = ssh(imported.as_ref(), read, &origin, &mut notes)?;
    let (config, plan, instance, made, secrets, empty, port) = match imported {
        Some(Imported { config, secrets, secret_fields, engine_port, plan, instance, made }) => {
            (config, Some(plan), instance, made, secrets, secret_fields, engine_port.unwrap_or(ENGINE_PORT))
        }
        None => {
            let port = read.port("EnginePort", 0).ok().filter(|port| *port > 0);
            let port = port.or_else(|| read.port("DockerPort", 0).ok()).filter(|port| *port > 0);
            let port = port.unwrap_or(ENGINE_PORT);
            let instance = unknown_instance(name, read).map_err(|e| damaged(&e.to_string()))?;
            (Value::Null, None, Some(instance), Vec::new(), Secrets::default(), &[][..], port)
        }
    };
    let resource = |(kind, id): (_, String)| Resource {
        kind,
        id,
        owner: None,
        token: Some(token.clone()),
        machine: Some(name.to_owned()),
        created: None,
        location: None,
        detail: Some("made by docker-machine".to_owned()),
        monthly_usd: None,
    };
    notes.extend(names_left_out(&document));
    if let Some(Value::Object(fields)) = document.get_mut("Driver") {
        for field in empty {
            fields.entry(*field).and_modify(|value| *value = Value::String(String::new()));
        }
    }
    Ok(Record {
        version: RECORD_VERSION,
        name: name.to_owned(),
        created: created(origin.directory),
        owner: origin.owner,
        phase: Phase::Ready,
        power: Power::Running,
        config,
        engine_port: port,
        tunnel_port: None,
        engine: rmachine_model::EngineSpec { port, provider_label: Some(driver.clone()), ..engine },
        extra_sans: Vec::new(),
        plan,
        attempt: None,
        answered: true,
        intents: Vec::new(),
        resources: made.into_iter().map(resource).collect(),
        instance,
        ssh,
        host: None,
        trust: Trust::default(),
        ends_old_trust: false,
        protected: false,
        renamed: None,
        imported: true,
        foreign: Some(Box::new(Foreign { document, secrets, notes, untouched: true })),
        token,
        driver,
    })
}

fn check_version(name: &str, document: &Map<String, Value>) -> Result<()> {
    let version = document.get("ConfigVersion").and_then(Value::as_u64).unwrap_or(0);
    if version == VERSION {
        return Ok(());
    }
    let error = Error::new(
        Kind::Store,
        format!(
            "the record of machine \"{name}\" has docker-machine's format {version}, and rmachine reads {VERSION} only"
        ),
    );
    Err(match version < VERSION {
        true => error.hint(format!("`docker-machine inspect {name}` of version 0.16 brings it to format {VERSION}")),
        false => error.hint("no docker-machine wrote that: restore its config.json from a backup"),
    })
}

/// The text of a field that is not empty.
fn text(document: &Map<String, Value>, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The same each time, also in another store: what was taken over once is known again.
fn token(driver: &str, name: &str, fields: LegacyFields<'_>) -> MachineToken {
    let id = fields.text("InstanceId").map_or_else(|| format!("name {name}"), |id| format!("id {id}"));
    let address = fields.text("InstanceId").map_or_else(|| fields.text("IPAddress").unwrap_or_default(), |_| "");
    let digest = Sha256::digest(format!("docker-machine\0{driver}\0{id}\0{address}"));
    MachineToken::from_bits(digest.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
}

fn ssh(
    imported: Option<&Imported>,
    fields: LegacyFields<'_>,
    origin: &Origin<'_>,
    notes: &mut Vec<String>,
) -> Result<SshRecord> {
    let (user, port) = match imported {
        Some(imported) => (imported.plan.login.user.clone(), imported.plan.login.port),
        None => (fields.text("SSHUser").unwrap_or("root").to_owned(), fields.port("SSHPort", 22).unwrap_or(22)),
    };
    if !is_user(&user) {
        return Err(refused(origin.name, "SSHUser", &format!("{user:?} is no login name")));
    }
    Ok(SshRecord { user, port, key_file: login_key(fields, origin, notes), ..SshRecord::default() })
}

/// The login key: a file of the machine's directory, else one elsewhere in the store; empty: the user's default keys.
/// A path that leads out of the store may name any key of the user, and is said instead of followed.
fn login_key(fields: LegacyFields<'_>, origin: &Origin<'_>, notes: &mut Vec<String>) -> String {
    let here = |name: &str| origin.directory.join(name).is_file();
    let Some(path) = fields.text("SSHKeyPath").map(Path::new) else {
        return if here(LOGIN_KEY) { LOGIN_KEY.to_owned() } else { String::new() };
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(LOGIN_KEY);
    if here(name) || !(path.is_absolute() && path.is_file()) {
        return name.to_owned();
    }
    let whole = |path: &Path| fs::canonicalize(path).ok();
    match (whole(path), whole(origin.root)) {
        (Some(path), Some(root)) if path.starts_with(&root) => path.to_string_lossy().into_owned(),
        _ => {
            notes.push(format!(
                "its record names the login key {path:?}, which is not in the store: if it is this machine's, copy it to {}",
                origin.directory.join(name).display()
            ));
            name.to_owned()
        }
    }
}

/// What the common fields say of a machine whose driver is not here.
fn unknown_instance(name: &str, fields: LegacyFields<'_>) -> ApiResult<Instance> {
    let dial: Option<HostAddress> = fields.parsed("IPAddress")?;
    let id = fields.parsed::<InstanceId>("InstanceId")?.map_or_else(|| name.parse(), Ok)?;
    Ok(Instance {
        id,
        addresses: Addresses {
            public: dial.as_ref().and_then(HostAddress::ip).into_iter().collect(),
            dial,
            ..Addresses::default()
        },
        url: None,
        engine_port: None,
        details: Value::Null,
    })
}

/// `--tls-san` of docker-machine: what this store's CA vouches for is not a record's to say.
fn names_left_out(document: &Map<String, Value>) -> Option<String> {
    let found = document.get("HostOptions").map(|options| &options["AuthOptions"]["ServerCertSANs"]);
    let names: Vec<&str> = found.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| format!("other names of its certificate are left out: {names:?}"))
}

/// docker-machine writes no time down: that of the oldest file of the machine.
fn created(directory: &Path) -> OffsetDateTime {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let times = entries.filter_map(|entry| entry.metadata().and_then(|found| found.modified()).ok());
    times.min().map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from)
}
