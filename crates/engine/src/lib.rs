//! Client of the Docker Engine API over mutual TLS, trusting our CA and nothing else.

mod bounded;
mod error;
mod transport;

use std::{fmt, time::Duration};

use rmachine_model::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::error::Error;

/// What the client proves itself with, and whom it trusts; PEM texts.
#[derive(Clone, Copy)]
pub struct TlsFiles<'a> {
    /// The one CA that is trusted.
    pub ca_pem: &'a str,
    /// The client's certificate.
    pub cert_pem: &'a str,
    /// Its key.
    pub key_pem: &'a str,
}

impl fmt::Debug for TlsFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// The longest word of an engine's version that is taken, in bytes.
const LONGEST: usize = 128;

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Version of the engine, such as `26.1.5`.
    pub version: String,
    /// Newest API that it speaks, such as `1.45`.
    pub api_version: String,
    /// Architecture in Docker's words.
    pub arch: String,
}

/// Asks the engine at `endpoint` for its version, over mTLS, in `timeout` at most.
///
/// # Errors
///
/// [`Error`], which says the part that failed: connection, its certificate, ours, or the answer.
pub async fn check(endpoint: &Endpoint, tls: &TlsFiles<'_>, timeout: Duration) -> Result<EngineVersion, Error> {
    let work = async {
        let stream = transport::dial(endpoint).await?;
        version(stream, endpoint, tls).await
    };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(Error::TimedOut(endpoint.url(), timeout)))
}

/// Makes the engine at `endpoint` the first manager of a swarm, known to others as `advertised`; one that is in a swarm
/// already stays as it is (Docker API, POST /swarm/init).
///
/// # Errors
///
/// [`Error`], as of [`check`]; [`Error::Api`] when it refuses.
pub async fn start_swarm(
    endpoint: &Endpoint,
    tls: &TlsFiles<'_>,
    advertised: &str,
    timeout: Duration,
) -> Result<(), Error> {
    let work = async {
        let stream = transport::dial(endpoint).await?;
        let docker = transport::connect(stream, endpoint, tls).await?;
        let docker = docker.negotiate_version().await.map_err(|e| Error::from_bollard(endpoint, e))?;
        let request = bollard::models::SwarmInitRequest {
            listen_addr: Some("0.0.0.0:2377".to_owned()),
            advertise_addr: Some(advertised.to_owned()),
            ..Default::default()
        };
        match docker.init_swarm(request).await {
            Ok(_) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("already part of a swarm") =>
            {
                Ok(())
            }
            Err(error) => Err(Error::from_bollard(endpoint, error)),
        }
    };
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(Error::TimedOut(endpoint.url(), timeout)))
}

/// As [`check`], over `stream`, which ends at the engine that calls itself `endpoint`.
///
/// # Errors
///
/// As [`check`].
pub async fn check_over<S>(
    stream: S,
    endpoint: &Endpoint,
    tls: &TlsFiles<'_>,
    timeout: Duration,
) -> Result<EngineVersion, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let work = version(stream, endpoint, tls);
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(Error::TimedOut(endpoint.url(), timeout)))
}

async fn version<S>(stream: S, endpoint: &Endpoint, tls: &TlsFiles<'_>) -> Result<EngineVersion, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let docker = transport::connect(stream, endpoint, tls).await?;
    let docker = docker.negotiate_version().await.map_err(|e| Error::from_bollard(endpoint, e))?;
    let version = docker.version().await.map_err(|e| Error::from_bollard(endpoint, e))?;
    let arch = version.arch.unwrap_or_default();
    let (Some(version), Some(api_version)) = (version.version, version.api_version) else {
        return Err(Error::NotDocker(endpoint.url()));
    };
    let is_word = |word: &String| word.len() <= LONGEST && word.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if ![&version, &api_version, &arch].into_iter().all(is_word) {
        return Err(Error::NotDocker(endpoint.url()));
    }
    Ok(EngineVersion { version, api_version, arch })
}

#[cfg(test)]
mod tests {
    use super::TlsFiles;

    #[test]
    fn no_key_is_shown_for_debugging() {
        let files = TlsFiles { ca_pem: "authority", cert_pem: "certificate", key_pem: "verysecret" };
        let shown = format!("{files:?}");
        assert!(shown.contains("certificate") && !shown.contains("verysecret"), "{shown}");
    }
}
