//! Where the CA and the client's certificate are, when `--tls-*` says so.

use std::path::PathBuf;

use super::{Store, file};

/// Other places for the CA and the client's certificate than `certs/`.
#[derive(Debug, Clone, Default)]
pub struct TlsPaths {
    /// The CA's certificate.
    pub ca_cert: Option<PathBuf>,
    /// Its private key.
    pub ca_key: Option<PathBuf>,
    /// The client's certificate.
    pub client_cert: Option<PathBuf>,
    /// Its private key.
    pub client_key: Option<PathBuf>,
}

impl Store {
    /// With the CA and the client's certificate at other places.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsPaths) -> Self {
        self.tls = tls;
        self
    }

    /// Whether the CA or the client's certificate is at another place than `certs/`: somebody else's choice.
    pub fn has_given_tls(&self) -> bool {
        let TlsPaths { ca_cert, ca_key, client_cert, client_key } = &self.tls;
        [ca_cert, ca_key, client_cert, client_key].into_iter().any(Option::is_some)
    }

    /// Where the file `name` of the CA or the client's certificate is: in `certs/`, or where it was said to be.
    pub fn authority_file(&self, name: &str) -> PathBuf {
        let elsewhere = match name {
            file::CA_CERT => &self.tls.ca_cert,
            file::CA_KEY => &self.tls.ca_key,
            file::CLIENT_CERT => &self.tls.client_cert,
            file::CLIENT_KEY => &self.tls.client_key,
            _ => &None,
        };
        elsewhere.clone().unwrap_or_else(|| self.certs_directory().join(name))
    }
}
