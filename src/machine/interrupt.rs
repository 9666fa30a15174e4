//! Ctrl-C: the first one asks the work to stop and roll back, the second one ends the process.

use std::future::Future;

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// Tells running work that the user wants it to stop.
#[derive(Debug, Clone)]
pub struct Interrupt {
    sender: watch::Sender<bool>,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self { sender: watch::Sender::new(false) }
    }
}

impl Interrupt {
    /// Asks the work to stop.
    pub fn raise(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the work was asked to stop.
    pub fn is_raised(&self) -> bool {
        *self.sender.borrow()
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
        let mut receiver = self.sender.subscribe();
        tokio::select! {
            biased;
            _ = receiver.wait_for(|raised| *raised) => Err(interrupted()),
            result = work => result,
        }
    }
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}
