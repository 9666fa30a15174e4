//! The one error of the core: a kind, a message, its causes, and what to do about it.

use std::{error::Error as StdError, fmt, process::ExitCode};

use rmachine_provider_api as api;
use rmachine_text::printable;

/// Result of the core's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How much of a cause is printed, in bytes; the last lines of a log are a few kilobytes.
const LONGEST_CAUSE: usize = 16 * 1024;

/// The class of a failure; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that has no class of its own.
    Failure,
    /// A flag, name or value is wrong; nothing was done.
    Usage,
    /// A check before `create` failed; nothing was made.
    PreCreate,
    /// No such machine.
    NoSuchMachine,
    /// The machine exists already, is busy, or is in the wrong state.
    Conflict,
    /// The cloud refused, failed or did not answer.
    Provider,
    /// The host cannot be reached or logged in to over SSH.
    Ssh,
    /// The engine cannot be reached over TLS, or did not start.
    Engine,
    /// The store cannot be read or written.
    Store,
    /// The user interrupted.
    Interrupted,
}

impl Kind {
    /// The process's exit code, as documented in `docs/exit-codes.md`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::PreCreate => 3,
            Self::NoSuchMachine => 4,
            Self::Conflict => 5,
            Self::Provider => 6,
            Self::Ssh => 7,
            Self::Engine => 8,
            Self::Store => 9,
            Self::Interrupted => 130,
        }
    }
}

/// A failed operation. Its text is one lowercase fragment without its source.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    known_as: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// Makes an error without cause and hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), known_as: None, source: None }
    }

    /// Makes a [`Kind::Usage`] error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds a hint that names the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync + 'static>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What docker-machine says in this place, where scripts look for it; see [`Error::known_as_text`].
    #[must_use]
    pub fn known_as(mut self, text: impl Into<String>) -> Self {
        self.known_as = Some(text.into());
        self
    }

    /// Changes the class.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Puts `message` on top: this error becomes its cause, the hints stay.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let hints = std::mem::take(&mut self.hints);
        let known_as = self.known_as.take();
        Self { kind: self.kind, message: message.into(), hints, known_as, source: Some(Box::new(self)) }
    }

    /// Puts the machine's name into hints that say NAME, as those of the layers do that know no machine.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        for hint in &mut self.hints {
            *hint = hint.replace(" NAME", &format!(" {name}"));
        }
        self
    }

    /// Drops the hints, where what they advise has been overtaken.
    #[must_use]
    pub fn without_hints(mut self) -> Self {
        self.hints.clear();
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// docker-machine's words for it, where they are other ones; for a program that goes by its name.
    pub fn known_as_text(&self) -> Option<&str> {
        self.known_as.as_deref()
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.exit_code())
    }

    /// The texts of the causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            let text = cause.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }

    /// The first line of [`Error::report`].
    pub fn headline(&self) -> String {
        printable::indented(&format!("Error: {self}"))
    }

    /// The whole text for a terminal: one `Error:` line, then the causes, then the hints.
    pub fn report(&self) -> String {
        self.report_under(&self.headline())
    }

    /// The same with another first line.
    pub fn report_under(&self, headline: &str) -> String {
        let mut text = shortened(headline).to_owned();
        for cause in self.causes() {
            text.push_str(&format!("\nCaused by: {}", printable::indented(shortened(&cause))));
            if shortened(&cause).len() < cause.len() {
                text.push_str(&format!("\n  … ({} bytes in all)", cause.len()));
            }
        }
        let mut said: Vec<&str> = Vec::new();
        for hint in &self.hints {
            if !said.contains(&hint.as_str()) {
                said.push(hint);
                text.push_str(&format!("\nHint: {}", printable::line(hint)));
            }
        }
        text
    }
}

/// The beginning of a cause that is longer than anybody reads.
fn shortened(cause: &str) -> &str {
    &cause[..cause.floor_char_boundary(LONGEST_CAUSE)]
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

impl From<api::Error> for Error {
    fn from(error: api::Error) -> Self {
        let kind = match error.kind() {
            api::Kind::InvalidInput => Kind::Usage,
            api::Kind::Cancelled => Kind::Interrupted,
            api::Kind::Conflict => Kind::Conflict,
            api::Kind::Credentials
            | api::Kind::Denied
            | api::Kind::NotFound
            | api::Kind::Unsupported
            | api::Kind::Capacity
            | api::Kind::Quota
            | api::Kind::Throttled
            | api::Kind::Unreachable
            | api::Kind::Timeout
            | api::Kind::Other => Kind::Provider,
        };
        // An error of the core that passed through a provider, as a journal that cannot be written.
        let own = StdError::source(&error).and_then(|source| source.downcast_ref::<Self>());
        let kind = own.map_or(kind, |own| own.kind);
        let inner = own.map(|own| own.hints.as_slice()).unwrap_or_default();
        let hints = error.hint_text().map(str::to_owned).into_iter().chain(inner.iter().cloned()).collect();
        let message = error.to_string();
        let source = Flattened::of(StdError::source(&error));
        Self { kind, message, hints, known_as: None, source: source.map(Into::into) }
    }
}

/// The texts of a chain of causes, for errors that are taken apart.
#[derive(Debug)]
struct Flattened {
    message: String,
    source: Option<Box<Flattened>>,
}

impl Flattened {
    fn of(error: Option<&(dyn StdError + 'static)>) -> Option<Self> {
        error.map(|e| Self { message: e.to_string(), source: Self::of(e.source()).map(Box::new) })
    }
}

impl fmt::Display for Flattened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Flattened {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_kind_hints_and_causes() {
        let inner = Error::new(Kind::Ssh, "login refused").hint("try it").source(std::io::Error::other("root cause"));
        let outer = inner.context("cannot provision \"a\"");
        assert_eq!(outer.kind(), Kind::Ssh);
        assert_eq!(outer.hints(), ["try it"]);
        assert_eq!(outer.causes(), ["login refused", "root cause"]);
    }

    #[test]
    fn an_error_of_the_core_passes_through_a_provider_whole() {
        let full = Error::new(Kind::Store, "cannot write a").hint("free some room");
        let error = Error::from(api::Error::new(api::Kind::Other, "not done").source(full)).context("cannot create");
        assert_eq!((error.kind(), error.hints()), (Kind::Store, ["free some room".to_owned()].as_slice()));
        assert_eq!(error.causes(), ["not done", "cannot write a"]);
    }

    #[test]
    fn a_provider_error_keeps_its_causes() {
        let error = api::Error::new(api::Kind::Credentials, "no credentials")
            .hint("run `aws sso login`")
            .source(std::io::Error::other("chain is empty"));
        let error = Error::from(error);
        assert_eq!((error.kind().exit_code(), error.hints()), (6, ["run `aws sso login`".to_owned()].as_slice()));
        assert_eq!(error.causes(), ["chain is empty"]);
    }
}
