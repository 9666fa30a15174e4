//! Scripted faults.

use std::{fmt, sync::Arc};

use rmachine_provider_api::{Error, Kind, LeftBehind, Retry};

/// A request to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Making the client.
    Connect,
    /// The read-only questions of `preflight`.
    Preflight,
    /// Making a security group.
    CreateGroup,
    /// Making an instance with its volume.
    RunInstance,
    /// Looking at instances.
    Describe,
    /// Starting an instance.
    StartInstance,
    /// Stopping an instance.
    StopInstance,
    /// Rebooting an instance.
    RebootInstance,
    /// Looking for tags.
    FindTags,
    /// Terminating an instance.
    TerminateInstance,
    /// Deleting a security group.
    DeleteGroup,
    /// Changing a security group's rules.
    SetRules,
    /// Changing the owner's tag.
    Claim,
    /// Changing the name in the tags.
    Rename,
    /// What `checkup` asks.
    Checkup,
}

/// Whether a fault comes before or after the request has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing has happened yet.
    Before,
    /// It has happened; only the answer is lost.
    After,
}

/// What happens instead of, or besides, the request.
#[derive(Clone)]
pub enum Effect {
    /// The request fails.
    Fail {
        /// Class of the failure.
        kind: Kind,
        /// Whether a repeat may help.
        retry: Retry,
        /// What the error says of things left behind.
        left: LeftBehind,
    },
    /// This runs (raising an interrupt, looking at the store), and the request goes on.
    Call(Arc<dyn Fn() + Send + Sync>),
    /// This runs, and no answer ever comes.
    Hang(Arc<dyn Fn() + Send + Sync>),
}

impl Effect {
    /// A failure that is not to be retried and may have left anything.
    pub fn fail(kind: Kind) -> Self {
        Self::Fail { kind, retry: Retry::Never, left: LeftBehind::Unknown }
    }

    /// A refusal for good, which leaves nothing.
    pub fn refuse(kind: Kind) -> Self {
        Self::Fail { kind, retry: Retry::Never, left: LeftBehind::Nothing }
    }

    /// Runs `call` and lets the request go on.
    pub fn call(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(call))
    }

    /// Runs `call` and never answers.
    pub fn hang(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Hang(Arc::new(call))
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail { kind, retry, left } => write!(f, "Fail({kind:?}, {retry:?}, {left:?})"),
            Self::Call(_) => f.write_str("Call"),
            Self::Hang(_) => f.write_str("Hang"),
        }
    }
}

/// One fault: at the `call`-th request of this kind, from 1.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which kind of request.
    pub operation: Operation,
    /// Which one of them, from 1; 0: every one.
    pub call: usize,
    /// Before or after its effect.
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// The error of a failing fault.
    pub(crate) fn error(&self, kind: Kind, retry: Retry, left: LeftBehind) -> Error {
        Error::new(kind, format!("the fake cloud fails {:?}", self.operation))
            .retry(retry)
            .left(left)
            .source("as the script says")
    }
}
