//! `rotate-ca`: another CA for the store, with a time in which clients of both are let in.
//!
//! In that time `ca.pem` holds both certificates, the new one first, and engines trust clients of both. Their own
//! certificates stay signed by the old CA, so that a client who knows the old one only still knows them.

use time::OffsetDateTime;

use super::{Core, Regenerate, Regenerated, blocking, create::wants_engine};
use crate::{
    certs::{self, Health, Identity},
    error::{Error, Kind, Result},
    store::{Phase, Store, file},
};

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
    /// Gives the store another CA, or ends the trust in the old one; answers the machines that have to follow.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when that step is not the next one, [`Kind::Store`].
    pub async fn rotate_ca(&self, how: Rotate) -> Result<Vec<String>> {
        let store = self.store.clone();
        blocking(move || {
            match how {
                Rotate::Begin => begin(&store)?,
                Rotate::Finish => finish(&store)?,
                Rotate::Now => begin(&store).and_then(|()| finish(&store))?,
            }
            // The client's certificate follows at once.
            Self::authority(&store, false).map(|_| ())
        })
        .await?;
        let mut names = Vec::new();
        for name in self.store.names()? {
            let Ok(record) = self.store.load(&name) else { continue };
            if record.phase != Phase::Ready || !wants_engine(&record) {
                continue;
            }
            if self.driver(&record).is_ok_and(|driver| driver.info().capabilities.engine) {
                names.push(name);
            } else {
                self.talk.about(&name).warn(
                    "rmachine does not manage its engine: have that trust the new CA, then copy the files as `rmachine doctor` says",
                );
            }
        }
        Ok(names)
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

/// The old CA while it may sign and be trusted: in an overlap, until it expires.
pub(super) fn old_ca(store: &Store, now: OffsetDateTime) -> Result<Option<Identity>> {
    let directory = store.certs_directory();
    let read = |name| store.read_text(&directory.join(name));
    let (Some(cert_pem), Some(key_pem)) = (read(file::OLD_CA_CERT)?, read(file::OLD_CA_KEY)?) else {
        return Ok(None);
    };
    let serves = certs::health(&certs::inspect(&cert_pem)?, now) != Health::Expired;
    Ok((serves && certs::key_matches(&cert_pem, &key_pem)?).then(|| Identity { cert_pem, key_pem: key_pem.into() }))
}

/// Writes a new CA in the place of the present one; the caller holds the CA's lock. The key comes first: a key without
/// a certificate is a CA that is not made yet.
pub(super) fn write_new_ca(store: &Store, now: OffsetDateTime) -> Result<Identity> {
    let directory = store.certs_directory();
    let owner = store.prepare()?;
    let new = certs::new_ca(owner.as_str(), now)?;
    store.remove_file(&directory.join(file::CA_CERT))?;
    store.write(&directory.join(file::CA_KEY), new.key_pem.as_bytes())?;
    let old = old_ca(store, now)?.map(|old| old.cert_pem).unwrap_or_default();
    let bundle = format!("{}{old}", new.cert_pem);
    store.write(&directory.join(file::CA_CERT), bundle.as_bytes())?;
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
    let directory = store.certs_directory();
    store.write(&directory.join(file::OLD_CA_KEY), present.key_pem.as_bytes())?;
    store.write(&directory.join(file::OLD_CA_CERT), certs::first(&present.cert_pem)?.as_bytes())?;
    write_new_ca(store, now).map(|_| ())
}

fn finish(store: &Store) -> Result<()> {
    let authority = Core::authority(store, false)?;
    let present = authority.ca;
    let _lock = store.lock_ca()?;
    let directory = store.certs_directory();
    let old = store.read_text(&directory.join(file::OLD_CA_CERT))?;
    let same = old.as_ref().is_some_and(|old| certs::same(old, &present.cert_pem));
    if authority.replaced {
        return Ok(());
    }
    if old.is_none() || same {
        return Err(Error::new(Kind::Conflict, "no CA is being replaced")
            .hint("`rmachine rotate-ca` makes a new one, and `--finish` ends the trust in the old one later"));
    }
    store.write(&directory.join(file::CA_CERT), certs::first(&present.cert_pem)?.as_bytes())?;
    store.remove_file(&directory.join(file::OLD_CA_KEY))?;
    store.remove_file(&directory.join(file::OLD_CA_CERT))
}
