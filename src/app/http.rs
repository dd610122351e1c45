//! The HTTP listeners of gateway and operations.
//!
//! - **Limits**: connections in total and of one address; surplus connections get 503.
//! - **Deadlines**: a request head takes at most 10 s, a write without progress 5 s.
//! - **Stop**: no new connections; answers under way have half a second.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::GatewaySettings;
use crate::net::{
    ClientAddress, ConnectionLimit, ConnectionPermit, WRITE_MAX, WriteDeadline, accept,
    any_contains, reject_busy,
};

/// Connections of the operations listener: a few monitors.
const OPERATIONS_CONNECTIONS_MAX: usize = 256;
/// Unfinished heads of all connections stay in memory together.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// Time to send a request head; also the idle time between two requests on one connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for answers under way after the stop. Event streams never end by themselves.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// The answer while the database is not open yet.
const STARTING: &str = concat!(
    r#"{"status":"error","code":"starting","#,
    r#""message":"waiting for the database; events are kept meanwhile"}"#,
    "\n"
);

/// Limits of one listener.
pub(super) struct HttpLimits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Addresses that many clients share.
    pub trusted_proxies: Vec<IpNet>,
}

impl HttpLimits {
    pub(super) fn of_gateway(settings: &GatewaySettings) -> HttpLimits {
        HttpLimits {
            connections: settings.connections_max,
            connections_per_address: settings.connections_per_address_max,
            trusted_proxies: settings.trusted_proxies.clone(),
        }
    }

    pub(super) fn of_operations() -> HttpLimits {
        HttpLimits {
            connections: OPERATIONS_CONNECTIONS_MAX,
            connections_per_address: OPERATIONS_CONNECTIONS_MAX,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Serves until the stop.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
) {
    let limit = ConnectionLimit::new(limits.connections, limits.connections_per_address);
    let service = TowerToHyperService::new(router);
    let trusted_proxies: Arc<[IpNet]> = limits.trusted_proxies.into();
    let connections = TaskTracker::new();

    while let Some((socket, from)) = accept(&listener, &stop).await {
        let is_shared = any_contains(&trusted_proxies, from.ip());
        let Some(permit) = limit.admit(from.ip(), is_shared) else {
            metrics::counter!("cordboard_gateway_refused_total", "reason" => "connections")
                .increment(1);
            reject_busy(socket);
            continue;
        };

        let connection = Connection {
            permit,
            peer: from.ip(),
            trusted_proxies: Arc::clone(&trusted_proxies),
        };
        connections.spawn(connection.serve(socket, service.clone(), stop.clone()));
    }

    connections.close();
    // Connections that are still open end with the process.
    let _ = tokio::time::timeout(STOP_GRACE, connections.wait()).await;
}

struct Connection {
    permit: ConnectionPermit,
    peer: IpAddr,
    trusted_proxies: Arc<[IpNet]>,
}

impl Connection {
    async fn serve(
        self,
        socket: TcpStream,
        router: TowerToHyperService<Router>,
        stop: CancellationToken,
    ) {
        // A socket that is upgraded outlives its HTTP connection, and takes the permit along.
        let permit = Arc::new(self.permit);
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let client = ClientAddress::of(&self.trusted_proxies, self.peer, request.headers());
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(Arc::clone(&permit));
            router.call(request)
        });

        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let socket = TokioIo::new(WriteDeadline::new(socket, WRITE_MAX));
        let served = builder.serve_connection(socket, service).with_upgrades();
        tokio::pin!(served);

        // A client that disconnects is no failure, so the results are ignored.
        tokio::select! {
            _ = served.as_mut() => {}
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                let _ = served.await;
            }
        }
    }
}

/// A router that is set when the database is open. Until then it answers 503; afterwards requests
/// are served also on connections that were open before.
#[derive(Default)]
pub(super) struct DeferredRouter(OnceLock<TowerToHyperService<Router>>);

impl DeferredRouter {
    pub(super) fn set(&self, router: Router) {
        // Only the start of the process sets it.
        let _ = self.0.set(TowerToHyperService::new(router));
    }

    pub(super) fn router(self: Arc<DeferredRouter>) -> Router {
        Router::new().fallback(move |request: Request| {
            let served = self.0.get().map(|router| router.call(request));

            async move {
                match served {
                    Some(served) => served.await,
                    None => Ok(starting().into_response()),
                }
            }
        })
    }
}

fn starting() -> impl IntoResponse {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, "5")],
        STARTING,
    )
}
