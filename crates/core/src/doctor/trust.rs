//! A machine's own CA, and what its engine and its clients have of it.

use rmachine_certs::{self as certs, Health};
use rmachine_model::error::Result;
use rmachine_provider_api::Finding;
use rmachine_store::{Phase, Record, file};

use super::{certificates::Certificates, failed};
use crate::{Core, create::wants_engine, trust::Own};

impl Core {
    /// What is to be said of the certificates of `record`'s machine, which has a CA of its own.
    pub(super) fn look_at_own_trust(&self, record: &Record, certificates: &Certificates) -> Vec<Finding> {
        if !matches!(record.phase, Phase::Ready | Phase::Provisioning) || !wants_engine(record) {
            return Vec::new();
        }
        // Another process may be changing them.
        if self.is_locked(&record.name) {
            return Vec::new();
        }
        let found = self.own_trust(record, certificates);
        vec![found.unwrap_or_else(|error| failed(&record.name, &error))]
    }

    fn own_trust(&self, record: &Record, certificates: &Certificates) -> Result<Finding> {
        let name = record.name.as_str();
        let anew = format!("`rmachine regenerate-certs {name}`");
        let rotate = format!("`rmachine rotate-ca {name}` makes a new one");
        let directory = self.store.machine_directory(name);
        let Some(own) = Own::read(&self.store, record, certificates.now())? else {
            let text = format!("its CA {}/{} is missing", directory.display(), file::AUTHORITY);
            return Ok(Finding::bad(name, text, format!("restore it from a backup, or {anew} makes another one")));
        };
        let info = certs::inspect(&own.ca.cert_pem)?;
        if certs::health(&info, certificates.now()) != Health::Good
            && let Some(finding) = certificates.by_the_clock(name, "its CA", &info, &rotate)
        {
            return Ok(finding);
        }
        let moves = !own.admitted.is_empty();
        let signer = own.old.as_ref().unwrap_or(&own.ca);
        if self.is_to_move(record) {
            let text = "it has a certificate of the store's CA still, which it shares with other machines";
            return Ok(Finding::warning(name, text, format!("{anew} gives it one of its own")));
        }
        let (found, until) = certificates.server(self, record, &signer.cert_pem)?;
        if let Some(found) = found {
            return Ok(found);
        }
        if let Some(found) = self.own_client(record, &own, certificates)? {
            return Ok(found);
        }
        if record.ends_old_trust {
            let text = "its engine may trust the CA before this one still";
            return Ok(Finding::warning(name, text, format!("{anew} ends that")));
        }
        if moves || own.old.is_some() {
            let whom = if moves { "clients of the CA that it had before are" } else { "clients of its old CA are" };
            let remedy = format!("`rmachine rotate-ca --finish {name}`, when all clients have the new files");
            return Ok(Finding::warning(name, format!("{whom} let in still"), remedy));
        }
        let until = until.map(|until| until.date().to_string()).unwrap_or_default();
        Ok(Finding::good(name, format!("its certificate is good until {until}")))
    }

    /// The client's files in the machine's directory.
    fn own_client(&self, record: &Record, own: &Own, certificates: &Certificates) -> Result<Option<Finding>> {
        let name = record.name.as_str();
        let remedy = format!("`rmachine regenerate-certs {name}`");
        let directory = self.store.machine_directory(name);
        let read = |file| self.store.read_text(&self.store.machine_file(name, file));
        let (ca, cert, key) = (read(file::CA_CERT)?, read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?);
        let (Some(ca), Some(cert), Some(key)) = (ca, cert, key) else {
            let text = format!("ca.pem, cert.pem or key.pem is missing in {}", directory.display());
            return Ok(Some(Finding::bad(name, text, remedy)));
        };
        if ca != own.bundle() {
            let signer = own.old.as_ref().unwrap_or(&own.ca);
            let known = certs::split(&ca).is_ok_and(|known| known.certs.contains(&signer.cert_pem));
            let text = format!("{}/ca.pem is not what its clients shall trust", directory.display());
            return Ok(Some(match known {
                true => Finding::warning(name, text, remedy),
                false => Finding::bad(name, text, remedy),
            }));
        }
        Ok(match certificates.leaf(&cert, &key, &own.ca.cert_pem) {
            Err(error) => Some(Finding::bad(name, format!("cert.pem: {error}"), remedy)),
            Ok((_, Some(wrong))) => {
                let text = format!("the client's certificate in {} {wrong}", directory.display());
                Some(Finding::bad(name, text, remedy))
            }
            Ok((info, None)) => certificates.by_the_clock(name, "the client's certificate", &info, &remedy),
        })
    }
}
