//! Keys of the user's own that do not lie open: in an SSH agent, or under a passphrase.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    Signer,
    keys::{
        HashAlg, PrivateKey, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::{Error, Result, keys};

/// An agent that does not answer is no agent. A signature may take longer: it may want a touch or a word.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a passphrase is asked for.
const TRIES: u32 = 3;

/// Asks for the passphrase of the key in a file; `None` when nobody can answer or the answer was to give up.
pub type AskPassphrase = dyn Fn(&Path) -> Option<Zeroizing<String>> + Send + Sync;

/// Where keys come from that are not in plain files. What is unlocked once stays so until the program ends.
#[derive(Default)]
pub struct Keyring {
    agent: Option<PathBuf>,
    ask: Option<Arc<AskPassphrase>>,
    unlocked: Mutex<HashMap<PathBuf, Arc<PrivateKey>>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl Keyring {
    /// With the agent that listens on the socket `agent` (SSH_AUTH_SOCK), and somebody to ask for passphrases.
    pub fn new(agent: Option<PathBuf>, ask: Option<Arc<AskPassphrase>>) -> Self {
        Self { agent, ask, unlocked: Mutex::default() }
    }

    /// The agent with the public keys that it has; `None` without one that answers.
    pub(super) async fn agent(&self) -> Option<Agent> {
        let socket = self.agent.as_deref()?;
        let asked = async {
            let mut client = AgentClient::connect_uds(socket).await?;
            let identities = client.request_identities().await?;
            Ok::<_, russh::keys::Error>((client, identities))
        };
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok((client, identities))) => {
                let keys = identities.into_iter().filter_map(|identity| match identity {
                    AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
                    AgentIdentity::Certificate { .. } => None,
                });
                Some(Agent { client, keys: keys.collect() })
            }
            Ok(Err(error)) => {
                tracing::debug!("the SSH agent at {}: {error}", socket.display());
                None
            }
            Err(_) => {
                tracing::debug!("the SSH agent at {} does not answer", socket.display());
                None
            }
        }
    }

    /// The private key in `path`, with the passphrase that is asked for where it was not before.
    pub(super) async fn unlock(&self, path: &Path) -> Result<Arc<PrivateKey>> {
        if let Some(key) = self.unlocked.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(key.clone());
        }
        let locked = |why: &str| Error::Locked { path: path.to_owned(), why: why.to_owned() };
        if let keys::KeyFile::Public(_) = keys::load(path)? {
            return Err(locked("it is a public key, and no agent has its private half"));
        }
        let Some(ask) = self.ask.clone() else { return Err(locked("nobody can be asked for its passphrase")) };
        for _ in 0..TRIES {
            let Some(passphrase) = answer(ask.clone(), path).await else {
                return Err(locked("its passphrase was not given"));
            };
            match keys::load_with_passphrase(path, &passphrase) {
                Ok(key) => {
                    let key = Arc::new(key);
                    self.unlocked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), key.clone());
                    return Ok(key);
                }
                Err(error) => tracing::debug!("{}: {error}", path.display()),
            }
        }
        Err(locked("the passphrase is wrong"))
    }
}

/// Asks on a thread of its own: a question that is left open must not keep the program from ending.
async fn answer(ask: Arc<AskPassphrase>, path: &Path) -> Option<Zeroizing<String>> {
    let (send, receive) = tokio::sync::oneshot::channel();
    let path = path.to_owned();
    std::thread::spawn(move || send.send(ask(&path)));
    receive.await.ok().flatten()
}

/// An agent and what it can sign with.
pub(super) struct Agent {
    client: AgentClient<UnixStream>,
    /// Public keys with their comments.
    pub(super) keys: Vec<(PublicKey, String)>,
}

impl Agent {
    pub(super) fn has(&self, wanted: &PublicKey) -> bool {
        self.keys.iter().any(|(key, _)| key.key_data() == wanted.key_data())
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the server takes it")]
    Wanted,
    #[error("the SSH agent does not sign")]
    Agent(#[from] russh::keys::Error),
    #[error("the connection ended")]
    Sent(#[from] russh::SendError),
}

impl Signer for Agent {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        Ok(self.client.sign_request(key, hash, to_sign).await?)
    }
}

/// Signs nothing: a server asks for a signature only when it takes the key (RFC 4252, section 7). So nobody is asked for
/// the passphrase of a key that would not be taken.
pub(super) struct Probe;

impl Signer for Probe {
    type Error = SignError;

    async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, SignError> {
        Err(SignError::Wanted)
    }
}
