//! Ctrl-C: the first one asks the work to stop and roll back, the second one ends the process.
//!
//! A provider is given its [`token`](Interrupt::token), and returns before its next effect (`rmachine_provider_api::Cx`).

use std::future::Future;

use rmachine_model::error::{Error, Kind, Result};
use rmachine_provider_api::CancellationToken;

/// Tells running work that the user wants it to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    token: CancellationToken,
}

impl Interrupt {
    /// Asks the work to stop.
    pub fn raise(&self) {
        self.token.cancel();
    }

    /// Whether the work was asked to stop.
    pub fn is_raised(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The same as calls of a provider take it.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// An error when the work was asked to stop; between two steps.
    ///
    /// # Errors
    ///
    /// [`Kind::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.is_raised() { Err(interrupted()) } else { Ok(()) }
    }

    /// Runs `work`, dropping it when the user interrupts; only for work that may be dropped anywhere.
    ///
    /// # Errors
    ///
    /// [`Kind::Interrupted`], or that of `work`.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(interrupted()),
            result = work => result,
        }
    }
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}
