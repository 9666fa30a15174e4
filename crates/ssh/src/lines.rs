//! Output cut into lines while it comes.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use super::{
    Stream,
    budget::{LONGEST_LINE, Meter, TooMuch},
};

pub(super) type OnLine<'a, 'b> = Mutex<&'a mut (dyn FnMut(Stream, &str) + Send + 'b)>;

/// Cuts what is written to it into lines. Each byte is looked at once, and a line has an end.
pub(super) struct LineWriter<'a, 'b, 'c> {
    pub(super) stream: Stream,
    pub(super) meter: &'a Meter,
    pub(super) rest: Vec<u8>,
    pub(super) on_line: &'a OnLine<'b, 'c>,
}

impl LineWriter<'_, '_, '_> {
    fn emit(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut on_line = self.on_line.lock().unwrap_or_else(PoisonError::into_inner);
        on_line(self.stream, text.trim_end_matches('\r'));
    }

    /// Hands over what has no line end.
    pub(super) fn end(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.emit(&rest);
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.meter.take(bytes.len())?;
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            if self.rest.len() + part.len() > LONGEST_LINE {
                return Err(TooMuch { what: "a line", bytes: LONGEST_LINE }.into());
            }
            match part.strip_suffix(b"\n") {
                Some(line) if self.rest.is_empty() => self.emit(line),
                Some(end) => {
                    self.rest.extend_from_slice(end);
                    self.end();
                }
                None => self.rest.extend_from_slice(part),
            }
        }
        Ok(())
    }
}

impl AsyncWrite for LineWriter<'_, '_, '_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.take(bytes).map(|()| bytes.len()))
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Budget;

    /// The lines of `parts`, as they come.
    fn cut(parts: &[&[u8]]) -> (Vec<String>, io::Result<()>) {
        let mut lines = Vec::new();
        let mut on_line = |_: Stream, line: &str| lines.push(line.to_owned());
        let budget = Budget { bytes: usize::MAX, idle: Duration::MAX, total: Duration::from_secs(1) };
        let (meter, on_line) = (Meter::of(budget), OnLine::new(&mut on_line));
        let mut writer = LineWriter { stream: Stream::Stdout, meter: &meter, rest: Vec::new(), on_line: &on_line };
        let taken = parts.iter().try_for_each(|part| writer.take(part));
        writer.end();
        (lines, taken)
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let long = vec![b'x'; LONGEST_LINE];
        assert!(cut(&[&long]).1.is_ok());
        let (_, refused) = cut(&[&long, b"x"]);
        assert_eq!(TooMuch::in_error(&refused.unwrap_err()), Some(TooMuch { what: "a line", bytes: LONGEST_LINE }));
        // In small pieces: a quadratic search would take minutes.
        let pieces = vec![&b"xy"[..]; LONGEST_LINE / 2];
        assert_eq!(cut(&pieces).0, ["xy".repeat(LONGEST_LINE / 2)]);
    }

    proptest! {
        #![proptest_config(rmachine_testkit::cases::config(1))]

        #[test]
        fn lines_are_those_of_the_whole_text(parts in prop::collection::vec("[ab\r\n]{0,6}", 0..8)) {
            let pieces: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            let whole = parts.concat();
            let expected: Vec<&str> = whole.split_inclusive('\n').map(|line| line.trim_end_matches('\n').trim_end_matches('\r')).collect();
            prop_assert_eq!(cut(&pieces).0, expected);
        }
    }
}
