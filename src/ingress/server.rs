//! The server for phones: connections within their limits, until the stop.
//!
//! It uses hyper directly, because only there refusals of the HTTP parser can be counted, and
//! silent connections be closed.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::repaired_socket::RepairedSocket;
use super::request::Ingress;
use crate::net::{
    ConnectionLimit, ConnectionPermit, WRITE_MAX, WriteDeadline, accept, reject_busy,
};

/// Serves connections until the stop; then finishes the requests under way.
pub async fn serve(listener: TcpListener, ingress: Arc<Ingress>, stop: CancellationToken) {
    let limits = ingress.limits;
    let limit = ConnectionLimit::new(limits.connections, limits.connections_per_address);
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
        // The repair may add one.
        .max_headers(limits.headers + 1);

    let socket = RepairedSocket::new(WriteDeadline::new(socket, WRITE_MAX));
    let served = builder.serve_connection(TokioIo::new(socket), service);
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
