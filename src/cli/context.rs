//! What every command works with, and how it ends when it is interrupted.

use std::{fs, future::Future, io::IsTerminal, sync::Arc};

use rmachine_core::{Access, Core, Interrupt};
use rmachine_model::error::{Error, Kind, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{dialect::Dialect, ui::Terminal};

/// What a command works with.
pub(super) struct Context {
    pub(super) core: Core,
    pub(super) terminal: Arc<Terminal>,
    /// The name the program was called by.
    pub(super) program: String,
    /// How it is called again, with the store that was typed.
    pub(super) called: String,
    pub(super) dialect: Dialect,
}

impl Context {
    /// Runs asynchronous work that may end anywhere; Ctrl-C ends it at once.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let interrupt = self.core.interrupt().clone();
        self.block_on(async {
            let (mut signals, terminal) = (Signals::catch(), self.terminal.clone());
            let watch = tokio::spawn(async move {
                signals.next(&terminal).await;
                interrupt.raise();
            });
            let result = self.core.interrupt().or(work).await;
            watch.abort();
            result
        })
    }

    /// Runs asynchronous work that undoes what it did: Ctrl-C asks it to, a second one ends the process.
    pub(super) fn run_undoing<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_heeding(
            "Interrupted: removing what was made (press Ctrl-C again to leave at once and keep the record)",
            work,
        )
    }

    /// The same for work that has little to undo.
    pub(super) fn run_to_end<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_heeding("Interrupted: removing what is not whole (press Ctrl-C again to leave at once)", work)
    }

    fn run_heeding<T>(&self, said: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.block_on(async {
            let (interrupt, terminal) = (self.core.interrupt().clone(), self.terminal.clone());
            let watch = tokio::spawn(watch_twice(Signals::catch(), interrupt, terminal, said));
            let result = work.await;
            watch.abort();
            result
        })
    }

    /// Starts the tunnel of a machine whose engine is reached through SSH, when it does not run.
    pub(super) fn ensure_tunnel(&self, access: &Access) -> Result<()> {
        if !access.tunnel || self.core.tunnel_runs(&access.name)? {
            return Ok(());
        }
        self.run(self.core.ensure_tunnel(&access.name))
    }

    fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(Kind::Failure, "cannot start the runtime").source(e))?;
        let result = runtime.block_on(work);
        // A read of stdin that is under way cannot be ended otherwise.
        runtime.shutdown_background();
        self.terminal.finish();
        result
    }
}

/// Ctrl-C, being told to end (SIGTERM), and the end of the terminal (SIGHUP). Caught from the first moment on, before any
/// work begins.
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    /// Without handlers the signals end the process by themselves.
    fn catch() -> Self {
        let hears = hears_hangup(fs::read_to_string("/proc/self/status").ok().as_deref());
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            hangup: hears.then(|| signal(SignalKind::hangup()).ok()).flatten(),
        }
    }

    /// Returns when one of them comes.
    async fn next(&mut self, terminal: &Terminal) {
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
            () = one(&mut self.hangup) => terminal.hang_up(),
        }
    }

    /// Returns when somebody insists. The end of a terminal is told twice, by the kernel and by its shell.
    async fn again(&mut self) {
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
        }
    }
}

async fn one(of: &mut Option<Signal>) {
    match of {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the end of the terminal is for us: not for a process that nohup(1) has started, which ignores it. `status` is
/// that of the process (proc_pid_status(5)); where there is none, nohup shows by output that goes elsewhere.
fn hears_hangup(status: Option<&str>) -> bool {
    let ignored = status.and_then(|status| status.lines().find_map(|line| line.strip_prefix("SigIgn:")));
    match ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        // The lowest bit is of signal 1, SIGHUP.
        Some(mask) => mask & 1 == 0,
        None => std::io::stderr().is_terminal(),
    }
}

async fn watch_twice(mut signals: Signals, interrupt: Interrupt, terminal: Arc<Terminal>, said: &'static str) {
    signals.next(&terminal).await;
    terminal.say(said);
    interrupt.raise();
    signals.again().await;
    terminal.finish();
    #[allow(clippy::exit, reason = "the user asked twice; the record says how far the work is")]
    std::process::exit(i32::from(Kind::Interrupted.exit_code()));
}

#[cfg(test)]
mod tests {
    use super::hears_hangup;

    #[test]
    fn nohup_is_respected() {
        assert!(hears_hangup(Some("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n")));
        assert!(!hears_hangup(Some("SigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n")));
    }
}
