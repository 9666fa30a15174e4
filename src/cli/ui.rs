//! stdout is data, stderr is talk: progress on a terminal, plain lines elsewhere.
//!
//! Whatever is said passes [`printable`] here: a message of one machine, a question and a hint are one line each, an
//! error's text and causes are indented below its first line. Data is filtered where stdout is a terminal; a pipe gets
//! it as it is. Tables are filtered in any case (`holdings.rs`).

#![allow(clippy::print_stderr, reason = "the one place that talks")]

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rmachine_core::Talk;
use rmachine_model::error::{Error, Result};
use rmachine_provider_api::Notify;
use rmachine_text::printable;
use zeroize::Zeroizing;

use super::{
    dialect::Dialect,
    passphrase::{self, Unanswered},
};

/// The terminal, or what stands in its place.
pub struct Terminal {
    bars: Option<MultiProgress>,
    dialect: Dialect,
    out: Out,
    voices: Mutex<HashMap<String, Arc<Voice>>>,
}

impl Terminal {
    /// The process's own stdin and stderr.
    pub fn of_process() -> Arc<Self> {
        Self::speaking(Dialect::Own, false)
    }

    /// As [`Terminal::of_process`], in a dialect; docker-machine's talk goes to stdout where that is no data.
    pub fn speaking(dialect: Dialect, on_stdout: bool) -> Arc<Self> {
        let bars = !dialect.is_docker_machine() && io::stderr().is_terminal();
        let bars = bars.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let out = Out { dialect, on_stdout };
        Arc::new(Self { bars, dialect, out, voices: Mutex::default() })
    }

    /// Whose words are spoken.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Prints one line of talk, above the progress.
    pub fn say(&self, line: &str) {
        self.say_block(&printable::line(line));
    }

    /// The same with a text of our own that may have several lines.
    pub fn say_block(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| self.out.talk(text)),
            None => self.out.talk(text),
        }
    }

    /// Asks `question` and takes the next line of stdin for the answer, from a terminal or not, as docker-machine does.
    pub fn confirm_line(&self, question: &str) -> bool {
        let mut answer = String::new();
        let asked = io::stdout().write_all(question.as_bytes()).and_then(|()| io::stdout().flush());
        // What cannot be asked or read is no yes.
        asked.and_then(|()| io::stdin().lock().read_line(&mut answer)).is_ok()
            && answer.trim_start().to_ascii_lowercase().starts_with('y')
    }

    /// Asks for something that is not shown while it is typed.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn secret(&self, question: &str) -> Result<Zeroizing<String>, Unanswered> {
        let question = printable::line(question);
        match &self.bars {
            Some(bars) => bars.suspend(|| passphrase::ask(&question)),
            None => passphrase::ask(&question),
        }
    }

    /// Ends all progress lines; what follows is a result.
    pub fn finish(&self) {
        for voice in self.voices.lock().unwrap_or_else(PoisonError::into_inner).values() {
            voice.finish();
        }
    }

    /// The terminal is gone: nothing is drawn on it any more. A bar that cannot be drawn would end the process.
    pub fn hang_up(&self) {
        if let Some(bars) = &self.bars {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Prints `error` as one `Error:` line, its causes and its hints.
    pub fn fail(&self, error: &Error) {
        self.finish();
        Out { on_stdout: false, ..self.out }.talk(&error.report_under(&self.dialect.headline(error)));
    }
}

impl Talk for Terminal {
    fn about(&self, machine: &str) -> Arc<dyn Notify> {
        let mut voices = self.voices.lock().unwrap_or_else(PoisonError::into_inner);
        let voice = voices.entry(machine.to_owned()).or_insert_with(|| {
            Arc::new(Voice {
                machine: machine.to_owned(),
                bars: self.bars.clone(),
                out: self.out,
                state: Mutex::default(),
            })
        });
        voice.clone()
    }

    fn confirm(&self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let ask = || {
            eprint!("{} [y/N] ", printable::line(question));
            io::stderr().flush().ok()?;
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer).ok()?;
            Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
        };
        match &self.bars {
            Some(bars) => bars.suspend(ask),
            None => ask(),
        }
    }

    fn passphrase(&self, path: &Path) -> Option<Zeroizing<String>> {
        self.secret(&format!("Enter the passphrase of the key {}: ", path.display())).ok()
    }
}

#[derive(Default)]
struct VoiceState {
    bar: Option<ProgressBar>,
    last: String,
}

struct Voice {
    machine: String,
    bars: Option<MultiProgress>,
    out: Out,
    state: Mutex<VoiceState>,
}

impl Voice {
    fn finish(&self) {
        if let Some(bar) = self.state.lock().unwrap_or_else(PoisonError::into_inner).bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Notify for Voice {
    fn progress(&self, message: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let message = printable::line(message);
        if state.last == message {
            return;
        }
        state.last = message.clone().into_owned();
        tracing::debug!(machine = self.machine, "{message}");
        match &self.bars {
            Some(bars) => {
                let bar = state.bar.get_or_insert_with(|| {
                    let style = ProgressStyle::with_template("{spinner} ({prefix}) {msg} [{elapsed}]")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner());
                    let bar = bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(self.machine.clone()));
                    bar.enable_steady_tick(Duration::from_millis(120));
                    bar
                });
                bar.set_message(message.into_owned());
            }
            None => self.out.talk(&format!("({}) {message}", self.machine)),
        }
    }

    fn warn(&self, message: &str) {
        let line = format!("Warning: ({}) {}", self.machine, printable::line(message));
        match &self.bars {
            Some(bars) => bars.suspend(|| self.out.talk(&line)),
            None => self.out.talk(&line),
        }
    }
}

/// Where talk goes, and in whose words.
#[derive(Debug, Clone, Copy)]
struct Out {
    dialect: Dialect,
    on_stdout: bool,
}

impl Out {
    /// Prints a line of talk in one write, so that the lines of several processes do not mix.
    fn talk(self, line: &str) {
        let line = format!("{}\n", printable::block(&self.dialect.commands(line)));
        // There is nobody left to tell when it is closed.
        let _ = if self.on_stdout {
            io::stdout().write_all(line.as_bytes())
        } else {
            io::stderr().write_all(line.as_bytes())
        };
    }
}

/// Prints data: one write to stdout, a closed pipe is no error (as `head` closes it). A terminal gets it without what
/// it would obey.
///
/// # Errors
///
/// When stdout cannot be written otherwise.
pub fn print(data: &str) -> Result<()> {
    print_bytes(data.as_bytes())
}

/// [`print`] of what is no text.
///
/// # Errors
///
/// As [`print`].
pub fn print_bytes(data: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    let data = if out.is_terminal() { printable_bytes(data) } else { Cow::Borrowed(data) };
    match out.write_all(&data).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(rmachine_model::error::Kind::Failure, "cannot write to the standard output").source(e))
        }
        _ => Ok(()),
    }
}

/// Where the log goes: to stderr, an event a write.
pub(super) struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(printable::event(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printable_bytes(data: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(printable::block(&String::from_utf8_lossy(data)).into_owned().into_bytes())
}

#[cfg(test)]
#[path = "ui_properties.rs"]
mod properties;
