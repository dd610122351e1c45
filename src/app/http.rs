//! Serving people and operations: only so many connections at once, silent ones are closed, and
//! after the stop no connection is waited for long.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::net::accept;

/// Connections of one listener; those of phones are counted apart, and no page may take their
/// place.
const CONNECTIONS_MAX: usize = 2_048;
/// To send a request's head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers under way may take after the stop.
const GRACE: Duration = Duration::from_millis(500);

/// Serves until `stop`, then gives what is under way a moment.
pub(super) async fn serve(listener: Arc<TcpListener>, router: Router, stop: CancellationToken) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let seat = tokio::select! {
            seat = Arc::clone(&seats).acquire_owned() => seat,
            () = stop.cancelled() => break,
        };
        let Some((socket, _)) = accept(&listener, &stop).await else {
            break;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            let _seat = seat;
            connection(socket, router, stop).await;
        });
    }
    connections.close();
    // Event streams never end by themselves.
    let _all_ended = tokio::time::timeout(GRACE, connections.wait()).await;
}

async fn connection(socket: TcpStream, router: Router, stop: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let served = builder
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(served);
    tokio::select! {
        // A browser that went away is no failure.
        _ended = served.as_mut() => {}
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            let _ended = served.await;
        }
    }
}

/// The router before there is anything to show: it answers 503 with a time to wait. Once it is
/// open, requests are served, on connections that are open already as well.
#[derive(Default)]
pub(super) struct Door(OnceLock<TowerToHyperService<Router>>);

impl Door {
    pub(super) fn open(&self, to: Router) {
        let _first = self.0.set(TowerToHyperService::new(to));
    }

    pub(super) fn router(self: Arc<Door>) -> Router {
        Router::new().fallback(move |request: Request| {
            let served = self.0.get().map(|open| open.call(request));
            async move {
                match served {
                    Some(served) => served.await,
                    None => Ok(wait().into_response()),
                }
            }
        })
    }
}

fn wait() -> impl IntoResponse {
    let body = "{\"status\":\"error\",\"code\":\"starting\",\"message\":\"waiting for the database; events are kept meanwhile\"}\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], body)
}
