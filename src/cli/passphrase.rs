//! A question whose answer is not shown: on the terminal, or by the program that SSH_ASKPASS names, as ssh(1) does.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::{Command, Stdio},
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize, Zeroizing};

/// Asks `question`; `None` when there is nobody, or he gives up.
pub(super) fn ask(question: &str) -> Option<Zeroizing<String>> {
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
        _ => None,
    }
}

fn by_program(program: &str, question: &str) -> Option<Zeroizing<String>> {
    let output = Command::new(program).arg(question).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            tracing::warn!("SSH_ASKPASS {program} cannot be run: {error}");
            return None;
        }
    };
    let said = Zeroizing::new(output.stdout);
    let line = std::str::from_utf8(&said).ok()?.lines().next().unwrap_or_default();
    output.status.success().then(|| Zeroizing::new(line.to_owned()))
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

    fn ask(mut self, question: &str) -> Option<Zeroizing<String>> {
        self.tty.write_all(question.as_bytes()).ok()?;
        let answer = read_line(&mut self.tty);
        self.tty.write_all(b"\r\n").ok()?;
        answer.ok().flatten()
    }
}

/// Reads up to the line's end; `None` at Ctrl-C, or Ctrl-D on an empty line.
fn read_line(from: &mut impl Read) -> io::Result<Option<Zeroizing<String>>> {
    // Grown by hand: a Vec that moves leaves its old bytes behind.
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        if from.read(&mut *byte)? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            0x03 => return Ok(None),
            0x04 if line.is_empty() => return Ok(None),
            0x08 | 0x7f => {
                // A letter may have several bytes.
                while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
            }
            0x15 => {
                line.zeroize();
                line.clear();
            }
            letter if line.len() < line.capacity() => line.push(letter),
            _ => return Ok(None),
        }
    }
    Ok(std::str::from_utf8(&line).ok().map(|text| Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[u8]) -> Option<String> {
        read_line(&mut &*typed).unwrap().map(|line| line.to_string())
    }

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        assert_eq!(read(b"secret\r").as_deref(), Some("secret"));
        assert_eq!(read("a\u{e9}\x7f\x7fb\n".as_bytes()).as_deref(), Some("b"));
        assert_eq!(read(b"wrong\x15right\r").as_deref(), Some("right"));
        assert_eq!(read(b"\r").as_deref(), Some(""));
        for ended in [&b"sec\x03ret\r"[..], b"\x04", b"cut off", &[b'x'; 5000]] {
            assert_eq!(read(ended), None);
        }
    }
}
