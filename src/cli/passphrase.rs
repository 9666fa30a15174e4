//! A question whose answer is not shown: on the terminal, or by the program that SSH_ASKPASS names, as ssh(1) does.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::{Command, Stdio},
};

use rmachine_model::error::{Error, Kind};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize, Zeroizing};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// There is nobody to ask.
    Nobody,
    /// Ctrl-C, Ctrl-D, or a program for passphrases that was closed.
    GivenUp,
    /// It is no text, or longer than any passphrase.
    Unreadable,
}

impl Unanswered {
    /// The error for `what`, which needed an answer; `hint` says how to give one otherwise.
    pub(super) fn error(self, what: &str, hint: &str) -> Error {
        match self {
            Self::Nobody => Error::usage(format!("{what}, and there is no terminal to ask on")).hint(hint),
            Self::GivenUp => Error::new(Kind::Interrupted, "no passphrase was given; nothing was done"),
            Self::Unreadable => Error::usage("what was typed is no text in UTF-8; nothing was done").hint(hint),
        }
    }
}

/// Asks `question`.
pub(super) fn ask(question: &str) -> Result<Zeroizing<String>, Unanswered> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let program = variable("SSH_ASKPASS");
    // ssh(1), SSH_ASKPASS_REQUIRE.
    let required = variable("SSH_ASKPASS_REQUIRE").unwrap_or_default();
    let terminal = || if matches!(required.as_str(), "force") { None } else { Terminal::open() };
    let prefers = matches!(required.as_str(), "force" | "prefer");
    match (program, terminal()) {
        (Some(program), _) if prefers => by_program(&program, question),
        (_, Some(terminal)) => terminal.ask(question),
        (Some(program), None)
            if required != "never" && ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| variable(name).is_some()) =>
        {
            by_program(&program, question)
        }
        _ => Err(Unanswered::Nobody),
    }
}

fn by_program(program: &str, question: &str) -> Result<Zeroizing<String>, Unanswered> {
    let output = Command::new(program).arg(question).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            tracing::warn!("SSH_ASKPASS {program} cannot be run: {error}");
            return Err(Unanswered::Nobody);
        }
    };
    let said = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(Unanswered::GivenUp);
    }
    let text = std::str::from_utf8(&said).map_err(|_| Unanswered::Unreadable)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// The controlling terminal in raw mode, until dropped. Ctrl-C is a letter there: it ends the question, and the
/// terminal is set back whatever becomes of it.
struct Terminal {
    tty: File,
    saved: Termios,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nothing left to do for a terminal that cannot be set back.
        let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.saved);
    }
}

impl Terminal {
    fn open() -> Option<Self> {
        #[allow(clippy::disallowed_methods, reason = "a terminal, no file of the store")]
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let saved = tcgetattr(&tty).ok()?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(&tty, OptionalActions::Now, &raw).ok()?;
        Some(Self { tty, saved })
    }

    fn ask(mut self, question: &str) -> Result<Zeroizing<String>, Unanswered> {
        let gone = |_| Unanswered::Nobody;
        self.tty.write_all(question.as_bytes()).map_err(gone)?;
        let answer = read_line(&mut self.tty);
        self.tty.write_all(b"\r\n").map_err(gone)?;
        answer.map_err(gone)?
    }
}

/// Reads up to the line's end; Ctrl-C gives up, and Ctrl-D on an empty line.
fn read_line(from: &mut impl Read) -> io::Result<Result<Zeroizing<String>, Unanswered>> {
    // Grown by hand: a Vec that moves leaves its old bytes behind.
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        if from.read(&mut *byte)? == 0 {
            return Ok(Err(Unanswered::GivenUp));
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            0x03 => return Ok(Err(Unanswered::GivenUp)),
            0x04 if line.is_empty() => return Ok(Err(Unanswered::GivenUp)),
            0x08 | 0x7f => {
                // A letter may have several bytes.
                while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
            }
            0x15 => {
                line.zeroize();
                line.clear();
            }
            letter if line.len() < line.capacity() => line.push(letter),
            _ => return Ok(Err(Unanswered::Unreadable)),
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| Unanswered::Unreadable);
    Ok(text.map(|text| Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[u8]) -> Result<String, Unanswered> {
        read_line(&mut &*typed).unwrap().map(|line| line.to_string())
    }

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        assert_eq!(read(b"secret\r").as_deref(), Ok("secret"));
        assert_eq!(read("a\u{e9}\x7f\x7fb\n".as_bytes()).as_deref(), Ok("b"));
        assert_eq!(read(b"wrong\x15right\r").as_deref(), Ok("right"));
        assert_eq!(read(b"\r").as_deref(), Ok(""));
        for ended in [&b"sec\x03ret\r"[..], b"\x04", b"cut off"] {
            assert_eq!(read(ended), Err(Unanswered::GivenUp));
        }
        for no_text in [&[b'x'; 5000][..], b"\xff\xfe\r"] {
            assert_eq!(read(no_text), Err(Unanswered::Unreadable));
        }
    }
}
