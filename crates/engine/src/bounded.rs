//! The end of what one connection to an engine may answer. It stands below HTTP, so that heads, bodies and chunks all
//! count, and whoever collects a body collects no more than this.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much an engine may answer over one connection: it is asked for its version and for a swarm, a few kilobytes each.
pub(super) const MOST: usize = 1024 * 1024;

/// More than [`MOST`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST} bytes came")]
pub(super) struct Endless;

/// A stream that fails once more than `left` bytes were read from it.
pub(super) struct Bounded<S> {
    inner: S,
    left: usize,
}

impl<S> Bounded<S> {
    pub(super) fn new(inner: S, left: usize) -> Self {
        Self { inner, left }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                buf.set_filled(before);
                return Poll::Ready(Err(io::Error::other(Endless)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_fits_is_read_and_more_is_an_error() {
        let mut read = Vec::new();
        assert_eq!(Bounded::new(&[7_u8; 10][..], 10).read_to_end(&mut read).await.unwrap(), 10);
        let refused = Bounded::new(&[7_u8; 11][..], 10).read_to_end(&mut Vec::new()).await.unwrap_err();
        assert!(refused.get_ref().unwrap().is::<Endless>(), "{refused:?}");
    }
}
