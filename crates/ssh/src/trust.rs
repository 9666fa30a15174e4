//! Host keys: which are trusted, and the check of the one that is shown.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    Channel, ChannelOpenFailure,
    client::{self, ChannelOpenHandle, Msg},
    keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate, known_hosts::known_host_keys_path},
};

use super::{
    Error, HostKeys, Result, Route, Target, keys,
    session::{self, Limits},
};

/// Key types for hosts that we make: ed25519, and ECDSA for images in FIPS mode.
static MODERN: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// RSA with SHA-2 (RFC 8332), for hosts that others made; never ssh-rsa.
static RSA: [Algorithm; 2] =
    [Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }];

/// What is trusted for one connection.
#[derive(Debug, Clone)]
pub(super) enum Trusted {
    Keys(Vec<PublicKey>),
    /// The fingerprint of a key of one of these types.
    Fingerprint(String, &'static [Algorithm]),
    /// Nothing: the key is looked at, and the connection ends there.
    Nothing,
}

impl Trusted {
    /// Reads what `target` says of its host: one thing to try, or several of which one has to fit. A
    /// fingerprint does not tell its key's type, and a host shows one key only.
    pub(super) fn of(target: &Target) -> Result<Vec<Self>> {
        match &target.host_keys {
            HostKeys::Pinned(lines) => {
                let keys = lines.iter().map(|line| keys::parse_public_key(line)).collect::<Result<_>>()?;
                Ok(vec![Self::Keys(keys)])
            }
            HostKeys::Fingerprint(fingerprint) => {
                let families: [&'static [Algorithm]; 3] = [&MODERN[..1], &MODERN[1..], &RSA];
                Ok(families.map(|family| Self::Fingerprint(fingerprint.clone(), family)).into())
            }
            HostKeys::KnownHosts(files) => {
                let known = known_keys(files, &target.host, target.port)?;
                if known.is_empty() {
                    return Err(Error::UnknownHost { host: target.host.clone() });
                }
                Ok(vec![Self::Keys(known)])
            }
        }
    }

    /// The host key types to negotiate: those of trusted keys only, so that no other is ever shown.
    pub(super) fn algorithms(&self) -> Cow<'static, [Algorithm]> {
        let all = || MODERN.iter().chain(&RSA).cloned();
        let types: Vec<Algorithm> = match self {
            Self::Keys(keys) => {
                all().filter(|algorithm| keys.iter().any(|key| same_type(&key.algorithm(), algorithm))).collect()
            }
            Self::Fingerprint(_, family) => family.to_vec(),
            Self::Nothing => all().collect(),
        };
        Cow::Owned(types)
    }

    fn admits(&self, shown: &PublicKey) -> bool {
        match self {
            Self::Keys(keys) => keys.iter().any(|key| key.key_data() == shown.key_data()),
            Self::Fingerprint(fingerprint, _) => keys::fingerprint_of(shown) == *fingerprint,
            Self::Nothing => false,
        }
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Keys(keys) => keys.iter().map(keys::fingerprint_of).collect::<Vec<_>>().join(" or "),
            Self::Fingerprint(fingerprint, _) => fingerprint.clone(),
            Self::Nothing => "nothing".to_owned(),
        }
    }
}

fn same_type(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

/// The key that a host has shown, seen from outside the connection's task.
pub(super) type Shown = Arc<Mutex<Option<PublicKey>>>;

/// Checks the host's key in the key exchange, before anything of ours is sent.
pub(super) struct Verifier {
    pub(super) trusted: Trusted,
    pub(super) shown: Shown,
}

impl client::Handler for Verifier {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(self.trusted.admits(key))
    }

    // A server may open channels too (RFC 4254, sections 6.3.2, 7.2; OpenSSH's PROTOCOL file, section 2.4), and russh
    // accepts them by itself. Nothing that we ask for makes one: no reverse forward, no agent, no X11. A reply that is
    // dropped refuses. Who asks for a forward one day keeps its targets and their number beside `shown`, and accepts
    // these alone.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("forwarded-tcpip", reply).await
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("forwarded-streamlocal", reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("auth-agent", reply).await
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("session", reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("direct-tcpip", reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("direct-streamlocal", reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        refuse("x11", reply).await
    }
}

/// Refuses a channel that nobody here asked for.
async fn refuse(kind: &str, reply: ChannelOpenHandle) -> Result<(), russh::Error> {
    tracing::debug!("the host opens a channel of type {kind}, which is refused");
    reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}

fn known_keys(files: &[PathBuf], host: &str, port: u16) -> Result<Vec<PublicKey>> {
    let (mut known, mut revoked) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| Path::exists(file)) {
        let found =
            known_host_keys_path(host, port, file).map_err(|e| Error::Key(file.clone(), std::io::Error::other(e)))?;
        known.extend(found.into_iter().map(|(_, key)| key));
        let text = std::fs::read_to_string(file).map_err(|e| Error::Key(file.clone(), e))?;
        revoked.extend(revoked_keys(&text));
    }
    known.retain(|key| !revoked.iter().any(|other| other.key_data() == key.key_data()));
    Ok(known)
}

/// Keys on `@revoked` lines (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), of whatever host: none of them is ours.
fn revoked_keys(text: &str) -> impl Iterator<Item = PublicKey> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        fields.next().filter(|marker| *marker == "@revoked")?;
        let (_hosts, kind, key) = (fields.next()?, fields.next()?, fields.next()?);
        keys::parse_public_key(&format!("{kind} {key}")).ok()
    })
}

/// Whether one of the known_hosts `files` has a key of the host.
///
/// # Errors
///
/// When a file does not read.
pub fn known_hosts_knows(files: &[PathBuf], host: &str, port: u16) -> Result<bool> {
    Ok(!known_keys(files, host, port)?.is_empty())
}

/// Learns the key that a host shows, without logging in; for a question to the user.
///
/// # Errors
///
/// [`Error::Unreachable`], [`Error::TimedOut`], [`Error::Protocol`].
pub async fn scan_host_key(host: &str, port: u16, route: &Route, timeout: Duration) -> Result<String> {
    let shown = Shown::default();
    let verifier = Verifier { trusted: Trusted::Nothing, shown: shown.clone() };
    let result = session::handshake(route, (host, port, ""), verifier, Limits::of(timeout)).await;
    let key = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (key, result) {
        (Some(key), _) => key.to_openssh().map_err(|_| Error::PublicKey(String::new())),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(Error::UnknownHost { host: host.to_owned() }),
    }
}

#[cfg(test)]
mod properties;
