//! Output cut into lines while it comes.

use std::{
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use super::Stream;

pub(super) type OnLine<'a, 'b> = Mutex<&'a mut (dyn FnMut(Stream, &str) + Send + 'b)>;

/// Cuts what is written to it into lines.
pub(super) struct LineWriter<'a, 'b, 'c> {
    pub(super) stream: Stream,
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
}

impl AsyncWrite for LineWriter<'_, '_, '_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.emit(&line[..end]);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
