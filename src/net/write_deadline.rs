//! A socket whose writes have a deadline: a peer that sends requests and never reads the answers
//! loses its connection instead of holding it for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Time without any progress of a write.
pub const WRITE_MAX: Duration = Duration::from_secs(5);

/// A socket with a deadline for writes. Every byte that the peer takes begins it anew.
pub struct WriteDeadline<S> {
    socket: S,
    limit: Duration,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    pub fn new(socket: S, limit: Duration) -> WriteDeadline<S> {
        WriteDeadline {
            socket,
            limit,
            stalled: None,
        }
    }

    /// Passes progress on, and turns a stall that lasts too long into an error.
    fn check<T>(
        &mut self,
        progress: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }

        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(context));

        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.check(progress, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.check(progress, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.socket).poll_flush(context);
        self.check(progress, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.socket).poll_shutdown(context);
        self.check(progress, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);
    const BUFFER: usize = 64;

    #[tokio::test]
    async fn a_peer_that_reads_nothing_loses_its_connection() {
        let (near, _far) = duplex(BUFFER);
        let mut socket = WriteDeadline::new(near, LIMIT);

        let written = socket.write_all(&[0; 10 * BUFFER]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_keeps_its_connection() {
        let (near, mut far) = duplex(BUFFER);
        let mut socket = WriteDeadline::new(near, LIMIT * 50);
        let reading = async {
            let mut some = [0; BUFFER / 2];
            for _ in 0..20 {
                tokio::task::yield_now().await;
                far.read_exact(&mut some).await.unwrap();
            }
        };

        let (written, ()) = tokio::join!(socket.write_all(&[0; 10 * BUFFER]), reading);
        assert!(written.is_ok());
    }
}
