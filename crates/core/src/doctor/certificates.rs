//! The CA, the client's certificate, and what each machine has of both.

use rmachine_certs::{self as certs, CertInfo, Health, Sans};
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::Finding;
use rmachine_store::{Phase, Record, Store, Trust, file};
use time::OffsetDateTime;

use super::failed;
use crate::{Core, create::wants_engine, provision::sans};

/// Where the CA's own files would have to come from: no other CA is trusted by the machines.
const RESTORE: &str = "restore ca.pem and ca-key.pem from one backup; machines trust the CA that made them";

/// The store's own certificates as they are on disk.
pub(super) struct Certificates {
    directory: String,
    files: Result<Files>,
    now: OffsetDateTime,
}

/// PEM texts; `None` is missing.
struct Files {
    ca: Option<String>,
    ca_key: Option<String>,
    client: Option<String>,
    client_key: Option<String>,
    old_ca: Option<String>,
}

impl Certificates {
    pub(super) fn read(store: &Store, now: OffsetDateTime) -> Self {
        let directory = store.certs_directory();
        let read = |name| store.read_text(&store.authority_file(name));
        let files = || {
            Ok(Files {
                ca: read(file::CA_CERT)?,
                ca_key: read(file::CA_KEY)?,
                client: read(file::CLIENT_CERT)?,
                client_key: read(file::CLIENT_KEY)?,
                // One that is over signs nothing any more.
                old_ca: read(file::OLD_CA_CERT)?
                    .filter(|old| certs::inspect(old).is_ok_and(|info| certs::health(&info, now) != Health::Expired)),
            })
        };
        Self { files: files(), directory: directory.display().to_string(), now }
    }

    /// The time that they are looked at.
    pub(super) fn now(&self) -> OffsetDateTime {
        self.now
    }

    /// What is to be said of the CA and the client's certificate; whether there are `machines` that trust them.
    pub(super) fn findings(&self, machines: bool) -> Vec<Finding> {
        match &self.files {
            Err(error) => vec![failed("CA", error)],
            Ok(files) => {
                let ca = self.ca(files, machines);
                if ca.health == rmachine_provider_api::Health::Bad || files.ca.is_none() {
                    return vec![ca];
                }
                vec![ca, self.client(files)]
            }
        }
    }

    fn ca(&self, files: &Files, machines: bool) -> Finding {
        let (cert, key) = match (&files.ca, &files.ca_key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if !machines => return Finding::good("CA", "none yet; the first create makes it"),
            (None, Some(_)) if !machines => return Finding::good("CA", "a key only; the next create makes the rest"),
            (None, Some(_)) => {
                return Finding::warning(
                    "CA",
                    format!("{}/{} is missing", self.directory, file::CA_CERT),
                    "`rmachine regenerate-certs NAME` restores it from a machine's copy",
                );
            }
            (_, None) => {
                return Finding::bad("CA", format!("its key {}/{} is missing", self.directory, file::CA_KEY), RESTORE);
            }
        };
        let info = match certs::inspect(cert).and_then(|info| Ok((info, certs::key_matches(cert, key)?))) {
            Ok((info, true)) => info,
            Ok((_, false)) => {
                return Finding::bad(
                    "CA",
                    format!("ca.pem and ca-key.pem in {} do not belong together", self.directory),
                    RESTORE,
                );
            }
            Err(error) => return Finding::bad("CA", format!("in {}: {error}", self.directory), RESTORE),
        };
        let rotate = "`rmachine rotate-ca` makes a new one and hands it to all machines";
        if let Some(finding) = self.by_the_clock("CA", "the CA", &info, rotate) {
            return finding;
        }
        if files.old_ca.is_some() {
            return Finding::warning(
                "CA",
                "it is being replaced, and the old one is trusted still",
                "`rmachine rotate-ca --finish`, when all clients have the new one",
            );
        }
        Finding::good("CA", format!("good until {}", info.not_after.date()))
    }

    fn client(&self, files: &Files) -> Finding {
        const ANEW: &str = "`rmachine regenerate-certs --client-certs NAME` for each machine issues it anew";
        let (Some(ca), Some(cert), Some(key)) = (&files.ca, &files.client, &files.client_key) else {
            return Finding::warning(
                "client",
                format!("cert.pem or key.pem is missing in {}; the next create makes them", self.directory),
                ANEW,
            );
        };
        match self.leaf(cert, key, ca) {
            Err(error) => Finding::bad("client", format!("{}/cert.pem: {error}", self.directory), ANEW),
            Ok((_, Some(wrong))) => Finding::bad("client", format!("{}/cert.pem {wrong}", self.directory), ANEW),
            Ok((info, None)) => self
                .by_the_clock("client", "the client's certificate", &info, ANEW)
                .unwrap_or_else(|| Finding::good("client", format!("good until {}", info.not_after.date()))),
        }
    }

    /// What is to be said of machine `record`'s certificate and copies.
    pub(super) fn of_machine(&self, core: &Core, record: &Record) -> Vec<Finding> {
        if record.trust == Trust::Own {
            return core.look_at_own_trust(record, self);
        }
        let Ok(files) = &self.files else { return Vec::new() };
        // Without a CA nothing can be compared, and that was said.
        let Some(ca) = &files.ca else { return Vec::new() };
        if !matches!(record.phase, Phase::Ready | Phase::Provisioning) || !wants_engine(record) {
            return Vec::new();
        }
        let name = record.name.as_str();
        let managed = core.driver(record).is_ok_and(|driver| driver.info().capabilities.engine);
        let shared = match record.trust {
            Trust::Given => "; it is shared: whoever has that CA's key or that client's key has this machine, too",
            _ => "",
        };
        let looked = || -> Result<(Option<Finding>, Option<OffsetDateTime>)> {
            if let Some(finding) = self.copies(core, record, files, ca, managed)? {
                return Ok((Some(finding), None));
            }
            let signer = files.old_ca.as_ref().unwrap_or(ca);
            if managed { self.server(core, record, signer) } else { Ok((None, None)) }
        };
        vec![match looked() {
            Err(error) => failed(name, &error),
            Ok((Some(finding), _)) => finding,
            // Each other one of that CA is trusted as this one.
            Ok((None, Some(_))) if record.trust == Trust::Store && core.wanted_trust(record) == Trust::Own => {
                Finding::warning(
                    name,
                    "it has the store's CA still, which it shares with other machines",
                    format!("`rmachine regenerate-certs {name}` gives it one of its own"),
                )
            }
            Ok((None, Some(until))) => {
                Finding::good(name, format!("its certificate is good until {}{shared}", until.date()))
            }
            Ok((None, None)) => {
                Finding::good(name, format!("its copies of the client's files are the store's{shared}"))
            }
        }]
    }

    /// The machine's directory is a client's `DOCKER_CERT_PATH`: what is in it has to be the store's.
    fn copies(&self, core: &Core, record: &Record, files: &Files, ca: &str, managed: bool) -> Result<Option<Finding>> {
        let name = record.name.as_str();
        let directory = core.store.machine_directory(name);
        let remedy = if managed {
            format!("`rmachine regenerate-certs {name}`")
        } else {
            let (from, to) = (&self.directory, directory.display());
            format!("`cp -p {from}/ca.pem {from}/cert.pem {from}/key.pem {to}/`")
        };
        let read = |file| core.store.read_text(&core.store.machine_file(name, file));
        let (copy_ca, cert, key) = (read(file::CA_CERT)?, read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?);
        let (Some(copy_ca), Some(cert), Some(key)) = (copy_ca, cert, key) else {
            let text = format!("ca.pem, cert.pem or key.pem is missing in {}", directory.display());
            return Ok(Some(Finding::bad(name, text, remedy)));
        };
        if copy_ca != ca {
            // As imported: with the client's files of the CA that it came with.
            let serves = !certs::same(&copy_ca, ca)
                && matches!(self.leaf(&cert, &key, &copy_ca), Ok((info, None)) if certs::health(&info, self.now) != Health::Expired);
            return Ok(Some(if record.imported && serves {
                let text = "it has the certificates of the CA that it was imported with, and they are good";
                Finding::warning(name, text, remedy)
            } else {
                let text = format!("{}/ca.pem is not the store's CA", directory.display());
                Finding::bad(name, text, remedy)
            }));
        }
        if Some(&cert) == files.client.as_ref() && Some(&key) == files.client_key.as_ref() {
            return Ok(None);
        }
        let text = format!("the client's certificate in {} is not the store's", directory.display());
        Ok(Some(match self.leaf(&cert, &key, ca) {
            Ok((info, None)) if certs::health(&info, self.now) != Health::Expired => {
                Finding::warning(name, format!("{text}, but the engine takes it"), remedy)
            }
            _ => Finding::bad(name, text, remedy),
        }))
    }

    /// The certificate of the machine's engine, by our copy.
    pub(super) fn server(
        &self,
        core: &Core,
        record: &Record,
        ca: &str,
    ) -> Result<(Option<Finding>, Option<OffsetDateTime>)> {
        let name = record.name.as_str();
        let remedy = format!("`rmachine regenerate-certs {name}`");
        let read = |file| core.store.read_text(&core.store.machine_file(name, file));
        let (Some(cert), Some(key)) = (read(file::SERVER_CERT)?, read(file::SERVER_KEY)?) else {
            let text = "server.pem or server-key.pem is missing: its certificate cannot be looked at";
            return Ok((Some(Finding::warning(name, text, remedy)), None));
        };
        let info = match self.leaf(&cert, &key, ca) {
            Err(error) => return Ok((Some(Finding::bad(name, format!("server.pem: {error}"), remedy)), None)),
            Ok((_, Some(wrong))) => return Ok((Some(Finding::bad(name, format!("server.pem {wrong}"), remedy)), None)),
            Ok((info, None)) => info,
        };
        if let Some(finding) = self.by_the_clock(name, "its certificate", &info, &remedy) {
            return Ok((Some(finding), None));
        }
        if certs::covers(&info, &sans(record)?) {
            return Ok((None, Some(info.not_after)));
        }
        let dialed = Sans::parse(record.address())?;
        let text = "its certificate does not name all of its addresses";
        Ok((
            Some(if certs::covers(&info, &dialed) {
                Finding::warning(name, text, remedy)
            } else {
                let address = record.address().unwrap_or_default();
                Finding::bad(
                    name,
                    format!("{text}: {address} is not in it, and that is the one that is dialled"),
                    remedy,
                )
            }),
            None,
        ))
    }

    /// Reads a leaf with its key; answers what is wrong with it besides its age.
    pub(super) fn leaf(&self, cert: &str, key: &str, ca: &str) -> Result<(CertInfo, Option<&'static str>), Error> {
        let info = certs::inspect(cert)?;
        let wrong = if !certs::signed_by(cert, ca)? {
            Some("is not signed by its CA")
        } else if !certs::key_matches(cert, key)? {
            Some("does not belong to the key beside it")
        } else {
            None
        };
        Ok((info, wrong))
    }

    /// What is to be said of a certificate's dates; `None`: nothing.
    pub(super) fn by_the_clock(&self, subject: &str, what: &str, info: &CertInfo, remedy: &str) -> Option<Finding> {
        let (from, until) = (info.not_before.date(), info.not_after.date());
        match certs::health(info, self.now) {
            Health::Good => None,
            Health::RenewDue => Some(Finding::warning(subject, format!("{what} ends on {until}"), remedy)),
            Health::Expired => Some(Finding::bad(subject, format!("{what} has expired on {until}"), remedy)),
            Health::NotYetValid => Some(Finding::bad(
                subject,
                format!("{what} begins on {from}, and here it is {} now", self.now.date()),
                "set this computer's clock",
            )),
        }
    }
}
