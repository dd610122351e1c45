//! The server for phones: connections within their limits, until the stop.
//!
//! It uses hyper directly, because only there refusals of the HTTP parser can be counted, and
//! silent connections be closed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::Ingress;
use super::limits::Limits;
use super::repaired_socket::RepairedSocket;
use crate::net::accept;

/// Serves connections until the stop; then finishes the requests under way.
pub async fn serve(listener: TcpListener, ingress: Arc<Ingress>, stop: CancellationToken) {
    let limit = ConnectionLimit::new(ingress.limits);
    let connections = TaskTracker::new();

    while let Some((socket, from)) = accept(&listener, &stop).await {
        let shared = ingress.is_proxy(from.ip());
        let Some(permit) = limit.admit(from.ip(), shared) else {
            metrics::counter!(
                "cordboard_ingress_refused_total",
                "reason" => "too_many_connections"
            )
            .increment(1);
            reject_busy(socket);
            continue;
        };

        let ingress = Arc::clone(&ingress);
        connections.spawn(connection(socket, from, permit, ingress, stop.clone()));
    }

    connections.close();
    connections.wait().await;
}

/// Answers 503 without waiting for the socket, and closes it.
fn reject_busy(socket: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
        retry-after: 5\r\n\
        connection: close\r\n\
        content-length: 0\r\n\r\n";

    if let Ok(mut socket) = socket.into_std() {
        // The connection is closed even if the answer does not fit into its buffer.
        let _ = socket.write(BUSY);
    }
}

async fn connection(
    socket: TcpStream,
    from: SocketAddr,
    _permit: ConnectionPermit,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    let limits = ingress.limits;
    let service = service_fn(move |request| {
        let ingress = Arc::clone(&ingress);
        async move { Ok::<_, Infallible>(ingress.answer(from.ip(), request).await) }
    });

    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // A phone may close its side as soon as it has sent its request.
        .half_close(true)
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .max_headers(limits.headers);

    let served = builder.serve_connection(TokioIo::new(RepairedSocket::new(socket)), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };

    // A phone that goes silent or hangs up in the middle of a request is no refusal.
    if let Err(error) = ended
        && !error.is_timeout()
        && !error.is_incomplete_message()
    {
        report_refusal(&error, from.ip());
    }
}

fn report_refusal(error: &hyper::Error, from: IpAddr) {
    let reason = if error.is_parse() || error.is_parse_too_large() {
        "unparseable"
    } else {
        "broken_connection"
    };

    metrics::counter!("cordboard_ingress_refused_total", "reason" => reason).increment(1);
    tracing::warn!(%from, reason, "request refused by the HTTP parser");
}

/// The limits on connections, in total and of one address.
struct ConnectionLimit {
    total: Arc<Semaphore>,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address_max: usize,
}

/// The right to one connection, returned when it is dropped.
struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    from: IpAddr,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl ConnectionLimit {
    fn new(limits: Limits) -> ConnectionLimit {
        ConnectionLimit {
            total: Arc::new(Semaphore::new(limits.connections)),
            per_address: Arc::default(),
            per_address_max: limits.connections_per_address,
        }
    }

    /// A permit, if one is left. A shared address, such as that of a proxy, is limited only by the
    /// total.
    fn admit(&self, from: IpAddr, shared: bool) -> Option<ConnectionPermit> {
        let permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut per_address = self.per_address.lock();
        let count = per_address.entry(from).or_insert(0);
        if *count >= self.per_address_max && !shared {
            return None;
        }

        *count += 1;
        drop(per_address);

        Some(ConnectionPermit {
            _permit: permit,
            from,
            per_address: Arc::clone(&self.per_address),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut per_address = self.per_address.lock();

        if let Some(count) = per_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.from);
            }
        }
    }
}
