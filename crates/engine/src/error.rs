//! Why an engine cannot be talked to.

use std::{io, time::Duration};

use rmachine_model::{
    Endpoint,
    error::{self, Kind},
};
use rustls::{AlertDescription, CertificateError};

use super::bounded::Endless;

/// A failed call to an engine; the texts begin with its URL or say whose certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("{0} cannot be connected to")]
    Unreachable(String, #[source] io::Error),
    /// No answer in time.
    #[error("{0} did not answer in {1:?}")]
    TimedOut(String, Duration),
    /// Its certificate is of another CA.
    #[error("the engine at {0} shows a certificate that this store's CA did not sign")]
    ForeignCertificate(String),
    /// Its certificate is for other names.
    #[error("the engine's certificate is not for {0}")]
    WrongName(String, #[source] rustls::Error),
    /// Its certificate is over.
    #[error("the certificate of the engine at {0} has expired")]
    Expired(String),
    /// It refuses our certificate.
    #[error("the engine at {0} refuses this store's client certificate")]
    ClientRefused(String, #[source] rustls::Error),
    /// Our own files do not serve.
    #[error("this store's certificates cannot be used: {0}")]
    Identity(String),
    /// It does not speak TLS.
    #[error("{0} does not speak TLS as an engine should")]
    NotTls(String, #[source] io::Error),
    /// It speaks, but is no engine.
    #[error("{0} does not answer as a Docker Engine")]
    NotDocker(String),
    /// The API call failed.
    #[error("the engine at {0} failed to answer")]
    Api(String, #[source] bollard::errors::Error),
    /// It answers more than an engine does.
    #[error("the engine at {0} answers without end")]
    Endless(String),
    /// The connection broke.
    #[error("the connection to {0} broke")]
    Broken(String, #[source] hyper::Error),
}

impl Error {
    /// Whether a starting engine may show this, so that waiting helps.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(..) | Self::TimedOut(..) | Self::NotTls(..) | Self::Broken(..) | Self::Api(..))
    }

    /// Whether a firewall between may be the reason.
    pub fn may_be_kept_out(&self) -> bool {
        matches!(self, Self::Unreachable(..) | Self::TimedOut(..))
    }

    /// What the user can do.
    fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable(..) | Self::TimedOut(..) => "`rmachine status NAME` shows its state",
            Self::ForeignCertificate(_) | Self::WrongName(..) | Self::Expired(_) | Self::ClientRefused(..) => {
                "`rmachine regenerate-certs NAME` issues certificates that fit"
            }
            Self::Identity(_) => "`rmachine regenerate-certs --client-certs NAME` issues them anew",
            Self::Endless(_) | Self::NotTls(..) | Self::NotDocker(_) | Self::Api(..) | Self::Broken(..) => {
                "`rmachine ssh NAME sudo systemctl status docker` shows the engine's own words"
            }
        }
    }

    /// Takes apart a failed handshake.
    pub(super) fn from_tls(endpoint: &Endpoint, error: io::Error) -> Self {
        let url = endpoint.url();
        let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                    Self::NotTls(url, error)
                }
                _ => Self::Unreachable(url, error),
            };
        };
        Self::from_rustls(endpoint, tls).unwrap_or_else(|| Self::NotTls(url, error))
    }

    fn from_rustls(endpoint: &Endpoint, tls: &rustls::Error) -> Option<Self> {
        let url = endpoint.url();
        match tls {
            rustls::Error::InvalidCertificate(problem) => Some(match problem {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName(endpoint.host.clone(), tls.clone())
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired(url),
                _ => Self::ForeignCertificate(url),
            }),
            rustls::Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::AccessDenied,
            ) => Some(Self::ClientRefused(url, tls.clone())),
            _ => None,
        }
    }

    /// Takes apart an HTTP failure: with TLS 1.3 the refusal of our certificate comes at the first read.
    pub(super) fn from_hyper(endpoint: &Endpoint, error: hyper::Error) -> Self {
        if find::<Endless>(&error).is_some() {
            return Self::Endless(endpoint.url());
        }
        match find(&error).and_then(|tls| Self::from_rustls(endpoint, tls)) {
            Some(refused) => refused,
            None => Self::Broken(endpoint.url(), error),
        }
    }

    /// Takes apart a failed API call.
    pub(super) fn from_bollard(endpoint: &Endpoint, error: bollard::errors::Error) -> Self {
        if find::<Endless>(&error).is_some() {
            return Self::Endless(endpoint.url());
        }
        if let Some(refused) = find(&error).and_then(|tls| Self::from_rustls(endpoint, tls)) {
            return refused;
        }
        match error {
            bollard::errors::Error::JsonDataError { .. } | bollard::errors::Error::APIVersionParseError {} => {
                Self::NotDocker(endpoint.url())
            }
            other => Self::Api(endpoint.url(), other),
        }
    }
}

/// The error of type `T` below `error`, however deep; `io::Error` hides its inner one from `source()`.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(tls) = current.downcast_ref::<T>() {
            return Some(tls);
        }
        let inner = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|e| e.downcast_ref::<T>()) {
            return Some(tls);
        }
        next = current.source();
    }
    None
}

impl From<Error> for error::Error {
    fn from(e: Error) -> Self {
        let hint = e.hint();
        let error = Self::new(Kind::Engine, e.to_string()).hint(hint);
        match std::error::Error::source(&e) {
            Some(source) => error.source(source.to_string()),
            None => error,
        }
    }
}
