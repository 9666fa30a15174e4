//! The engine's failures in the words of the provider API.

use bollard::errors::Error as Bollard;
use rmachine_provider_api::{Error, Kind, Result};

/// What went wrong with a call that was to `what`.
pub(crate) fn failed(host: &str, what: &str, error: Bollard) -> Error {
    let message = format!("the local engine cannot {what}");
    match &error {
        Bollard::SocketNotFoundError(_) => no_engine(host, error),
        Bollard::DockerResponseServerError { status_code, message: said } => {
            let kind = match status_code {
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                _ if port_in_use(said) => Kind::Conflict,
                _ => Kind::Other,
            };
            with_hint(Error::new(kind, message), said).source(said.trim().to_owned())
        }
        Bollard::DockerStreamError { error: said } => {
            with_hint(Error::new(Kind::Other, message), said).source(said.trim().to_owned())
        }
        Bollard::RequestTimeoutError => Error::new(Kind::Timeout, message).source(error),
        _ => match io_kind(&error) {
            Some(std::io::ErrorKind::PermissionDenied) => Error::new(
                Kind::Denied,
                format!("the local engine at {host} does not let you in"),
            )
            .hint("`sudo usermod -aG docker $USER`, then log in anew (or `newgrp docker`); who may use the engine is root")
            .source(error),
            Some(_) => no_engine(host, error),
            None => Error::new(Kind::Other, message).source(error),
        },
    }
}

fn no_engine(host: &str, error: Bollard) -> Error {
    Error::new(Kind::Unreachable, format!("no local engine answers at {host}"))
        .hint(
            "install it (Debian, Ubuntu: `sudo apt-get install docker.io`) or start it (`sudo systemctl start docker`); \
             --docker-host names another",
        )
        .source(error)
}

fn with_hint(error: Error, said: &str) -> Error {
    if said.contains("no space left on device") {
        error.hint("the engine's disk is full: `docker system df` shows by what, `docker system prune` frees some")
    } else if port_in_use(said) {
        error.hint("another program took the port: end it, or create the machine with another --docker-publish or --docker-bind-address")
    } else {
        error
    }
}

fn port_in_use(said: &str) -> bool {
    ["port is already allocated", "address already in use", "ports are not available"].iter().any(|w| said.contains(w))
}

/// The kind of the innermost I/O error.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    let mut found = None;
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            found = Some(io.kind());
        }
        next = cause.source();
    }
    found
}

/// Whether the engine says that there is no such thing.
pub(crate) fn is_missing(error: &Bollard) -> bool {
    matches!(error, Bollard::DockerResponseServerError { status_code: 404, .. })
}

/// Whether the engine answered that it does not do what it was asked for. A conflict is none: somebody took the name
/// first, maybe an earlier request of ours. Nor is what a proxy says that has no answer of the engine's (RFC 9110, 15.6.3-5).
pub(crate) fn is_refusal(error: &Bollard) -> bool {
    matches!(error, Bollard::DockerResponseServerError { status_code, .. } if ![409, 502, 503, 504].contains(status_code))
}

/// Success where the thing was missing.
pub(crate) fn unless_missing(result: Result<(), Bollard>) -> Result<(), Bollard> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}
