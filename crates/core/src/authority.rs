//! The store's CA and client certificate: made once, under a lock, also by parallel first creates. Machines that rmachine
//! manages have their own (`trust.rs`).

use rmachine_certs::{self as certs, Identity};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{Record, Store, audit::Role, file};
use time::OffsetDateTime;

use super::{Core, audit, rotate, trust};

/// The CA and the client certificate that it signed.
#[derive(Clone)]
pub(super) struct Authority {
    /// The present CA; after it in the PEM text stands the old one, while both are trusted.
    pub(super) ca: Identity,
    /// The old CA, while both are trusted: it signs the engines' certificates, which old clients know then.
    pub(super) old: Option<Identity>,
    pub(super) client: Identity,
    /// Whose clients the engine lets in besides, for a while; PEM.
    pub(super) admitted: String,
    /// Whether the CA had expired, so that this one is new.
    pub(super) replaced: bool,
    /// Whether the engine gets a certificate of the machine's own CA for the first time: who has the old `ca.pem` only
    /// does not know it then.
    pub(super) moving: bool,
}

impl Authority {
    fn of_store(ca: Identity, old: Option<Identity>, client: Identity, replaced: bool) -> Self {
        Self { ca, old, client, admitted: String::new(), replaced, moving: false }
    }

    /// The CA that signs the engines' certificates.
    pub(super) fn of_servers(&self) -> &Identity {
        self.old.as_ref().unwrap_or(&self.ca)
    }
}

impl Core {
    /// Reads the CA and the client certificate, and makes them where they are missing or no longer good.
    pub(super) fn authority(store: &Store, renew_client: bool) -> Result<Authority> {
        let _lock = store.lock_ca()?;
        let now = OffsetDateTime::now_utc();
        let known = read_ca(store)?;
        let expired = match &known {
            Some(ca) => certs::health(&certs::inspect(&ca.cert_pem)?, now) == certs::Health::Expired,
            None => false,
        };
        let ca = match known {
            Some(ca) if !expired => ca,
            // Nothing works with an expired one: there is nobody to be locked out.
            _ => rotate::write_new_ca(store, now)?,
        };
        let old = rotate::old_ca(store, now)?;
        let known = if renew_client { None } else { read_client(store, &ca, now)? };
        if let Some(client) = known {
            return Ok(Authority::of_store(ca, old, client, expired));
        }
        let client = certs::issue_client(&ca, now)?;
        audit::write(store, None, &[audit::certificate(Role::Client, &client.cert_pem)?])?;
        write(store, file::CLIENT_CERT, file::CLIENT_KEY, &client)?;
        Ok(Authority::of_store(ca, old, client, expired))
    }

    /// Brings what clients need into the machine's directory, which is their `DOCKER_CERT_PATH`; the engine knows it. Whether
    /// that changed anything.
    pub(super) fn copy_client_files(store: &Store, record: &Record, authority: &Authority) -> Result<bool> {
        let is_new = trust::write_client(store, record, &authority.client)?;
        let path = store.machine_file(&record.name, file::CA_CERT);
        match store.read_text(&path)? {
            Some(known) if known == authority.ca.cert_pem => Ok(is_new),
            _ => store.write(&path, authority.ca.cert_pem.as_bytes()).map(|()| true),
        }
    }
}

/// The CA; `None` when there is none yet. One that machines trust is never replaced by another.
fn read_ca(store: &Store) -> Result<Option<Identity>> {
    let (cert_path, key_path) = (store.authority_file(file::CA_CERT), store.authority_file(file::CA_KEY));
    let cert = store.read_text(&cert_path)?;
    let Some(key_pem) = store.read_text(&key_path)? else {
        return match cert {
            None => Ok(None),
            Some(_) => Err(Error::new(Kind::Store, format!("the CA's key {} is missing", key_path.display()))
                .hint("restore it from a backup; without it no machine can get a certificate")),
        };
    };
    let belongs = |cert_pem: &str| certs::key_matches(cert_pem, &key_pem);
    let cert_pem = match cert {
        Some(cert_pem) => {
            if !belongs(&cert_pem)? {
                return Err(Error::new(
                    Kind::Store,
                    format!("{} and {} do not belong together", cert_path.display(), key_path.display()),
                )
                .hint("restore both from one backup; machines trust the CA that made them"));
            }
            cert_pem
        }
        None => {
            // A key alone is a first create that died, or a lost file of which each machine has a copy.
            let copies = store.names()?.into_iter().map(|name| store.machine_file(&name, file::CA_CERT));
            let old = store.authority_file(file::OLD_CA_CERT);
            let copies = copies.chain([old]).filter_map(|path| store.read_text(&path).ok().flatten());
            let Some(cert_pem) = copies.into_iter().find(|copy| belongs(copy).unwrap_or(false)) else {
                return Ok(None);
            };
            store.write(&cert_path, cert_pem.as_bytes())?;
            cert_pem
        }
    };
    Ok(Some(Identity { cert_pem, key_pem: key_pem.into() }))
}

/// The client's certificate, when it serves; else a new one is issued, which costs nothing.
fn read_client(store: &Store, ca: &Identity, now: OffsetDateTime) -> Result<Option<Identity>> {
    let read = |name| store.read_text(&store.authority_file(name));
    let (Some(cert_pem), Some(key_pem)) = (read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?) else {
        return Ok(None);
    };
    let Ok(info) = certs::inspect(&cert_pem) else { return Ok(None) };
    let good = certs::health(&info, now) == certs::Health::Good
        && certs::signed_by(&cert_pem, &ca.cert_pem)?
        && certs::key_matches(&cert_pem, &key_pem).unwrap_or(false);
    Ok(good.then(|| Identity { cert_pem, key_pem: key_pem.into() }))
}

/// Writes the key first: a crash in between leaves a key without certificate, which is made anew.
fn write(store: &Store, cert: &str, key: &str, identity: &Identity) -> Result<()> {
    store.write(&store.authority_file(key), identity.key_pem.as_bytes())?;
    store.write(&store.authority_file(cert), identity.cert_pem.as_bytes())
}
