//! Laws of the gateway that hold for any bytes: of a request to the API, and of a client's side of a
//! socket. Everything behind the gateway is empty.

mod nothing;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use cordboard::adapter::memory::MemoryOutbox;
use cordboard::gateway::{
    self, Access, AwaitedTransfers, CallStates, CallerBook, DeskBell, Dispatcher, Gateway, Goals,
    Outdated, OwnHosts, PageOpens, Sites, WatcherLimit,
};
use cordboard::wire::policy_file::Policies;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use nothing::Nothing;

/// The longest time for a request or a connection: nothing behind the gateway waits.
const DEADLINE: Duration = Duration::from_secs(5);
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const BUFFER: usize = 64 << 10;

fn router() -> Router {
    let gateway = Gateway {
        query: Arc::new(Nothing),
        watch: Arc::new(MemoryOutbox::default()),
        states: CallStates {
            ledger: Arc::new(Nothing),
            directory: None,
            clock: Arc::new(Nothing),
            outdated: Outdated::default(),
        },
        directory: None,
        presence: None,
        clock: Arc::new(Nothing),
        watchers: WatcherLimit::new(4, Duration::from_secs(20)),
        access: Arc::new(Access::new(Arc::new(Nothing), Arc::new(Nothing), true)),
        desk: Arc::new(Nothing),
        desk_bell: DeskBell::default(),
        sites: Sites::new(
            Arc::new(Nothing),
            Goals {
                answer_seconds: 20,
                desk_minutes: 30,
                escalation_minutes: 60,
            },
        ),
        people: Arc::new(Nothing),
        callers: CallerBook {
            contacts: Arc::new(Nothing),
            page: None,
            page_opens: PageOpens::OnClick,
            look_up: None,
        },
        claims: Arc::new(Nothing),
        windows: Arc::new(Nothing),
        links: Arc::new(Nothing),
        process: "".into(),
        popups: Arc::default(),
        events: None,
        webhooks: Dispatcher::new(
            "",
            Arc::new(Nothing),
            Arc::new(Nothing),
            Arc::new(MemoryOutbox::default()),
            Arc::new(Nothing),
        ),
        transfers: AwaitedTransfers::new(
            Arc::new(Nothing),
            Arc::new(Nothing),
            None,
            Arc::new(MemoryOutbox::default()),
            Arc::new(Nothing),
        ),
        repeats: Arc::new(Nothing),
        history: Arc::new(Nothing),
        policies: Policies::default(),
    };

    gateway::router(gateway, OwnHosts::new("gateway", &[]))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Every request has an answer that is no failure of the gateway, and whose error is a problem document. The input
/// is a path and query below `/api/v1`, a line break, and a body, which makes it a `POST`.
pub fn api(bytes: &[u8]) {
    let (target, body) = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or((bytes, None), |end| {
            (&bytes[..end], Some(&bytes[end + 1..]))
        });
    let method = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let target = [b"/api/v1", target].concat();
    let Ok(request) = Request::builder()
        .method(method)
        .uri(target.as_slice())
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from(body.unwrap_or_default().to_vec()))
    else {
        return;
    };
    // An event stream never ends.
    if request.uri().path().starts_with("/api/v1/stream") {
        return;
    }

    runtime().block_on(async {
        let answer = TowerToHyperService::new(router()).call(request);
        let answer = timeout(DEADLINE, answer).await.expect("an answer in time");
        let answer = answer.expect("an answer");
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;

        assert!(!status.is_server_error(), "{status}");
        if status == StatusCode::BAD_REQUEST {
            let body = body.expect("a body");
            let error: serde_json::Value = serde_json::from_slice(&body).expect("an error in JSON");
            assert_eq!(error["status"], 400);
        }
    });
}

/// Whatever a client sends on its socket, the gateway answers with frames or closes it, and ends when
/// the client does.
pub fn socket(bytes: &[u8]) {
    runtime().block_on(async {
        let (near, far) = duplex(BUFFER);
        let served = http1::Builder::new()
            .serve_connection(TokioIo::new(far), TowerToHyperService::new(router()))
            .with_upgrades();
        let served = tokio::spawn(served);
        let (mut read, mut write) = tokio::io::split(near);

        let client = async {
            write.write_all(UPGRADE).await.expect("an open connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(read.read_u8().await.expect("an answer"));
            }
            assert!(head.starts_with(b"HTTP/1.1 101"));

            // The gateway may have closed it already.
            let _ = write.write_all(bytes).await;
            let _ = write.shutdown().await;
            let _ = read.read_to_end(&mut Vec::new()).await;
        };
        timeout(DEADLINE, client).await.expect("the end in time");

        let served = timeout(DEADLINE, served).await.expect("the end in time");
        assert!(!served.is_err_and(|error| error.is_panic()));
    });
}
