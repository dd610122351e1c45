//! Accept loop of a TCP listener: one connection after the other, until a stop.
//!
//! Guarantees: no accept error ends a listener. An error of one connection, such as a reset before
//! it was accepted, delays no other connection. Any other error, such as too many open files, is
//! logged and followed by a pause of [`ERROR_PAUSE`], because the next attempt would fail as well
//! and only burn the processor. A stop ends the pause, and comes before waiting connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Time between an accept error and the next attempt.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// The longest time for which what was sent may stay unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// Accepts the next connection; `None` after the stop. Its small packets are sent at once.
pub async fn accept(
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    let (socket, from) = retry_until_stopped(|| listener.accept(), stop).await?;
    // A socket that refuses the option works without it, only slower.
    let _ = socket.set_nodelay(true);
    limit_silence(&socket);

    Some((socket, from))
}

/// Ends a connection whose other side has vanished without a word: it acknowledges nothing. Without
/// the limit the kernel goes on for a quarter of an hour.
fn limit_silence(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)) {
        tracing::debug!(%error, "the silence of a connection has no limit");
    }
}

async fn retry_until_stopped<T, Accepting: Future<Output = io::Result<T>>>(
    mut accept: impl FnMut() -> Accepting,
    stop: &CancellationToken,
) -> Option<T> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = accept() => accepted,
        };

        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "connection lost before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted, retrying");
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(ERROR_PAUSE) => {}
                }
            }
        }
    }
}

/// Whether only the connection failed that was to be accepted. Linux reports its network errors
/// from `accept` as well.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn too_many_open_files() -> io::Error {
        const EMFILE: i32 = 24;
        io::Error::from_raw_os_error(EMFILE)
    }

    /// Accepts after some errors, within the deadline.
    async fn accept_after(errors: usize, error: impl Fn() -> io::Error) {
        let mut left = errors;
        let accept = || {
            let result = if left == 0 { Ok(()) } else { Err(error()) };
            left = left.saturating_sub(1);
            ready(result)
        };
        let stop = CancellationToken::new();
        let accepted = tokio::time::timeout(DEADLINE, retry_until_stopped(accept, &stop));

        assert_eq!(accepted.await, Ok(Some(())), "accepted in {DEADLINE:?}");
    }

    #[tokio::test]
    async fn a_lost_connection_delays_no_other() {
        accept_after(1_000, || io::ErrorKind::ConnectionAborted.into()).await;
    }

    #[tokio::test]
    async fn an_accept_error_is_followed_by_a_pause_and_the_next_attempt() {
        let began = tokio::time::Instant::now();
        accept_after(2, too_many_open_files).await;

        assert!(began.elapsed() >= ERROR_PAUSE * 2);
    }

    #[tokio::test]
    async fn a_stop_comes_before_waiting_connections_and_ends_a_pause() {
        let stop = CancellationToken::new();
        let failing = retry_until_stopped(|| ready(Err::<(), _>(too_many_open_files())), &stop);
        let (accepted, ()) = tokio::join!(failing, async { stop.cancel() });
        assert_eq!(accepted, None);

        for _ in 0..100 {
            assert_eq!(retry_until_stopped(|| ready(Ok(())), &stop).await, None);
        }
    }
}
