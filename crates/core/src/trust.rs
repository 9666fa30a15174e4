//! A machine's own CA: it signs its engine's certificate and its clients', and convinces nobody else.
//!
//! `authority.pem` is the CA. While another one follows it, `authority-old.pem` is the one before. With its key it is the
//! machine's own, and signs the engine's certificate until the end, so that copies of the old files know the engine.
//! Without one it is what the engine let in before the machine had a CA of its own: its clients are let in until then,
//! and it vouches for nobody. `ca.pem`, `cert.pem` and `key.pem` are what clients read: they follow the engine.

use rmachine_certs::{self as certs, Health, Identity};
use rmachine_model::error::Result;
use rmachine_store::{
    Phase, Record, Store, Trust,
    audit::{Event, Role},
    file,
};
use time::{Duration, OffsetDateTime};

use super::{Core, audit, authority::Authority, blocking, create::wants_engine, open::Machine};

/// How long a client's certificate lives that its machine's CA signs, unless something else is asked for.
pub const CLIENT_LIFE: Duration = Duration::days(365);

/// A machine's CA as it is on disk.
pub(super) struct Own {
    pub(super) ca: Identity,
    /// The CA before it, which signs the engine's certificate still.
    pub(super) old: Option<Identity>,
    /// Those whose clients are let in besides, PEM.
    pub(super) admitted: String,
}

impl Own {
    /// Reads it; `None` where the machine of `record` has none.
    pub(super) fn read(store: &Store, record: &Record, now: OffsetDateTime) -> Result<Option<Self>> {
        let Some(ca) = present(store, &record.name)? else { return Ok(None) };
        let mut own = Self { ca, old: None, admitted: String::new() };
        if let Some(before) = before(store, &record.name)?.filter(|_| !record.ends_old_trust) {
            let certs_pem = before.certs_pem();
            let over = certs::health(&certs::inspect(&certs_pem)?, now) == Health::Expired;
            match before.identity {
                // As after a crash between the two writes of a rotation.
                _ if over || certs::same(&certs_pem, &own.ca.cert_pem) => {}
                Some(old) => own.old = Some(old),
                None => own.admitted = certs_pem,
            }
        }
        Ok(Some(own))
    }

    /// What clients verify the engine by, the present CA first.
    pub(super) fn bundle(&self) -> String {
        let old = self.old.as_ref().map(|old| old.cert_pem.as_str()).unwrap_or_default();
        format!("{}{old}", self.ca.cert_pem)
    }
}

/// The CA of machine `name`.
fn present(store: &Store, name: &str) -> Result<Option<Identity>> {
    let Some(text) = store.read_secret(&store.machine_file(name, file::AUTHORITY))? else { return Ok(None) };
    Ok(certs::split(&text)?.identity)
}

/// What the engine of machine `name` lets in besides.
fn before(store: &Store, name: &str) -> Result<Option<certs::Bundle>> {
    let Some(text) = store.read_secret(&store.machine_file(name, file::OLD_AUTHORITY))? else { return Ok(None) };
    Ok(Some(certs::split(&text)?))
}

/// Writes a new CA for machine `name` in the place of the present one.
fn write_new(store: &Store, name: &str, now: OffsetDateTime) -> Result<Identity> {
    let ca = certs::new_ca(store.prepare()?.as_str(), now)?;
    audit::write(store, Some(name), &[audit::certificate(Role::Ca, &ca.cert_pem)?])?;
    store.write(&store.machine_file(name, file::AUTHORITY), certs::join(&ca).as_bytes())?;
    Ok(ca)
}

impl Core {
    /// Whose certificates the engine of `record` gets from here on.
    pub(super) fn wanted_trust(&self, record: &Record) -> Trust {
        let managed = self.driver(record).is_ok_and(|driver| driver.info().capabilities.engine);
        match managed && wants_engine(record) {
            _ if self.store.has_given_tls() => Trust::Given,
            true => Trust::Own,
            false => Trust::Store,
        }
    }

    /// The CA and the client's certificate of `machine`: its own, which is made where it is missing, or the
    /// store's. Nothing that a client reads is changed.
    pub(super) async fn load_authority(&self, machine: &mut Machine<'_>, renew_client: bool) -> Result<Authority> {
        let wanted = self.wanted_trust(machine);
        if wanted != Trust::Own {
            machine.trust = wanted;
            return self.load_store_authority(renew_client).await;
        }
        self.begin_own(machine)?;
        let (store, copy, life) = (self.store.clone(), machine.clone(), self.client_life);
        let authority = blocking(move || own_authority(&store, &copy, renew_client, life)).await?;
        if authority.replaced {
            self.talk.about(&machine.name).warn("its CA had expired, and it gets a new one");
        }
        Ok(authority)
    }

    /// Gives `machine` a CA of its own where it has none. The engine gets it in the next session, and lets
    /// those in until the end whom it let in before.
    pub(super) fn begin_own(&self, machine: &mut Machine<'_>) -> Result<()> {
        let (store, name) = (&self.store, machine.name.as_str());
        let path = |file: &str| store.machine_file(name, file);
        let known = present(store, name)?;
        if machine.trust == Trust::Own && known.is_some() {
            return Ok(());
        }
        if store.read_bytes(&path(file::OLD_AUTHORITY))?.is_none()
            && let Some(trusted) = store.read_text(&path(file::CA_CERT))?
            && let Ok(trusted) = certs::split(&trusted)
        {
            store.write(&path(file::OLD_AUTHORITY), trusted.certs_pem().as_bytes())?;
        }
        if known.is_none() {
            write_new(store, name, OffsetDateTime::now_utc())?;
        }
        machine.trust = Trust::Own;
        machine.ends_old_trust = false;
        machine.save()
    }

    /// Begins another CA for `machine`, or goes on with one that was begun.
    pub(super) fn begin_rotation(&self, machine: &mut Machine<'_>) -> Result<()> {
        let (store, now) = (&self.store, OffsetDateTime::now_utc());
        if let Some(before) = before(store, &machine.name)?
            && machine.trust == Trust::Own
            && !machine.ends_old_trust
            && let Some(ca) = present(store, &machine.name)?
        {
            let certs_pem = before.certs_pem();
            let over = certs::health(&certs::inspect(&certs_pem)?, now) == Health::Expired;
            if !over && !certs::same(&certs_pem, &ca.cert_pem) {
                return Ok(());
            }
        }
        self.another_ca(machine)
    }

    /// Gives `machine` another CA, whatever there is.
    pub(super) fn another_ca(&self, machine: &mut Machine<'_>) -> Result<()> {
        let (store, name) = (&self.store, machine.name.clone());
        let known = if machine.trust == Trust::Own { present(store, &name)? } else { None };
        let Some(ca) = known else { return self.begin_own(machine) };
        store.write(&store.machine_file(&name, file::OLD_AUTHORITY), certs::join(&ca).as_bytes())?;
        if machine.ends_old_trust {
            machine.ends_old_trust = false;
            machine.save()?;
        }
        write_new(store, &name, OffsetDateTime::now_utc()).map(drop)
    }

    /// Ends the trust in the CA before the present one, from the next session on; answers whether there is one.
    pub(super) fn end_old_trust(&self, machine: &mut Machine<'_>) -> Result<bool> {
        if machine.trust != Trust::Own || machine.ends_old_trust {
            return Ok(machine.ends_old_trust);
        }
        let (Some(ca), Some(before)) = (present(&self.store, &machine.name)?, before(&self.store, &machine.name)?)
        else {
            return Ok(false);
        };
        if certs::same(&before.certs_pem(), &ca.cert_pem) {
            return Ok(false);
        }
        let serial = certs::inspect(&before.certs_pem())?.serial;
        self.audit(&machine.name, &[Event::AuthorityDropped { serial }])?;
        machine.ends_old_trust = true;
        machine.save().map(|()| true)
    }

    /// Forgets what the engine trusts no more, once it has followed. The caller saves what that changes.
    pub(super) fn settle_trust(&self, machine: &mut Machine<'_>) -> Result<()> {
        let path = |file: &str| self.store.machine_file(&machine.name, file);
        if machine.trust != Trust::Own {
            self.store.remove_file(&path(file::AUTHORITY))?;
            self.store.remove_file(&path(file::OLD_AUTHORITY))?;
        } else if machine.ends_old_trust {
            self.store.remove_file(&path(file::OLD_AUTHORITY))?;
            machine.ends_old_trust = false;
        }
        Ok(())
    }

    /// Before the engine gets a certificate of another CA: clients know it by then, and the one that it has as well.
    pub(super) fn stage_ca(&self, record: &Record, authority: &Authority) -> Result<()> {
        let path = self.store.machine_file(&record.name, file::CA_CERT);
        let Some(known) = self.store.read_text(&path)? else { return Ok(()) };
        let mut staged = authority.ca.cert_pem.clone();
        // What does not read is of no use to anybody.
        for cert in certs::split(&known).map(|known| known.certs).unwrap_or_default() {
            if !staged.contains(&cert) {
                staged.push_str(&cert);
            }
        }
        if staged == known { Ok(()) } else { self.store.write(&path, staged.as_bytes()) }
    }

    /// Whether the engine of `record` has no certificate of the machine's own CA yet, and should have.
    pub(super) fn is_to_move(&self, record: &Record) -> bool {
        if record.phase != Phase::Ready || record.trust == Trust::Given || self.wanted_trust(record) != Trust::Own {
            return false;
        }
        let now = OffsetDateTime::now_utc();
        match Own::read(&self.store, record, now) {
            Ok(Some(own)) if record.trust == Trust::Own => {
                !own.admitted.is_empty() && !has_server_of(&self.store, &record.name, &own.ca.cert_pem)
            }
            Ok(_) => true,
            // `doctor` says what is wrong with it.
            Err(_) => false,
        }
    }

    /// Issues the client's certificate anew when it is due, here and without asking anybody: the CA is this machine's
    /// own. Where that cannot be now (another process works on the machine, the store cannot be written) nothing is
    /// said: there is time, and a warning when that is over.
    pub(super) fn refresh_client(&self, record: &Record) {
        if record.trust != Trust::Own || is_client_good(&self.store, &record.name).unwrap_or(true) {
            return;
        }
        let renewed = self.open_if_free(&record.name).and_then(|opened| {
            let Some(record) = opened else { return Ok(()) };
            let now = OffsetDateTime::now_utc();
            let Some(own) = Own::read(&self.store, &record, now)? else { return Ok(()) };
            let read = |name| self.store.read_text(&self.store.machine_file(&record.name, name));
            // Another one's is the engine's to take first.
            let cert = read(file::CLIENT_CERT)?.unwrap_or_default();
            if !certs::signed_by(&cert, &own.ca.cert_pem).unwrap_or(false) {
                return Ok(());
            }
            let client = own_client(&self.store, &record.name, &own.ca, false, now, self.client_life)?;
            write_client(&self.store, &record, &client).map(drop)
        });
        if let Err(error) = renewed {
            tracing::debug!(machine = record.name, "the client's certificate is not renewed now: {error}");
        }
    }
}

/// Whether the engine's certificate, by our copy, is signed by `ca_pem`.
fn has_server_of(store: &Store, name: &str, ca_pem: &str) -> bool {
    let cert = store.read_text(&store.machine_file(name, file::SERVER_CERT)).ok().flatten();
    cert.is_some_and(|cert| certs::signed_by(&cert, ca_pem).unwrap_or(false))
}

/// Whether the client's certificate is good for a while, and is that of the key beside it.
fn is_client_good(store: &Store, name: &str) -> Result<bool> {
    let read = |file| store.read_text(&store.machine_file(name, file));
    let (Some(cert), Some(key)) = (read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?) else { return Ok(true) };
    let health = certs::health(&certs::inspect(&cert)?, OffsetDateTime::now_utc());
    Ok(matches!(health, Health::Good | Health::NotYetValid) && certs::key_matches(&cert, &key).unwrap_or(false))
}

fn own_authority(store: &Store, record: &Record, renew_client: bool, life: Duration) -> Result<Authority> {
    let now = OffsetDateTime::now_utc();
    let name = &record.name;
    let mut known = Own::read(store, record, now)?;
    // Nothing works with an expired one: there is nobody to be locked out.
    if let Some(own) = &known
        && certs::health(&certs::inspect(&own.ca.cert_pem)?, now) == Health::Expired
    {
        known = None;
    }
    let replaced = known.is_none();
    let own = match known {
        Some(own) => own,
        None => Own { ca: write_new(store, name, now)?, old: None, admitted: String::new() },
    };
    let client = own_client(store, name, &own.ca, renew_client, now, life)?;
    let server = store.read_text(&store.machine_file(name, file::SERVER_CERT))?;
    let moving =
        !own.admitted.is_empty() && server.is_some_and(|pem| !certs::signed_by(&pem, &own.ca.cert_pem).unwrap_or(true));
    let ca = Identity { cert_pem: own.bundle(), key_pem: own.ca.key_pem };
    Ok(Authority { ca, old: own.old, client, admitted: own.admitted, replaced, moving })
}

/// The client's certificate that `ca` has signed: the present one when it serves; else a new one, for the same key unless
/// that is not its own or `renew`.
fn own_client(
    store: &Store,
    name: &str,
    ca: &Identity,
    renew: bool,
    now: OffsetDateTime,
    life: Duration,
) -> Result<Identity> {
    let read = |file| store.read_text(&store.machine_file(name, file));
    if let (Some(cert_pem), Some(key_pem), false) = (read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?, renew)
        && certs::signed_by(&cert_pem, &ca.cert_pem).unwrap_or(false)
        && certs::key_matches(&cert_pem, &key_pem).unwrap_or(false)
    {
        if certs::health(&certs::inspect(&cert_pem)?, now) == Health::Good {
            return Ok(Identity { cert_pem, key_pem: key_pem.into() });
        }
        return Ok(certs::issue_client_for(ca, Some(&key_pem), now, life)?);
    }
    Ok(certs::issue_client_for(ca, None, now, life)?)
}

/// Writes what differs; the certificate first, so that a crash in between shows by the certificate of the machine's CA.
/// Returns whether the certificate did.
pub(super) fn write_client(store: &Store, record: &Record, client: &Identity) -> Result<bool> {
    let name = &record.name;
    let cert_path = store.machine_file(name, file::CLIENT_CERT);
    let is_new = store.read_text(&cert_path)?.is_none_or(|old| old != client.cert_pem);
    if is_new {
        // The store's own is in the log already.
        if record.trust == Trust::Own {
            audit::write(store, Some(name), &[audit::certificate(Role::Client, &client.cert_pem)?])?;
        }
        store.write(&cert_path, client.cert_pem.as_bytes())?;
    }
    let key_path = store.machine_file(name, file::CLIENT_KEY);
    if store.read_secret(&key_path)?.is_none_or(|old| *old != *client.key_pem) {
        store.write(&key_path, client.key_pem.as_bytes())?;
    }
    Ok(is_new)
}
