//! Why a host does not become what it should.

use rmachine_model::{
    InvalidOption,
    error::{self, Kind},
};
use rmachine_ssh as ssh;

use super::answer::last_words;

/// A failed step on a host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session failed.
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
    /// An option of the engine is wrong; nothing was done.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// A variable or a file of the host is wrong; nothing was done.
    #[error("{0}")]
    Invalid(String),
    /// The user's own first-boot data cannot be carried.
    #[error("the user-data cannot be used: {0}")]
    UserData(String),
    /// The operating system is not one that we know.
    #[error("the host runs {0}, which rmachine cannot make a Docker host of")]
    UnsupportedOs(String),
    /// No service manager.
    #[error("the host does not run systemd")]
    NoSystemd,
    /// Not root, and no way to become it.
    #[error("the login user \"{user}\" cannot become root: {reason}")]
    NoRoot {
        /// The login name.
        user: String,
        /// In sudo's words.
        reason: String,
    },
    /// The engine could not be installed.
    #[error("the engine cannot be installed: {message}")]
    Install {
        /// In the script's words.
        message: String,
        /// The log's last lines.
        #[source]
        log: Option<Words>,
    },
    /// The engine could not be upgraded.
    #[error("the engine cannot be upgraded: {message}")]
    Upgrade {
        /// In the script's words.
        message: String,
        /// The log's last lines.
        #[source]
        log: Option<Words>,
    },
    /// The engine did not start.
    #[error("{message}")]
    Engine {
        /// In the script's words.
        message: String,
        /// The journal's last lines.
        #[source]
        journal: Option<Words>,
    },
    /// A script of ours failed in a way that it should not.
    #[error("a script on the host failed: {0}")]
    Script(String),
}

/// The host's own last words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Words(String);

impl Words {
    fn of(text: &str) -> Option<Self> {
        let text = last_words(text);
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl Error {
    pub(super) fn install(message: &str, log: String) -> Self {
        Self::Install { message: message.to_owned(), log: Words::of(&log) }
    }

    pub(super) fn upgrade(message: &str, log: String) -> Self {
        Self::Upgrade { message: message.to_owned(), log: Words::of(&log) }
    }

    pub(super) fn engine(message: &str, journal: String) -> Self {
        Self::Engine { message: message.to_owned(), journal: Words::of(&journal) }
    }
}

impl From<Error> for error::Error {
    fn from(e: Error) -> Self {
        let (kind, hint) = match e {
            Error::Ssh(inner) => return inner.into(),
            Error::Option(_) | Error::Invalid(_) => {
                (Kind::Usage, "`rmachine create --help` shows the form of each option")
            }
            Error::UserData(_) => {
                (Kind::Usage, "EC2 takes 16 KB at most, and cloud-init scripts, cloud-config and MIME archives")
            }
            Error::UnsupportedOs(_) => (
                Kind::Failure,
                "it knows Debian, Ubuntu, Amazon Linux 2023, Fedora, RHEL, Rocky, AlmaLinux, openSUSE and SLES",
            ),
            Error::NoSystemd => (Kind::Failure, "choose an image with systemd"),
            Error::NoRoot { .. } => (Kind::Ssh, "log in as root, or allow the user sudo without a password"),
            Error::Install { .. } => (Kind::Failure, "choose another --engine-source, or an image that has an engine"),
            Error::Upgrade { .. } => {
                (Kind::Failure, "`rmachine provision NAME` puts an engine in order that this left half done")
            }
            Error::Engine { .. } => {
                (Kind::Engine, "check the --engine-* options against `dockerd --help` of that version")
            }
            Error::Script(_) => (Kind::Failure, "run again with --debug, and report it"),
        };
        let error = Self::new(kind, e.to_string()).hint(hint);
        match std::error::Error::source(&e) {
            Some(source) => error.source(source.to_string()),
            None => error,
        }
    }
}
