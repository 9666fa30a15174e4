//! Why a session cannot be had.

use std::{io, path::PathBuf, time::Duration};

use rmachine_model::error::{self, Kind};

use super::SftpError;

/// A failed SSH operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection.
    #[error("{host} does not accept SSH connections on port {port}")]
    Unreachable {
        /// Where to.
        host: String,
        /// TCP port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Nothing came back in time.
    #[error("{host} did not answer on port {port} in {after:?}")]
    TimedOut {
        /// Where to.
        host: String,
        /// TCP port.
        port: u16,
        /// How long it was waited for.
        after: Duration,
    },
    /// Another key than the known ones: nothing was sent.
    #[error("the host key of {host} is not the one that is known: it shows {shown}, expected {expected}")]
    HostKey {
        /// Which host.
        host: String,
        /// Fingerprint of the key that it shows.
        shown: String,
        /// Fingerprints that are known.
        expected: String,
    },
    /// No key is known for the host.
    #[error("the host key of {host} is not known")]
    UnknownHost {
        /// Which host.
        host: String,
    },
    /// None of the keys was accepted.
    #[error("{host} refuses the login of \"{user}\" with {tried}")]
    AuthRefused {
        /// Which host.
        host: String,
        /// Login name.
        user: String,
        /// What was tried.
        tried: String,
    },
    /// A private key does not read.
    #[error("the SSH key {} cannot be used", .0.display())]
    Key(PathBuf, #[source] io::Error),
    /// A public key does not read.
    #[error("not an SSH public key: {0:?}")]
    PublicKey(String),
    /// A private key is locked, and nothing unlocked it.
    #[error("the SSH key {} cannot be used: {why}", path.display())]
    Locked {
        /// Where it is.
        path: PathBuf,
        /// What was wanting.
        why: String,
    },
    /// A host on the way does not let us through.
    #[error("the jump host {host} does not let us through")]
    Jump {
        /// Which one.
        host: String,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// The command that should lead to the host has ended.
    #[error("the proxy command failed: {command}")]
    Proxy {
        /// The command, filled in.
        command: String,
        /// What it said last, or how it ended.
        said: String,
        /// Set when it could not be run at all.
        #[source]
        source: Option<io::Error>,
    },
    /// The SSH protocol failed.
    #[error("the SSH session with {host} failed")]
    Protocol {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        source: russh::Error,
    },
    /// No SFTP server.
    #[error("{host} has no SFTP server")]
    NoSftp {
        /// Which host.
        host: String,
    },
    /// The SFTP server cannot be spoken to.
    #[error("the SFTP session with {host} failed")]
    Sftp {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        source: SftpError,
    },
    /// It answers more than any script of ours.
    #[error("{host} answers with {what} of more than {bytes} bytes")]
    TooMuch {
        /// Which host.
        host: String,
        /// What is too long.
        what: &'static str,
        /// How long it may be.
        bytes: usize,
    },
    /// It keeps the connection and does nothing on it.
    #[error("{host} did not {what} in {after:?}")]
    Late {
        /// Which host.
        host: String,
        /// What it did not do.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The local side of a pipe or terminal failed.
    #[error("the local input or output of the session failed")]
    Local(#[source] io::Error),
}

impl Error {
    /// Whether it failed before the host was reached: at a jump host or in a proxy command.
    pub fn is_on_the_way(&self) -> bool {
        matches!(self, Self::Jump { .. } | Self::Proxy { .. })
    }

    /// Whether a host that boots may show this for a while.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Protocol { .. } | Self::Proxy { source: None, .. }
        )
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "check the address and the port, that the host is up and runs sshd, and what stands in between"
            }
            Self::HostKey { .. } => {
                "somebody may be in between; if you changed the host yourself, remove the machine and create it again"
            }
            Self::UnknownHost { .. } => {
                "add its key to ~/.ssh/known_hosts, or give its fingerprint by a flag of the driver"
            }
            Self::AuthRefused { .. } => {
                "check the login name and the key; the key's public half has to be in the user's authorized_keys"
            }
            Self::Key(..) => "it has to be a private key: OpenSSH, or PEM of RSA or ECDSA",
            Self::Locked { .. } => {
                "give it to your agent with `ssh-add`, or run this on a terminal, where its passphrase is asked for"
            }
            Self::Proxy { .. } => "run the command by itself: it has to end in a connection to the host's sshd",
            Self::NoSftp { .. } => {
                "install it there (Debian: openssh-sftp-server; sshd_config: `Subsystem sftp internal-sftp`), or go without: \
                 `rmachine ssh NAME -- tar c -C /srv . | tar x`"
            }
            Self::TooMuch { .. } => {
                "the host is broken, or somebody else's: look at it with `rmachine ssh NAME`, or remove it"
            }
            Self::Late { .. } => "`rmachine ssh NAME` shows what keeps the host; then do it again",
            Self::Sftp { .. } | Self::Jump { .. } | Self::PublicKey(_) | Self::Protocol { .. } | Self::Local(_) => {
                return None;
            }
        })
    }
}

impl From<Error> for error::Error {
    fn from(e: Error) -> Self {
        if let Error::Jump { host, source } = e {
            let about = match *source {
                Error::HostKey { .. } | Error::UnknownHost { .. } => Some(
                    "a jump host has to be in ~/.ssh/known_hosts with the key that it shows; compare that with its own (ssh-keygen -lf)",
                ),
                Error::AuthRefused { .. } => Some(
                    "jump hosts are logged in to with the keys of ~/.ssh and of your agent; name the user as USER@HOST",
                ),
                _ => None,
            };
            let error = Self::from(*source);
            let error = match about {
                Some(hint) => error.without_hints().hint(hint),
                None => error,
            };
            return error.context(format!("the jump host {host} does not let us through"));
        }
        let kind = if matches!(e, Error::Key(..) | Error::PublicKey(_)) { Kind::Usage } else { Kind::Ssh };
        let mut error = Self::new(kind, e.to_string());
        if let Some(hint) = e.hint() {
            error = error.hint(hint);
        }
        let cause = match &e {
            Error::Proxy { said, .. } if !said.is_empty() => Some(said.clone()),
            _ => std::error::Error::source(&e).map(ToString::to_string),
        };
        match cause {
            Some(cause) => error.source(cause),
            None => error,
        }
    }
}
