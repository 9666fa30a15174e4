//! A core put together from its parts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rmachine_model::drivers::Drivers;
use rmachine_ssh::{Budgets, Keyring};
use rmachine_store::Store;
use time::Duration;

use super::{CLIENT_LIFE, Core, FirstContact, Follower, Interrupt, Quiet, StateWords, Talk};

/// What a [`Core`] is made of. What is not given: no drivers, nobody who listens or can be asked, no SSH agent.
pub struct Builder {
    store: Store,
    drivers: Drivers,
    talk: Arc<dyn Talk>,
    ssh_agent: Option<PathBuf>,
    program: Option<PathBuf>,
    first_contact: FirstContact,
    state_words: StateWords,
    client_life: Duration,
    budgets: Budgets,
    followers: Vec<Arc<dyn Follower>>,
}

impl Builder {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            drivers: Drivers::of(Vec::new()),
            talk: Arc::new(Quiet),
            ssh_agent: None,
            program: None,
            first_contact: FirstContact::default(),
            state_words: StateWords::default(),
            client_life: CLIENT_LIFE,
            budgets: Budgets::default(),
            followers: Vec::new(),
        }
    }

    /// Another store.
    #[must_use]
    pub fn store(self, store: Store) -> Self {
        Self { store, ..self }
    }

    /// The drivers.
    #[must_use]
    pub fn drivers(self, drivers: Drivers) -> Self {
        Self { drivers, ..self }
    }

    /// Where progress, warnings and questions go.
    #[must_use]
    pub fn talk(self, talk: Arc<dyn Talk>) -> Self {
        Self { talk, ..self }
    }

    /// The socket of the SSH agent, as `SSH_AUTH_SOCK` names it.
    #[must_use]
    pub fn ssh_agent(self, socket: Option<PathBuf>) -> Self {
        Self { ssh_agent: socket, ..self }
    }

    /// The program `rmachine`, which is started for a tunnel in the background; without it there are only those that
    /// [`Core::serve_tunnel`] carries in this process.
    #[must_use]
    pub fn program(self, program: Option<PathBuf>) -> Self {
        Self { program, ..self }
    }

    /// What is done with hosts that others made and nobody vouches for.
    #[must_use]
    pub fn first_contact(self, first_contact: FirstContact) -> Self {
        Self { first_contact, ..self }
    }

    /// The words for states.
    #[must_use]
    pub fn state_words(self, state_words: StateWords) -> Self {
        Self { state_words, ..self }
    }

    /// How long a client's certificate lives that a machine's own CA signs.
    #[must_use]
    pub fn client_life(self, client_life: Duration) -> Self {
        Self { client_life, ..self }
    }

    /// What hosts may take of us.
    #[must_use]
    pub fn budgets(self, budgets: Budgets) -> Self {
        Self { budgets, ..self }
    }

    /// One more who is told what becomes of machines.
    #[must_use]
    pub fn follower(mut self, follower: Arc<dyn Follower>) -> Self {
        self.followers.push(follower);
        self
    }

    /// Puts the parts together; nothing is read or written by that.
    pub fn build(self) -> Core {
        let asked = self.talk.clone();
        let keyring = Keyring::new(self.ssh_agent, Some(Arc::new(move |path: &Path| asked.passphrase(path))));
        Core {
            store: self.store.with_drivers(&self.drivers),
            drivers: self.drivers,
            talk: self.talk,
            program: self.program,
            interrupt: Interrupt::default(),
            first_contact: self.first_contact,
            state_words: self.state_words,
            client_life: self.client_life,
            budgets: self.budgets,
            followers: self.followers,
            asking: tokio::sync::Mutex::default(),
            keyring: Arc::new(keyring),
            providers: Default::default(),
        }
    }
}
