//! The hot path: what clients need, from the machine's files alone, without a runtime and without a network.

use std::path::PathBuf;

use rmachine_engine::{self as engine, EngineVersion, TlsFiles};
use rmachine_model::{
    Endpoint,
    error::{Error, Kind, Result},
};
use rmachine_store::{LOOPBACK, Power, Record, file};

use super::Core;

/// How a docker client reaches a machine's engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The machine's name.
    pub name: String,
    /// `DOCKER_HOST`.
    pub url: String,
    /// The host to dial: this computer's loopback where the engine is reached through SSH.
    pub host: String,
    /// The address where ports answer that containers publish; mostly the same.
    pub ip: String,
    /// The port to dial.
    pub port: u16,
    /// Whether that is a tunnel, which [`Core::ensure_tunnel`] starts.
    pub tunnel: bool,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: PathBuf,
}

impl Core {
    /// How to reach the engine of machine `name`; asks nobody, and renews the client's certificate when it is due.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when it is stopped or not finished.
    pub fn access(&self, name: &str) -> Result<Access> {
        let record = self.store.load(name)?;
        self.require_ready(&record)?;
        require_running(&record)?;
        if let Some(url) = record.undialable() {
            return Err(Error::new(
                Kind::Conflict,
                format!("docker cannot dial {url:?}, the URL of machine \"{name}\""),
            )
            .hint("an engine's URL is tcp://HOST:PORT; remove the machine and create it with that"));
        }
        let (Some(url), Some(host)) = (record.url(), record.address()) else {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" has no address"))
                .known_as("Host is not running")
                .hint(format!("`rmachine start {name}` starts it and finds its address")));
        };
        let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(record.engine_port);
        let ip = record.published_address().unwrap_or_else(|| host.to_owned());
        let tunnel = record.tunnel_port.is_some();
        let host = if tunnel { LOOPBACK } else { host };
        let own = self.store.machine_directory(name);
        self.refresh_client(&record);
        let cert_path = if own.join(file::CA_CERT).exists() { own } else { self.store.certs_directory() };
        Ok(Access { name: name.to_owned(), host: host.to_owned(), ip, port, tunnel, url, cert_path })
    }

    /// The URL of machine `name` where its driver has recorded one that docker cannot dial, which [`Core::access`] refuses.
    ///
    /// # Errors
    ///
    /// As [`Core::access`].
    pub fn undialable_url(&self, name: &str) -> Result<Option<String>> {
        let record = self.store.load(name)?;
        self.require_ready(&record)?;
        Ok(record.undialable())
    }

    /// Asks the engine behind `access` for its version, over mTLS.
    ///
    /// # Errors
    ///
    /// [`Kind::Engine`] that says which part failed and which command mends it.
    pub async fn check(&self, access: &Access, timeout: std::time::Duration) -> Result<EngineVersion> {
        let read = |name: &str| {
            let path = access.cert_path.join(name);
            self.store.read_text(&path)?.ok_or_else(|| {
                Error::new(Kind::Engine, format!("{} is missing", path.display()))
                    .hint(format!("`rmachine regenerate-certs {}` writes it", access.name))
            })
        };
        let (ca, cert, key) = (read(file::CA_CERT)?, read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?);
        let tls = TlsFiles { ca_pem: &ca, cert_pem: &cert, key_pem: &key };
        if access.tunnel && !self.tunnel_runs(&access.name)? {
            return self.check_through(&self.store.load(&access.name)?, &tls, timeout).await;
        }
        let endpoint = Endpoint { host: access.host.clone(), port: access.port };
        engine::check(&endpoint, &tls, timeout).await.map_err(|e| {
            let kept_out = !access.tunnel && e.may_be_kept_out() && self.has_firewall(&access.name);
            let error = Error::from(e)
                .about(&access.name)
                .context(format!("the engine of machine \"{}\" is not reachable", access.name));
            match kept_out {
                true => {
                    error.hint(format!("`rmachine allow {}` lets you in when your address has changed", access.name))
                }
                false => error,
            }
        })
    }
}

impl Core {
    /// The machine whose URL `docker_host` is, by the records; `named` decides between several of one URL. A machine that
    /// is stopped is none, as in docker-machine.
    ///
    /// # Errors
    ///
    /// [`Kind::Store`] when the store does not read; a damaged record is passed over.
    pub fn active(&self, docker_host: &str, named: &str) -> Result<Option<String>> {
        if docker_host.is_empty() {
            return Ok(None);
        }
        let is_active = |name: &String| {
            self.store.load(name).is_ok_and(|record| {
                record.power != Power::Stopped
                    && record.url().is_some_and(|url| url == docker_host.trim_end_matches('/'))
            })
        };
        let mut names: Vec<String> = self.store.names()?.into_iter().filter(is_active).collect();
        let first = names.iter().position(|name| name == named).unwrap_or_default();
        Ok((first < names.len()).then(|| names.swap_remove(first)))
    }

    /// Whether `allow` could change who reaches machine `name`.
    fn has_firewall(&self, name: &str) -> bool {
        let driver = self.store.load(name).ok().and_then(|record| self.driver(&record).ok().cloned());
        driver.is_some_and(|driver| driver.info().capabilities.ingress)
    }
}

/// Refuses a machine that was seen stopped.
pub(super) fn require_running(record: &Record) -> Result<()> {
    let name = &record.name;
    if record.power == Power::Stopped {
        return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is stopped"))
            .known_as("Host is not running")
            .hint(format!("start it with `rmachine start {name}`")));
    }
    Ok(())
}
