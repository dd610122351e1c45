//! One connection of a phone: received bytes pass through the repair of request lines on their way
//! to the HTTP parser; sent bytes pass unchanged.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::repair::LineRepair;

/// Bytes read from the socket at once.
const READ_BYTES: usize = 8 * 1024;

/// A socket whose request lines are repaired while they are read.
pub(super) struct RepairedSocket<S> {
    socket: S,
    repair: LineRepair,
    /// Repaired bytes; those before `consumed` were read by the parser already.
    ready: Vec<u8>,
    consumed: usize,
    ended: bool,
}

impl<S> RepairedSocket<S> {
    pub(super) fn new(socket: S) -> RepairedSocket<S> {
        RepairedSocket {
            socket,
            repair: LineRepair::default(),
            ready: Vec::new(),
            consumed: 0,
            ended: false,
        }
    }

    fn copy_ready(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = (self.ready.len() - self.consumed).min(buffer.remaining());
        buffer.put_slice(&self.ready[self.consumed..self.consumed + length]);
        self.consumed += length;

        if self.consumed == self.ready.len() {
            self.ready.clear();
            self.consumed = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RepairedSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();

        while this.ready.is_empty() && !this.ended {
            let mut bytes = [0; READ_BYTES];
            let mut received = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.socket).poll_read(context, &mut received) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if received.filled().is_empty() => {
                    this.ended = true;
                    this.repair.finish(&mut this.ready);
                }
                Poll::Ready(Ok(())) => {
                    let before = this.repair.repaired();
                    this.repair.feed(received.filled(), &mut this.ready);

                    metrics::counter!("cordboard_ingress_odd_total", "what" => "repaired_line")
                        .increment(this.repair.repaired() - before);
                }
            }
        }

        this.copy_ready(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RepairedSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
