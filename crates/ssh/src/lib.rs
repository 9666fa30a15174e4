//! SSH client on russh: one connection, several channels, pinned host keys only.

mod budget;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
mod keyring;
mod keys;
mod lines;
mod login;
mod outcome;
mod route;
mod session;
mod sftp;
mod terminal;
mod trust;
mod wait;

use std::{path::PathBuf, sync::Arc};

pub use self::{
    budget::{Budget, Budgets},
    error::Error,
    keyring::{AskPassphrase, Keyring},
    keys::{KeyPair, authorized_key, fingerprint, public_half, same_key},
    outcome::{Exit, Output, Stream},
    route::Route,
    session::Session,
    sftp::{Attributes, Download, Name, Sftp, SftpError, Upload},
    trust::{known_hosts_knows, scan_host_key},
    wait::WaitPolicy,
};

#[cfg(any(test, feature = "fake"))]
pub use self::sftp::fake::{Say as FakeSay, sftp as fake_sftp};

/// Result of this module's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where to log in, with what, and how the host is known.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// Key files, tried in this order; those that want a passphrase come last.
    pub keys: Vec<PathBuf>,
    /// Where the keys of locked files may come from.
    pub keyring: Arc<Keyring>,
    /// Whether keys of the agent that are in none of the files are offered as well.
    pub offer_agent: bool,
    /// How the connection is had.
    pub route: Route,
    /// How the host is known.
    pub host_keys: HostKeys,
    /// What the host may take of us.
    pub budgets: Budgets,
}

/// How a host is known. There is no way to accept any key.
#[derive(Debug, Clone)]
pub enum HostKeys {
    /// By one of these OpenSSH public keys.
    Pinned(Vec<String>),
    /// By the fingerprint of its key, `SHA256:…`.
    Fingerprint(String),
    /// By an entry in one of these known_hosts files.
    KnownHosts(Vec<PathBuf>),
}

#[cfg(test)]
mod tests;
