//! The store's CA and client certificate: made once, under a lock, also by parallel first creates.

use std::path::Path;

use time::OffsetDateTime;

use super::Core;
use crate::{
    certs::{self, Identity},
    error::{Error, Kind, Result},
    store::{Record, Store, file},
};

/// The CA and the client certificate that it signed.
pub(super) struct Authority {
    pub(super) ca: Identity,
    pub(super) client: Identity,
}

impl Core {
    /// Reads the CA and the client certificate, and makes them where they are missing or no longer good.
    pub(super) fn authority(store: &Store, renew_client: bool) -> Result<Authority> {
        let _lock = store.lock_ca()?;
        let now = OffsetDateTime::now_utc();
        let directory = store.certs_directory();
        let ca = match read(store, &directory, file::CA_CERT, file::CA_KEY)? {
            Some(ca) => ca,
            None => {
                let owner = store.prepare()?;
                let ca = certs::new_ca(owner.as_str(), now)?;
                write(store, &directory, file::CA_CERT, file::CA_KEY, &ca)?;
                ca
            }
        };
        let known = if renew_client { None } else { read(store, &directory, file::CLIENT_CERT, file::CLIENT_KEY)? };
        if let Some(client) = known {
            let good = certs::signed_by(&client.cert_pem, &ca.cert_pem)?
                && certs::health(&certs::inspect(&client.cert_pem)?, now) == certs::Health::Good;
            if good {
                return Ok(Authority { ca, client });
            }
        }
        let client = certs::issue_client(&ca, now)?;
        write(store, &directory, file::CLIENT_CERT, file::CLIENT_KEY, &client)?;
        Ok(Authority { ca, client })
    }

    /// Copies what clients need into the machine's directory: it is their `DOCKER_CERT_PATH`.
    pub(super) fn copy_client_files(store: &Store, record: &Record, authority: &Authority) -> Result<()> {
        let files = [
            (file::CA_CERT, authority.ca.cert_pem.as_bytes()),
            (file::CLIENT_CERT, authority.client.cert_pem.as_bytes()),
            (file::CLIENT_KEY, authority.client.key_pem.as_bytes()),
        ];
        for (name, content) in files {
            let path = store.machine_file(&record.name, name);
            if store.read_text(&path)?.is_none_or(|old| old.as_bytes() != content) {
                store.write(&path, content)?;
            }
        }
        Ok(())
    }
}

/// Reads a certificate and its key; `None` when both are missing.
fn read(store: &Store, directory: &Path, cert: &str, key: &str) -> Result<Option<Identity>> {
    let (cert_path, key_path) = (directory.join(cert), directory.join(key));
    match (store.read_text(&cert_path)?, store.read_text(&key_path)?) {
        (Some(cert_pem), Some(key_pem)) => {
            if !certs::key_matches(&cert_pem, &key_pem)? {
                return Err(Error::new(
                    Kind::Store,
                    format!("{} and {} do not belong together", cert_path.display(), key_path.display()),
                )
                .hint("restore both from one backup; machines trust the CA that made them"));
            }
            Ok(Some(Identity { cert_pem, key_pem: key_pem.into() }))
        }
        (None, None) => Ok(None),
        (Some(_), None) if key != file::CA_KEY => Ok(None),
        (None, Some(_)) => Ok(None),
        (Some(_), None) => Err(Error::new(Kind::Store, format!("the CA's key {} is missing", key_path.display()))
            .hint("restore it from a backup; without it no machine can get a certificate")),
    }
}

/// Writes the key first: a crash in between leaves a key without certificate, which is made anew.
fn write(store: &Store, directory: &Path, cert: &str, key: &str, identity: &Identity) -> Result<()> {
    store.write(&directory.join(key), identity.key_pem.as_bytes())?;
    store.write(&directory.join(cert), identity.cert_pem.as_bytes())
}
