//! docker-machine's CA: taken where this store has none, so that all clients go on working.

use rmachine_certs::{self as certs, Health};
use rmachine_model::error::Result;
use rmachine_store::{Store, file};
use serde::Serialize;
use time::OffsetDateTime;

/// What became of the source's CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenAuthority {
    /// This store had none and has theirs now.
    Taken,
    /// It is this store's already.
    Same,
    /// This store has another one: the machines keep theirs until their certificates are issued anew.
    Other,
    /// Theirs has expired, is not whole or is no CA: this store makes one of its own.
    Unusable,
}

/// Takes the CA and the client's certificate of `theirs` where `ours` has none; with `dry_run` only looks.
pub(super) fn take(ours: &Store, theirs: &Store, dry_run: bool) -> Result<TakenAuthority> {
    let (from, to) = (theirs.certs_directory(), ours.certs_directory());
    // Somebody else's files: what cannot be read is not there.
    let read = |name: &str| theirs.read_text(&from.join(name)).ok().flatten();
    let own = ours.read_text(&to.join(file::CA_CERT))?;
    let ca = read(file::CA_CERT);
    if let Some(own) = &own {
        let same = ca.is_some_and(|ca| certs::same(&ca, own));
        return Ok(if same { TakenAuthority::Same } else { TakenAuthority::Other });
    }
    if ours.read_text(&to.join(file::CA_KEY))?.is_some() {
        return Ok(TakenAuthority::Other);
    }
    let now = OffsetDateTime::now_utc();
    let (Some(cert), Some(key)) = (ca, read(file::CA_KEY)) else { return Ok(TakenAuthority::Unusable) };
    let usable = certs::inspect(&cert).is_ok_and(|info| info.is_ca && certs::health(&info, now) != Health::Expired)
        && certs::key_matches(&cert, &key).unwrap_or(false);
    if !usable {
        return Ok(TakenAuthority::Unusable);
    }
    if dry_run {
        return Ok(TakenAuthority::Taken);
    }
    ours.prepare()?;
    let _lock = ours.lock_ca()?;
    if ours.read_text(&to.join(file::CA_KEY))?.is_some() {
        return Ok(TakenAuthority::Other);
    }
    // The key first: a key without a certificate is a CA that is not made yet.
    ours.write(&to.join(file::CA_KEY), certs::pkcs8(&key)?.as_bytes())?;
    ours.write(&to.join(file::CA_CERT), certs::first(&cert)?.as_bytes())?;
    if let (Some(cert), Some(key)) = (read(file::CLIENT_CERT), read(file::CLIENT_KEY)) {
        // One that does not serve is made anew when it is needed.
        ours.write(&to.join(file::CLIENT_KEY), key.as_bytes())?;
        ours.write(&to.join(file::CLIENT_CERT), cert.as_bytes())?;
    }
    Ok(TakenAuthority::Taken)
}
