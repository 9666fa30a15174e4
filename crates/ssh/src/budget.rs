//! What a host may take of us while it answers a script of ours: bytes and time. A host that is broken, or that somebody
//! else has taken over, ends with an error and neither fills this computer's memory nor keeps a command for ever.
//!
//! What a user runs (`ssh`, `scp`, `mount`, a tunnel) is the user's to end: there only opening a channel has a time, and
//! memory is bounded by SSH's windows (RFC 4254, section 5.2).

use std::{
    io,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite, time::Instant};

/// The longest line of a script's output.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// What one script may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of its outputs together.
    pub bytes: usize,
    /// How long it may say nothing.
    pub idle: Duration,
    /// How long it may run.
    pub total: Duration,
}

/// What the work of a session may take, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Until a channel is open, or the SFTP server there has said its version.
    pub open: Duration,
    /// How long an SFTP server may owe an answer without sending anything.
    pub sftp: Duration,
    /// What the listing of one directory may take of memory, in bytes.
    pub listing: usize,
    /// A script that looks, or changes a file.
    pub look: Budget,
    /// A script that restarts the engine.
    pub restart: Budget,
    /// A script that installs packages, or waits for a first boot that does.
    pub install: Budget,
}

impl Default for Budgets {
    /// A host that is emulated, or has a slow mirror, needs far less.
    fn default() -> Self {
        let budget = |idle: u64, total: u64| Budget {
            bytes: 1024 * 1024,
            idle: Duration::from_secs(60 * idle),
            total: Duration::from_secs(60 * total),
        };
        Self {
            open: Duration::from_secs(60),
            sftp: Duration::from_secs(600),
            listing: 128 * 1024 * 1024,
            look: budget(2, 5),
            restart: budget(10, 20),
            install: budget(30, 120),
        }
    }
}

/// How much of a budget is left.
pub(super) struct Meter {
    budget: Budget,
    left: AtomicUsize,
    began: Instant,
    heard: Mutex<Instant>,
}

impl Meter {
    pub(super) fn of(budget: Budget) -> Self {
        let now = Instant::now();
        Self { budget, left: AtomicUsize::new(budget.bytes), began: now, heard: Mutex::new(now) }
    }

    /// Counts `bytes`.
    ///
    /// # Errors
    ///
    /// When more came than the budget has.
    pub(super) fn take(&self, bytes: usize) -> io::Result<()> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let spend = |left: usize| Some(left.saturating_sub(bytes));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).unwrap_or_default();
        if left >= bytes { Ok(()) } else { Err(TooMuch { what: "output", bytes: self.budget.bytes }.into()) }
    }

    /// Returns when a time of the budget is over: what did not happen in it, and how long it was.
    pub(super) async fn over(&self) -> (&'static str, Duration) {
        loop {
            let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let (end, silence) = (self.began + self.budget.total, heard + self.budget.idle);
            tokio::time::sleep_until(end.min(silence)).await;
            if Instant::now() >= end {
                return ("come to the end of a script", self.budget.total);
            }
            if *self.heard.lock().unwrap_or_else(PoisonError::into_inner) == heard {
                return ("say anything while it runs a script", self.budget.idle);
            }
        }
    }
}

/// More than a script of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of more than {bytes} bytes")]
pub(super) struct TooMuch {
    pub(super) what: &'static str,
    pub(super) bytes: usize,
}

impl TooMuch {
    /// The one that a write to an end of ours has failed with, if it was that.
    pub(super) fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).copied()
    }
}

impl From<TooMuch> for io::Error {
    fn from(error: TooMuch) -> Self {
        Self::other(error)
    }
}

/// Keeps what is written to it, as far as the budget goes.
pub(super) struct Collector<'a> {
    pub(super) meter: &'a Meter,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(meter: &'a Meter) -> Self {
        Self { meter, bytes: Vec::new() }
    }
}

impl AsyncWrite for Collector<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.meter.take(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Budget = Budget { bytes: 10, idle: Duration::from_millis(300), total: Duration::from_millis(900) };

    #[test]
    fn the_last_byte_of_a_budget_is_taken_and_the_next_one_is_not() {
        let meter = Meter::of(SMALL);
        meter.take(4).unwrap();
        meter.take(6).unwrap();
        let refused = meter.take(1).unwrap_err();
        assert_eq!(TooMuch::in_error(&refused), Some(TooMuch { what: "output", bytes: 10 }));
    }

    #[tokio::test]
    async fn silence_ends_it_and_drops_do_not_keep_it_up_for_ever() {
        let (began, meter) = (Instant::now(), Meter::of(SMALL));
        assert_eq!(meter.over().await.1, SMALL.idle);
        assert!(began.elapsed() >= SMALL.idle);
        let (began, meter) = (Instant::now(), Meter::of(SMALL));
        let drip = async {
            loop {
                tokio::time::sleep(SMALL.idle / 30).await;
                meter.take(0).unwrap();
            }
        };
        tokio::select! {
            over = meter.over() => assert_eq!(over.1, SMALL.total),
            () = drip => {}
        }
        assert!(began.elapsed() >= SMALL.total);
    }
}
