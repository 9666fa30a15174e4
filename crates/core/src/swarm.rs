//! Swarm mode of an engine: a machine becomes the first manager.

use std::time::Duration;

use rmachine_engine as engine;
use rmachine_model::{
    Endpoint,
    error::{Error, Kind, Result},
};
use rmachine_store::file;

use super::Core;

/// How long the engine may take to become a manager.
const START: Duration = Duration::from_secs(60);

impl Core {
    /// Makes the engine of machine `name` the first manager of a swarm; one that is in a swarm stays as it is.
    ///
    /// # Errors
    ///
    /// [`Kind::Engine`] when it does not answer or refuses, [`Kind::Conflict`] where it is reached through SSH only.
    pub async fn start_swarm(&self, name: &str) -> Result<()> {
        let access = self.access(name)?;
        if access.tunnel {
            return Err(Error::new(Kind::Conflict, format!("machine \"{name}\" is reached through SSH only"))
                .hint(format!("`rmachine ssh {name} sudo docker swarm init` makes it a manager")));
        }
        let record = self.store.load(name)?;
        let read = |file: &str| {
            self.store.read_text(&access.cert_path.join(file))?.ok_or_else(|| {
                Error::new(Kind::Engine, format!("{file} of machine \"{name}\" is missing"))
                    .hint(format!("`rmachine regenerate-certs {name}` writes it"))
            })
        };
        let (ca, cert, key) = (read(file::CA_CERT)?, read(file::CLIENT_CERT)?, read(file::CLIENT_KEY)?);
        let tls = engine::TlsFiles { ca_pem: &ca, cert_pem: &cert, key_pem: &key };
        let endpoint = Endpoint { host: access.host.clone(), port: access.port };
        // Nodes of one network reach it at its own address.
        let own = record.host.as_ref().and_then(|host| host.addresses.iter().find(|address| address.is_ipv4()));
        let advertised = own.map_or_else(|| access.host.clone(), ToString::to_string);
        engine::start_swarm(&endpoint, &tls, &advertised, START)
            .await
            .map_err(|e| Error::from(e).about(name).context(format!("machine \"{name}\" does not become a manager")))
    }
}
