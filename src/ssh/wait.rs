//! Waiting for a host that boots.

use std::time::{Duration, Instant};

use rmachine_provider_api::Notify;

use super::{Error, Result, Session, Target};

/// Time-out of one try.
const TRY: Duration = Duration::from_secs(10);
/// First pause between two tries; a refused connection costs nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a booting host may show other keys than ours, or refuse ours: sshd may be up before
/// cloud-init has put them in, or before logins are allowed. Nothing is sent to it in that time.
const SETTLE: Duration = Duration::from_secs(60);

/// How to wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitPolicy {
    /// How long in all.
    pub patience: Duration,
    /// Whether it is the first boot, in which keys are still being installed.
    pub first_boot: bool,
}

impl WaitPolicy {
    /// Waits for `patience`; on a `first_boot`, keys may be wrong for a while.
    pub fn new(patience: Duration, first_boot: bool) -> Self {
        Self { patience, first_boot }
    }
}

impl Session {
    /// Connects to a host that is booting: tries until it answers, or the patience ends.
    ///
    /// # Errors
    ///
    /// That of the last try. A refused login is final after a while, a wrong host key at once but on a first boot.
    pub async fn wait(target: &Target, policy: &WaitPolicy, notify: &dyn Notify) -> Result<Self> {
        let deadline = Instant::now() + policy.patience;
        let mut settle_until: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match Self::connect(target, TRY.min(left.max(Duration::from_secs(1)))).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            tracing::debug!(host = target.host, "not yet: {error}");
            let settling = match error {
                // Only a first boot installs host keys: later, another key is another host.
                Error::HostKey { .. } => policy.first_boot,
                // pam_nologin(8): while a system goes down or is not up yet, only root is let in.
                Error::AuthRefused { .. } => true,
                _ => false,
            };
            if settling {
                notify.progress("waiting for SSH (the host answers, but lets nobody in yet)");
                if Instant::now() >= *settle_until.get_or_insert_with(|| Instant::now() + SETTLE) {
                    return Err(error);
                }
            } else if !error.may_pass() {
                return Err(error);
            }
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = if settling { FIRST_PAUSE } else { (pause * 5 / 4).min(LONGEST_PAUSE) };
        }
    }
}
