//! The core's voice: it never prints by itself.

use std::{path::Path, sync::Arc};

use rmachine_provider_api::{Notify, Silent};
use zeroize::Zeroizing;

/// Takes what the core has to say and asks what it has to ask.
pub trait Talk: Send + Sync {
    /// The voice for one machine.
    fn about(&self, machine: &str) -> Arc<dyn Notify>;

    /// Asks a yes/no question; `None` when nobody can answer (no terminal).
    fn confirm(&self, question: &str) -> Option<bool>;

    /// Asks for the passphrase of the SSH key in `path`; `None` when nobody can answer or the answer is to give up.
    fn passphrase(&self, path: &Path) -> Option<Zeroizing<String>> {
        let _ = path;
        None
    }
}

/// A question that a machine may need an answer to.
pub type Ask<'a> = &'a (dyn Fn(&str) -> Option<bool> + Sync);

/// Says nothing and cannot be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Talk for Quiet {
    fn about(&self, _: &str) -> Arc<dyn Notify> {
        Arc::new(Silent)
    }

    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }
}
