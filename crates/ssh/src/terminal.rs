//! A session on the local terminal: a real PTY on the host, raw mode here, window sizes passed on.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::{Error, Exit, Result, Session};

/// Raw mode of the local terminal, until dropped.
struct RawMode {
    saved: Termios,
}

impl RawMode {
    fn enter() -> io::Result<Self> {
        let saved = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { saved })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nothing left to do for a terminal that cannot be set back.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.saved);
    }
}

fn window() -> (u32, u32) {
    match tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => (u32::from(size.ws_col), u32::from(size.ws_row)),
        _ => (80, 24),
    }
}

impl Session {
    /// Gives the local terminal to a shell on the host, or to `command`.
    ///
    /// # Errors
    ///
    /// When the session or the local terminal fails; the terminal is set back in any case.
    pub async fn shell(&self, command: Option<&str>) -> Result<Exit> {
        let channel = self.channel().await?;
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        let (columns, rows) = window();
        channel.request_pty(true, &term, columns, rows, 0, 0, &[]).await.map_err(|e| self.failed(e))?;
        match command {
            Some(command) => channel.exec(true, command).await,
            None => channel.request_shell(true).await,
        }
        .map_err(|e| self.failed(e))?;
        let mut resized = signal(SignalKind::window_change()).map_err(Error::Local)?;
        let (reader, writer) = channel.split();
        let raw = RawMode::enter().ok();
        let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
        let follow = async {
            while resized.recv().await.is_some() {
                let (columns, rows) = window();
                if writer.window_change(columns, rows, 0, 0).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let exit = tokio::select! {
            exit = self.transfer(reader, &writer, tokio::io::stdin(), &mut stdout, &mut stderr) => exit,
            () = follow => Ok(Exit::Lost),
        };
        drop(raw);
        exit
    }
}
