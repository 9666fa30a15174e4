//! What comes with a call: where it says how it goes, where it writes down its effects, and whether it shall go on.

use std::{fmt, future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{Error, Journal, LeftBehind, Notify, Resource, Result, Silent};

/// The context of one call of a [`crate::Provider`].
///
/// A provider asks it before each effect: [`Cx::intend`] where the journal has to know of it, [`Cx::check`] elsewhere.
/// It waits only in [`Cx::until_cancelled`] and [`Cx::pause`]. So a cancelled call returns before its next effect, with
/// [`crate::Kind::Cancelled`] and what it has left; a request that was sent is waited for, with what its client repeats of it, as
/// what came of it has to be known.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    notify: &'a dyn Notify,
    journal: Option<&'a dyn Journal>,
    cancel: Option<&'a CancellationToken>,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("journal", &self.journal.is_some())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl<'a> Cx<'a> {
    /// One that says nothing, writes nothing down and is never cancelled.
    pub const fn silent() -> Self {
        Self { notify: &Silent, journal: None, cancel: None }
    }

    /// One that speaks by `notify`, writes nothing down and is never cancelled.
    pub const fn new(notify: &'a dyn Notify) -> Self {
        Self { notify, journal: None, cancel: None }
    }

    /// The same, which writes down its effects.
    #[must_use]
    pub const fn journal(self, journal: &'a dyn Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// The same, which ends when `cancel` is.
    #[must_use]
    pub const fn cancel(self, cancel: &'a CancellationToken) -> Self {
        Self { cancel: Some(cancel), ..self }
    }

    /// Whether the call shall end.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancellationToken::is_cancelled)
    }

    /// Before an effect that no journal has to know of, and between two steps.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Cancelled`], with [`crate::LeftBehind::Unknown`] where the provider does not know better.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// `what` (such as `RunInstances`) is about to be asked for: [`Journal::intend`], unless the call is cancelled. The
    /// word is the provider's own: the core keeps it, and hands it back in [`crate::MachineRef::intents`].
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Cancelled`], and that of the journal. The effect must not be started then.
    pub fn intend(&self, what: &str) -> Result<()> {
        self.check()?;
        self.journal.map_or(Ok(()), |journal| journal.intend(what))
    }

    /// [`Journal::refused`], with the word of the [`Cx::intend`] before it.
    pub fn refused(&self, what: &str) {
        if let Some(journal) = self.journal {
            journal.refused(what);
        }
    }

    /// [`Journal::made`]. Also written down when the call is cancelled: it is there.
    ///
    /// # Errors
    ///
    /// That of the journal, which has left `resource` behind.
    pub fn made(&self, resource: &Resource) -> Result<()> {
        let left = |error: Error| error.left(LeftBehind::Present(vec![resource.id.clone()]));
        self.journal.map_or(Ok(()), |journal| journal.made(resource).map_err(left))
    }

    /// `work`, which is dropped when the call is cancelled: only for what has no effect, as waiting and looking.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Cancelled`], or that of `work`.
    pub async fn until_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(cancel) = self.cancel else { return work.await };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::cancelled()),
            result = work => result,
        }
    }

    /// Waits for `time`.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Cancelled`].
    pub async fn pause(&self, time: Duration) -> Result<()> {
        self.until_cancelled(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
        .await
    }
}

impl Notify for Cx<'_> {
    fn progress(&self, message: &str) {
        self.notify.progress(message);
    }

    fn warn(&self, message: &str) {
        self.notify.warn(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, conformance::Recorder};

    #[tokio::test]
    async fn a_cancelled_call_intends_nothing_more_and_waits_no_longer() {
        let (journal, cancel) = (Recorder::default(), CancellationToken::new());
        let cx = Cx::silent().journal(&journal).cancel(&cancel);
        cx.intend("one").expect("nobody has cancelled it");
        cx.pause(Duration::ZERO).await.expect("nor now");
        cancel.cancel();
        assert_eq!(cx.intend("two").expect_err("it is cancelled").kind(), Kind::Cancelled);
        assert_eq!(journal.intents(), ["one"]);
        let waited = cx.until_cancelled(std::future::pending::<Result<()>>()).await;
        assert_eq!(waited.expect_err("it is cancelled").kind(), Kind::Cancelled);
        Cx::silent().check().expect("nobody can cancel this one");
    }
}
