//! Logging in: with keys in files, in an agent, or under a passphrase.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    client::{AuthResult, Handle},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey},
};

use super::{
    Error, Result, Target,
    keyring::{Agent, Probe, SignError},
    keys::{self, KeyFile},
    trust::Verifier,
};

/// OpenSSH's server ends a connection at its sixth refusal (sshd_config(5), MaxAuthTries).
const MAX_TRIES: usize = 5;
/// How long a login by an agent may take, in which the user touches a token or types a word: OpenSSH's server waits no
/// longer (sshd_config(5), LoginGraceTime).
const AGENT: Duration = Duration::from_secs(120);

/// Logs in to a host whose key was checked. Order: plain files, locked files whose key the agent has, what else the
/// agent has where that is allowed, and last the files that want a passphrase.
pub(super) async fn login(handle: &mut Handle<Verifier>, target: &Target, step: Duration) -> Result<()> {
    let mut login = Login { handle, target, step, tried: Vec::new(), unusable: None };
    let mut locked: Vec<(&PathBuf, Option<PublicKey>)> = Vec::new();
    let mut known: Vec<PublicKey> = Vec::new();
    for path in &target.keys {
        match keys::load(path) {
            Ok(KeyFile::Plain(key)) => {
                known.push(key.public_key().clone());
                if login.with_private(Arc::new(*key), path).await? {
                    return Ok(());
                }
            }
            Ok(KeyFile::Locked(public)) => locked.push((path, public)),
            Ok(KeyFile::Public(public)) => locked.push((path, Some(public))),
            // Another one may serve.
            Err(error) => login.unusable = login.unusable.or(Some(error)),
        }
    }
    if locked.is_empty() && !target.offer_agent {
        return login.refused();
    }
    if let Some(mut agent) = target.keyring.agent().await {
        for index in (0..locked.len()).rev() {
            let (path, Some(public)) = &locked[index] else { continue };
            if agent.has(public) {
                if login.with_agent(&mut agent, public, format!("the key {} (in the agent)", path.display())).await? {
                    return Ok(());
                }
                locked.remove(index);
            }
        }
        let others = if target.offer_agent { agent.keys.clone() } else { Vec::new() };
        for (public, comment) in others {
            let mine = known.iter().chain(locked.iter().filter_map(|(_, public)| public.as_ref()));
            if mine.into_iter().any(|key| key.key_data() == public.key_data()) || login.tried.len() >= MAX_TRIES {
                continue;
            }
            if login.with_agent(&mut agent, &public, format!("the agent's key {comment}")).await? {
                return Ok(());
            }
        }
    }
    for (path, public) in locked {
        if login.with_passphrase(path, public.as_ref()).await? {
            return Ok(());
        }
    }
    login.refused()
}

struct Login<'a> {
    handle: &'a mut Handle<Verifier>,
    target: &'a Target,
    step: Duration,
    /// What was refused.
    tried: Vec<String>,
    /// Why the first key that could not be tried could not.
    unusable: Option<Error>,
}

impl Login<'_> {
    /// The hash for a key's signatures: RSA has several (RFC 8332).
    async fn hash(&self, is_rsa: bool) -> Result<Option<HashAlg>> {
        if !is_rsa {
            return Ok(None);
        }
        let best =
            timed(self.target, self.step, self.handle.best_supported_rsa_hash()).await?.map_err(|e| self.failed(e))?;
        Ok(best.flatten().or(Some(HashAlg::Sha512)))
    }

    async fn with_private(&mut self, key: Arc<PrivateKey>, path: &Path) -> Result<bool> {
        let hash = self.hash(key.algorithm().is_rsa()).await?;
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let user = self.target.user.clone();
        let answer = timed(self.target, self.step, self.handle.authenticate_publickey(user, key)).await?;
        let answer = answer.map_err(|e| self.failed(e))?;
        Ok(self.note(&answer, format!("the key {}", path.display())))
    }

    async fn with_agent(&mut self, agent: &mut Agent, key: &PublicKey, label: String) -> Result<bool> {
        let hash = self.hash(key.algorithm().is_rsa()).await?;
        let user = self.target.user.clone();
        // A signature may wait for a touch or for a word of the user's.
        let login = self.handle.authenticate_publickey_with(user, key.clone(), hash, agent);
        let answer = timed(self.target, self.step.max(AGENT), login).await?;
        match answer {
            Ok(answer) => Ok(self.note(&answer, label)),
            Err(SignError::Sent(_)) => Err(self.failed(russh::Error::Disconnect)),
            Err(error) => {
                tracing::debug!("{label}: {error}");
                self.tried.push(format!("{label}, which the agent does not sign with"));
                Ok(false)
            }
        }
    }

    async fn with_passphrase(&mut self, path: &Path, public: Option<&PublicKey>) -> Result<bool> {
        if let Some(public) = public {
            let hash = self.hash(public.algorithm().is_rsa()).await?;
            let user = self.target.user.clone();
            let mut nobody = Probe;
            let probe = self.handle.authenticate_publickey_with(user, public.clone(), hash, &mut nobody);
            match timed(self.target, self.step, probe).await? {
                Err(SignError::Wanted) => {}
                Ok(answer) => return Ok(self.note(&answer, format!("the key {}", path.display()))),
                Err(_) => return Err(self.failed(russh::Error::Disconnect)),
            }
        }
        match self.target.keyring.unlock(path).await {
            Ok(key) => self.with_private(key, path).await,
            Err(error) => {
                self.unusable = self.unusable.take().or(Some(error));
                Ok(false)
            }
        }
    }

    /// Whether the server lets us in; else what was tried is remembered.
    fn note(&mut self, answer: &AuthResult, label: String) -> bool {
        let success = matches!(answer, AuthResult::Success);
        if !success {
            self.tried.push(label);
        }
        success
    }

    fn refused(self) -> Result<()> {
        if let (true, Some(error)) = (self.tried.is_empty(), self.unusable) {
            return Err(error);
        }
        let tried = if self.tried.is_empty() { "no key at all".to_owned() } else { self.tried.join(", ") };
        Err(Error::AuthRefused { host: self.target.host.clone(), user: self.target.user.clone(), tried })
    }

    fn failed(&self, source: russh::Error) -> Error {
        Error::Protocol { host: self.target.host.clone(), source }
    }
}

async fn timed<T>(target: &Target, step: Duration, work: impl Future<Output = T>) -> Result<T> {
    let late = |_| Error::TimedOut { host: target.host.clone(), port: target.port, after: step };
    tokio::time::timeout(step, work).await.map_err(late)
}
