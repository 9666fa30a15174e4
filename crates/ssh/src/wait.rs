//! Waiting for a host that boots.

use std::time::{Duration, Instant};

use rmachine_provider_api::Notify;

use super::{Error, Result, Session, Target, session::Limits};

/// Time-out of one try.
const TRY: Duration = Duration::from_secs(10);
/// A host without a network yet drops what is sent to it, and a connection under way would notice its
/// coming up only at the next retransmission, 1, 3 and 7 seconds after the first (RFC 6298): rather try anew.
const TCP_TRY: Duration = Duration::from_millis(1500);
/// First pause between two tries; a refused connection costs nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
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
        let mut tries = Tries::default();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let limits = Limits { tcp: TCP_TRY, step: TRY.min(left.max(Duration::from_secs(1))) };
            let error = match Self::connect_within(target, limits).await {
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
            if settling {
                pause = tries.pause_after(&error);
            }
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = if settling { FIRST_PAUSE } else { (pause * 5 / 4).min(LONGEST_PAUSE) };
        }
    }
}

/// Tries that a host has answered without letting us in. Since OpenSSH 9.8 a server keeps those away whose
/// penalties add up to more than 15 seconds: 5 a refused login, 1 a connection without one
/// (sshd_config(5), PerSourcePenalties). A few quick tries are free; then no faster than the penalties go by.
#[derive(Debug, Default)]
struct Tries {
    logins: u32,
    others: u32,
}

impl Tries {
    fn pause_after(&mut self, error: &Error) -> Duration {
        let (count, free, penalty) = match error {
            Error::AuthRefused { .. } => (&mut self.logins, 1, Duration::from_secs(5)),
            _ => (&mut self.others, 3, Duration::from_secs(1)),
        };
        *count += 1;
        if *count <= free { FIRST_PAUSE } else { penalty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssh_never_finds_a_reason_to_keep_us_away() {
        let refused = Error::AuthRefused { host: String::new(), user: String::new(), tried: String::new() };
        let other = Error::HostKey { host: String::new(), shown: String::new(), expected: String::new() };
        let (mut tries, mut owed) = (Tries::default(), Duration::ZERO);
        // Host keys first, logins when they are in: as a first boot goes.
        for round in 0..60 {
            let (error, penalty) = if round < 30 { (&other, 1) } else { (&refused, 5) };
            owed += Duration::from_secs(penalty);
            assert!(owed < Duration::from_secs(15), "round {round}: {owed:?}");
            owed = owed.saturating_sub(tries.pause_after(error));
        }
    }
}
