//! The accept loop: our own, because only here refusals of the HTTP parser can be seen, and silent
//! connections be closed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Repaired;
use super::handle::Ingress;
use crate::net::accept;

/// What one ingress puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Request line and headers.
    pub head_bytes: usize,
    pub headers: usize,
    pub body_bytes: usize,
    /// To send a head, and between two requests of one connection.
    pub head_timeout_ms: u64,
    /// From the head to the answer.
    pub request_timeout_ms: u64,
    pub per_device_per_second: u32,
    pub per_device_burst: u32,
    /// Refused requests of one address.
    pub strangers_per_second: u32,
}

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

/// Says that there is no seat, if that can be said at once, and closes.
fn reject_busy(socket: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    if let Ok(mut socket) = socket.into_std() {
        // Who cannot even take that is closed all the same.
        let _unheard = socket.write(BUSY);
    }
}

async fn connection(
    socket: TcpStream,
    from: SocketAddr,
    seat: ConnectionPermit,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    let _seat = seat;
    let limits = ingress.limits;
    let service = service_fn(move |request| {
        let ingress = Arc::clone(&ingress);
        async move { Ok::<_, Infallible>(ingress.answer(from.ip(), request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // A phone may close its side as soon as it has said everything.
        .half_close(true)
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .max_headers(limits.headers);
    let served = builder.serve_connection(TokioIo::new(Repaired::new(socket)), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        let reason = if error.is_parse() || error.is_parse_too_large() {
            "unparseable"
        } else {
            "broken_connection"
        };
        if error.is_timeout() || error.is_incomplete_message() {
            return;
        }
        metrics::counter!("cordboard_ingress_refused_total", "reason" => reason).increment(1);
        tracing::warn!(from = %from.ip(), reason, "request refused by the HTTP parser");
    }
}

/// How many connections there may be, and how many of one address.
struct ConnectionLimit {
    seats: Arc<Semaphore>,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address_max: usize,
}

struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    from: IpAddr,
    per_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl ConnectionLimit {
    fn new(limits: Limits) -> ConnectionLimit {
        ConnectionLimit {
            seats: Arc::new(Semaphore::new(limits.connections)),
            per_address: Arc::default(),
            per_address_max: limits.connections_per_address,
        }
    }

    /// A seat, if there is one left. A shared address, such as that of a proxy, may take as many as
    /// there are.
    fn admit(&self, from: IpAddr, shared: bool) -> Option<ConnectionPermit> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let mut per_address = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = per_address.entry(from).or_insert(0);
        if *count >= self.per_address_max && !shared {
            return None;
        }
        *count += 1;
        drop(per_address);
        Some(ConnectionPermit {
            _permit: seat,
            from,
            per_address: Arc::clone(&self.per_address),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut per_address = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = per_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.from);
            }
        }
    }
}
