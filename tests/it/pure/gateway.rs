//! The listeners for people and operations: foreign web pages, surplus connections and event
//! streams, and sockets whose browser has vanished.

use std::net::SocketAddr;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::support::http::{self, KeptAlive};
use crate::support::service::{Events, Service, command};
use crate::support::wait::{PATIENCE, within};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A service with these settings of the gateway, and its folder.
async fn service_with(settings: &str) -> (Service, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("settings.toml");
    std::fs::write(&file, format!("[gateway]\n{settings}")).unwrap();
    let arguments = ["serve", "--config", file.to_str().unwrap()];

    let service = Service::begin(command(data.path(), &arguments, &[])).await;
    service.wait_until_ready().await;

    (service, data)
}

/// A request for a socket whose connection is closed when it is refused.
fn refused_upgrade() -> String {
    UPGRADE.replace("Connection: Upgrade", "Connection: Upgrade, close")
}

/// The status of a request with these headers.
async fn status(address: SocketAddr, line: &str, headers: &str) -> u16 {
    let request = format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");

    http::exchange(address, request.as_bytes()).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_own_hosts_are_served() {
    let names = "hosts = [\"calls.example\"]\n[operations]\nhosts = [\"calls.example\"]";
    let (service, _data) = service_with(names).await;
    let gateway = service.gateway;
    let calls = "GET /api/v1/calls";

    for host in ["127.0.0.1:8088", "[::1]", "LOCALHOST:1", "Calls.Example:80"] {
        let own = format!("Host: {host}\r\n");
        assert_eq!(status(gateway, calls, &own).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "calls.example.evil",
    ] {
        let foreign = format!("Host: {host}\r\n");
        assert_eq!(status(gateway, calls, &foreign).await, 421, "{host}");
        assert_eq!(status(gateway, "GET /", &foreign).await, 421, "{host}");
        let metrics = status(service.operations, "GET /metrics", &foreign).await;
        assert_eq!(metrics, 421, "{host}");
    }
    let absolute = "GET http://evil.example/api/v1/calls";
    assert_eq!(status(gateway, absolute, "Host: localhost\r\n").await, 421);

    let rebound = refused_upgrade().replace("localhost", "evil.example");
    let (upgraded, _) = http::exchange(gateway, rebound.as_bytes()).await.unwrap();
    assert_eq!(upgraded, 421);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_changes_nothing() {
    let (service, _data) = service_with("").await;
    let gateway = service.gateway;
    let id = service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=1")
        .await
        .unwrap();

    for target in [
        format!("POST /api/v1/call-states/{id}/end"),
        "POST /api/v1/call-states/recover".to_owned(),
        "POST /api/v1/call-states".to_owned(),
        "DELETE /api/v1/calls".to_owned(),
    ] {
        for foreign in [
            "Origin: http://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: http://localhost:1\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            let headers = format!("Host: localhost\r\nContent-Length: 0\r\n{foreign}");
            assert_eq!(
                status(gateway, &target, &headers).await,
                403,
                "{target} {foreign}"
            );
        }
    }

    // The own page, and programs.
    for own in [
        "",
        "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        let headers = format!("Host: localhost\r\nContent-Length: 0\r\n{own}");
        let recovered = status(gateway, "POST /api/v1/call-states/recover", &headers).await;
        assert_ne!(recovered, 403, "{own}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_means_the_same_on_every_list_and_errors_quote_no_parser() {
    let (service, _data) = service_with("").await;
    let gateway = service.gateway;
    for phone in 1..4 {
        let target =
            format!("/gs/cti/incoming?mac=000b8200000{phone}&local=20{phone}&remote={phone}");
        service.send(&target).await.unwrap();
    }
    service
        .eventually("three calls", async |service| {
            let calls = service.ask("/api/v1/calls").await;
            let count = calls["calls"].as_array().map_or(0, Vec::len);
            (count == 3).then_some(()).ok_or(calls.to_string())
        })
        .await;

    for (path, entries) in [
        ("calls", "calls"),
        ("calls/live", "calls"),
        ("missed", "missed"),
        ("devices", "devices"),
        ("extensions", "extensions"),
        ("call-states", "calls"),
    ] {
        let limited = service.ask(&format!("/api/v1/{path}?limit=2")).await;
        let length = limited[entries].as_array().map(Vec::len);
        let expected = if path == "missed" { 0 } else { 2 };
        assert_eq!(length, Some(expected), "{path}: {limited}");

        for query in [
            "limit=0",
            "limit=201",
            "limit=x",
            "limits=1",
            "limit=1&limit=2",
        ] {
            let target = format!("/api/v1/{path}?{query}");
            let (status, body) = http::get(gateway, &target).await;
            assert_eq!(status, 400, "{target}: {body}");
            assert!(
                body.contains("limit") && !body.contains("eserialize"),
                "{target}: {body}"
            );
        }
    }

    for (body, expected) in [
        ("{", "not JSON"),
        ("{\"x\":1}", "`call_id`"),
        ("[]", "`call_id`"),
    ] {
        let request = format!(
            "POST /api/v1/call-states HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, answer) = http::exchange(gateway, request.as_bytes()).await.unwrap();
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(
            answer.contains(expected)
                && !answer.contains("eserialize")
                && !answer.contains("line 1"),
            "{body}: {answer}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surplus_watchers_are_refused_and_the_api_answers() {
    let (service, _data) = service_with("connections_max = 6\nwatchers_max = 4").await;
    let gateway = service.gateway;

    let mut streams = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        streams.push(Events::open(gateway, None).await);
        sockets.push(upgrade(gateway).await);
    }
    let surplus = status(gateway, "GET /api/v1/stream", "Host: localhost\r\n").await;
    assert_eq!(surplus, 503);
    let (surplus, body) = http::exchange(gateway, refused_upgrade().as_bytes())
        .await
        .unwrap();
    assert!(
        surplus == 503 && body.contains("too_many_watchers"),
        "{body}"
    );
    assert_eq!(
        status(gateway, "GET /api/v1/calls", "Host: localhost\r\n").await,
        200
    );

    // Upgraded sockets still count as connections.
    let _idle = [admitted(&service).await, admitted(&service).await];
    let (refused, _) = http::exchange(gateway, b"").await.unwrap();
    assert_eq!(refused, 503);

    drop(streams.pop());
    drop(sockets.pop());
    service
        .eventually("room for a new stream", async |_| {
            match status(gateway, "GET /api/v1/calls", "Host: localhost\r\n").await {
                200 => Ok(()),
                status => Err(status.to_string()),
            }
        })
        .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_only_its_share_of_connections_and_a_proxy_more() {
    let limits = "connections_per_address_max = 2\ntrusted_proxies = [\"127.0.0.3/32\"]";
    let (service, _data) = service_with(limits).await;
    let gateway = service.gateway;

    let _open = [connect(gateway).await, connect(gateway).await];
    let (refused, _) = http::exchange(gateway, b"").await.unwrap();
    assert_eq!(refused, 503);

    for address in ["127.0.0.2", "127.0.0.3"] {
        let mut open = Vec::new();
        for _ in 0..2 {
            open.push(connect_from(address, gateway).await);
        }
        let mut third = connect_from(address, gateway).await;
        third
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut head = [0; 12];
        within(PATIENCE, "an answer", third.read_exact(&mut head))
            .await
            .unwrap();
        let expected = if address == "127.0.0.3" { "200" } else { "503" };
        assert_eq!(&head[9..], expected.as_bytes(), "{address}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_answers_no_pings_is_closed() {
    let (service, _data) = service_with("ping_seconds = 1").await;
    let mut vanished = upgrade(service.gateway).await;

    // Nothing is sent back, so no ping is answered.
    let mut received = Vec::new();
    within(PATIENCE, "the close", vanished.read_to_end(&mut received))
        .await
        .unwrap();
    let code: u16 = CloseCode::Protocol.into();
    let close: Vec<u8> = received
        .windows(4)
        .rfind(|bytes| bytes[0] == 0x88)
        .map(|bytes| bytes[2..4].to_vec())
        .unwrap_or_default();
    assert_eq!(close, code.to_be_bytes(), "{received:x?}");

    service.stop().await;
}

/// Opens a WebSocket, and reads the answer.
async fn upgrade(gateway: SocketAddr) -> TcpStream {
    let mut socket = connect(gateway).await;
    socket.write_all(UPGRADE.as_bytes()).await.unwrap();

    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            within(PATIENCE, "an upgrade", socket.read_u8())
                .await
                .unwrap(),
        );
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");

    socket
}

/// A connection that stays open. The one before it may not have left its place yet.
async fn admitted(service: &Service) -> KeptAlive {
    service
        .eventually("room for a connection", async |service| {
            let mut connection = KeptAlive::connect(service.gateway).await;
            match connection.get("/api/v1/sites").await {
                Ok((200, _)) => Ok(connection),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await
}

async fn connect(gateway: SocketAddr) -> TcpStream {
    connect_from("127.0.0.1", gateway).await
}

async fn connect_from(address: &str, gateway: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(address.parse().unwrap(), 0))
        .unwrap();

    within(PATIENCE, "a connection", socket.connect(gateway))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_a_body_is_not_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let request = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{\"name\":\"";

    let (status, _) = http::exchange(service.gateway, request).await.unwrap();
    assert_eq!(status, 408);

    let large = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 200000000\r\n\r\n";
    let (status, _) = http::exchange(service.gateway, large).await.unwrap();
    assert_eq!(status, 413);
    service.stop().await;
}

/// What a client announces and does not send takes no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_bodies_keep_no_other_out() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let head = "POST /api/v1/missed HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{";

    let mut announcing = Vec::new();
    for _ in 0..60 {
        let mut socket = TcpStream::connect(service.gateway).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        announcing.push(socket);
    }
    let done = json!({ "call_ids": ["unknown"], "status": "done" });
    for _ in 0..20 {
        let (status, answer) = service.call("POST", "/api/v1/missed", &done).await;
        assert_ne!(status, 503, "{answer}");
    }
    service.stop().await;
}
