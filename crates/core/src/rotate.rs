//! `rotate-ca`: another CA for a machine or the store, with a time in which clients of both are let in.
//!
//! In that time `ca.pem` holds both certificates, the new one first, and engines trust clients of both. Their own
//! certificates stay signed by the old CA, so that a client who knows the old one only still knows them.

use rmachine_certs::{self as certs, Health, Identity};
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::{
    Phase, Record, Store, Trust,
    audit::{Event, Role},
    file,
};
use time::OffsetDateTime;

use super::{Core, Regenerate, Regenerated, audit, authority::Authority, blocking, create::wants_engine, open::Need};

/// How far a rotation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// A new CA beside the old one: clients of both are let in.
    Begin,
    /// The old one is trusted no more.
    Finish,
    /// Both at once: clients of the old one are locked out.
    Now,
}

impl Core {
    /// Gives machines `names` another CA, or ends the trust in the old one; all machines and the store when none is named.
    /// Answers the machines that have to follow. One that was killed goes on with those that have not followed yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when that step is not the next one or a machine has no CA of its own, [`Kind::NoSuchMachine`],
    /// [`Kind::Store`].
    pub async fn rotate_ca(&self, how: Rotate, names: &[String]) -> Result<Vec<String>> {
        let mut follow = Vec::new();
        if !names.is_empty() {
            for name in names {
                let record = self.store.load(name)?;
                self.require_managed(&record, "rotate the CA of")?;
                self.require_ready(&record)?;
                if self.wanted_trust(&record) != Trust::Own {
                    return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" has no CA of its own"))
                        .hint("`rmachine rotate-ca` without a name replaces the one that it has"));
                }
            }
            for name in names {
                if self.rotate_own(name, how).await? {
                    follow.push(name.clone());
                }
            }
            return if follow.is_empty() { Err(nothing_to_end()) } else { Ok(follow) };
        }
        let store = self.store.clone();
        let (of_store, ended) = blocking(move || {
            let ended = match how {
                Rotate::Begin => begin(&store).map(|()| true)?,
                Rotate::Finish => finish(&store)?,
                Rotate::Now => begin(&store).and_then(|()| finish(&store))?,
            };
            // The client's certificate follows at once.
            Ok((Self::authority(&store, false)?, ended))
        })
        .await?;
        for name in self.store.names()? {
            let Ok(record) = self.store.load(&name) else { continue };
            if record.phase != Phase::Ready || !wants_engine(&record) {
                continue;
            }
            let managed = self.driver(&record).is_ok_and(|driver| driver.info().capabilities.engine);
            let follows = match self.wanted_trust(&record) {
                Trust::Own => self.rotate_own(&name, how).await?,
                // One that was ended before is gone on with.
                _ if managed && (ended || self.is_behind(&record, &of_store)?) => {
                    self.tell_of_recipients(&record, &of_store, how)?;
                    true
                }
                _ if ended => {
                    self.talk.about(&name).warn(
                        "rmachine does not manage its engine: have that trust the new CA, then copy the files as `rmachine doctor` says",
                    );
                    false
                }
                _ => false,
            };
            if follows {
                follow.push(name);
            }
        }
        if !ended && follow.is_empty() { Err(nothing_to_end()) } else { Ok(follow) }
    }

    /// The same for one machine's own CA; answers whether it has to follow.
    async fn rotate_own(&self, name: &str, how: Rotate) -> Result<bool> {
        let mut machine = self.open(name, Need::ready()).await?;
        let changed = match how {
            Rotate::Begin => self.begin_rotation(&mut machine).map(|()| true)?,
            Rotate::Finish => self.end_old_trust(&mut machine)?,
            Rotate::Now => {
                // The present one may have leaked, also where one was begun.
                self.another_ca(&mut machine)?;
                self.end_old_trust(&mut machine).map(|_| true)?
            }
        };
        if machine.trust != Trust::Own {
            return Ok(changed);
        }
        let authority = self.load_authority(&mut machine, false).await?;
        if !changed && !self.is_behind(&machine, &authority)? {
            return Ok(false);
        }
        self.tell_of_recipients(&machine, &authority, how)?;
        Ok(true)
    }

    /// Whether a machine has not followed the CA, as far as our files say: they are written after the host's.
    fn is_behind(&self, record: &Record, authority: &Authority) -> Result<bool> {
        let read = |name| self.store.read_text(&self.store.machine_file(&record.name, name));
        let present = &authority.ca.cert_pem;
        let (Some(ca), Some(cert), Some(key)) =
            (read(file::CA_CERT)?, read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?)
        else {
            return Ok(true);
        };
        let client =
            certs::signed_by(&cert, present).unwrap_or(false) && certs::key_matches(&cert, &key).unwrap_or(false);
        let server = read(file::SERVER_CERT)?
            .is_some_and(|cert| certs::signed_by(&cert, &authority.of_servers().cert_pem).unwrap_or(false));
        Ok(ca != *present || !client || !server || record.ends_old_trust)
    }

    /// Who got access with the old CA only does not know the engine once its certificate is of the new one.
    fn tell_of_recipients(&self, record: &Record, authority: &Authority, how: Rotate) -> Result<()> {
        let name = &record.name;
        let ids = self.shares_behind(name, &authority.ca.cert_pem)?.join(", ");
        // It is said when it happens.
        if ids.is_empty() || authority.moving {
            return Ok(());
        }
        let own = if record.trust == Trust::Own { format!(" {name}") } else { String::new() };
        let when = match how {
            Rotate::Begin => format!("before `rmachine rotate-ca --finish{own}`"),
            Rotate::Finish | Rotate::Now => "or they are locked out".to_owned(),
        };
        self.talk.about(name).warn(&format!(
            "those whom it is shared with (share {ids}) need the new ca.pem {when}: `rmachine share {name} --ca` prints it"
        ));
        Ok(())
    }

    /// Brings machine `name` to the present CA.
    ///
    /// # Errors
    ///
    /// As [`Core::regenerate_certificates`], with what to do later.
    pub async fn follow_ca(&self, name: &str) -> Result<Regenerated> {
        self.regenerate_certificates(name, Regenerate::default()).await.map_err(|e| {
            e.context(format!("machine \"{name}\" has the old CA still"))
                .hint(format!("`rmachine regenerate-certs {name}` does it later; `rmachine start` does it as well"))
        })
    }
}

fn nothing_to_end() -> Error {
    Error::new(Kind::Conflict, "no CA is being replaced")
        .hint("`rmachine rotate-ca` makes a new one, and `--finish` ends the trust in the old one later")
}

/// The old CA while it may sign and be trusted: in an overlap, until it expires.
pub(super) fn old_ca(store: &Store, now: OffsetDateTime) -> Result<Option<Identity>> {
    let read = |name| store.read_text(&store.authority_file(name));
    let (Some(cert_pem), Some(key_pem)) = (read(file::OLD_CA_CERT)?, read(file::OLD_CA_KEY)?) else {
        return Ok(None);
    };
    let serves = certs::health(&certs::inspect(&cert_pem)?, now) != Health::Expired;
    Ok((serves && certs::key_matches(&cert_pem, &key_pem)?).then(|| Identity { cert_pem, key_pem: key_pem.into() }))
}

/// Writes a new CA in the place of the present one; the caller holds the CA's lock. The key comes first: a key without
/// a certificate is a CA that is not made yet.
pub(super) fn write_new_ca(store: &Store, now: OffsetDateTime) -> Result<Identity> {
    let owner = store.prepare()?;
    let new = certs::new_ca(owner.as_str(), now)?;
    audit::write(store, None, &[audit::certificate(Role::Ca, &new.cert_pem)?])?;
    store.remove_file(&store.authority_file(file::CA_CERT))?;
    store.write(&store.authority_file(file::CA_KEY), new.key_pem.as_bytes())?;
    let old = old_ca(store, now)?.map(|old| old.cert_pem).unwrap_or_default();
    let bundle = format!("{}{old}", new.cert_pem);
    store.write(&store.authority_file(file::CA_CERT), bundle.as_bytes())?;
    Ok(Identity { cert_pem: bundle, key_pem: new.key_pem })
}

fn begin(store: &Store) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let authority = Core::authority(store, false)?;
    let present = authority.ca;
    let _lock = store.lock_ca()?;
    // Begun before: the machines that were not reached then follow now. One that had expired is replaced already.
    if authority.replaced || old_ca(store, now)?.is_some_and(|old| !certs::same(&old.cert_pem, &present.cert_pem)) {
        return Ok(());
    }
    store.write(&store.authority_file(file::OLD_CA_KEY), present.key_pem.as_bytes())?;
    store.write(&store.authority_file(file::OLD_CA_CERT), certs::first(&present.cert_pem)?.as_bytes())?;
    write_new_ca(store, now).map(|_| ())
}

/// Ends the trust in the old CA; answers whether there was one.
fn finish(store: &Store) -> Result<bool> {
    let authority = Core::authority(store, false)?;
    let present = authority.ca;
    let _lock = store.lock_ca()?;
    let old = store.read_text(&store.authority_file(file::OLD_CA_CERT))?;
    let same = old.as_ref().is_some_and(|old| certs::same(old, &present.cert_pem));
    if authority.replaced {
        return Ok(true);
    }
    if old.is_none() || same {
        return Ok(false);
    }
    let dropped =
        old.as_deref().map(certs::inspect).transpose()?.map(|old| Event::AuthorityDropped { serial: old.serial });
    audit::write(store, None, dropped.as_slice())?;
    store.write(&store.authority_file(file::CA_CERT), certs::first(&present.cert_pem)?.as_bytes())?;
    store.remove_file(&store.authority_file(file::OLD_CA_KEY))?;
    store.remove_file(&store.authority_file(file::OLD_CA_CERT))?;
    Ok(true)
}
