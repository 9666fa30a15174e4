//! Provider errors: what failed, whether to try again, and what was left behind.

use std::fmt;

/// Result of every provider call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a failure; the core maps it to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A flag, name or value is wrong; nothing was tried.
    InvalidInput,
    /// No credentials, or the cloud refused them.
    Credentials,
    /// The credentials are good but may not do this.
    Denied,
    /// Something that the request names does not exist.
    NotFound,
    /// Something of that name exists already, or is in use.
    Conflict,
    /// This provider cannot do it at all.
    Unsupported,
    /// The cloud has no room for this type in this zone now.
    Capacity,
    /// An account limit is reached.
    Quota,
    /// Too many requests; the call may be repeated later.
    Throttled,
    /// No answer: name resolution, connection, TLS.
    Unreachable,
    /// It did not happen in time.
    Timeout,
    /// The caller has cancelled it ([`crate::Cx`]).
    Cancelled,
    /// Anything else.
    Other,
}

/// Whether the same call may succeed when repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Repeating it changes nothing.
    Never,
    /// The same request, with the same token, may be repeated.
    Same,
    /// Another zone, type or market may work; needs a new attempt token.
    Elsewhere,
}

/// What a failed call may have left in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftBehind {
    /// Certainly nothing.
    Nothing,
    /// These resources, by id.
    Present(Vec<String>),
    /// Cannot tell; treat as if something may exist or still appear.
    Unknown,
}

/// A failed provider call. Its text is one lowercase fragment without its source.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    retry: Retry,
    left: LeftBehind,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// Makes an error that left nothing behind, whatever its kind: say [`Error::left`] where that is not certain. It may be
    /// repeated where that is usual for its kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retry = match kind {
            Kind::Throttled | Kind::Unreachable => Retry::Same,
            Kind::Capacity => Retry::Elsewhere,
            _ => Retry::Never,
        };
        Self { kind, message: message.into(), hint: None, retry, left: LeftBehind::Nothing, source: None }
    }

    /// Makes an [`Kind::InvalidInput`] error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidInput, message)
    }

    /// Makes a [`Kind::Cancelled`] error, which does not know what is left.
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "interrupted").left(LeftBehind::Unknown)
    }

    /// Makes an [`Kind::Unsupported`] error.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// Adds a hint: what the user can do, naming the next command or flag.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says whether repeating may help.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says what was left behind; unsure means [`LeftBehind::Unknown`].
    #[must_use]
    pub fn left(mut self, left: LeftBehind) -> Self {
        self.left = left;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether repeating may help.
    pub fn retryable(&self) -> Retry {
        self.retry
    }

    /// What may be left in the cloud.
    pub fn left_behind(&self) -> &LeftBehind {
        &self.left
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}
