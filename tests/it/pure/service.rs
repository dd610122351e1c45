//! The service as a process: its API, its event streams, and the repair of its records.

use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::support::http;
use crate::support::service::{Service, command, run};
use crate::support::sqlite::{assert_no_difference, write};
use crate::support::stations::{DEBUG, once, stations_of};
use crate::support::wait::{PATIENCE, within};

const PHONE: &str = "mac=000b82000001&local=201&remote=+4930111222&c=a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_the_guide_becomes_a_call_that_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let call = "callId=12345&remote=03001234567&local=203&mac=AA:BB:CC";

    let service = Service::start(data.path()).await;
    let incoming = service.send(&format!("/gs/cti/incoming?{call}")).await;
    let id = incoming.unwrap();
    let answered = service.send(&format!("/gs/cti/answered?{call}")).await;
    answered.unwrap();
    for target in ["/healthz", "/readyz"] {
        assert_eq!(http::get(service.operations, target).await.0, 200);
    }
    let accepted = service.metric("cordboard_ingress_accepted_total").await;
    assert_eq!(accepted, 2);
    let (status, page) = http::get(service.gateway, "/").await;
    assert!(status == 200 && page.contains("<title>Cordboard</title>"));
    service.stop().await;

    let service = Service::start(data.path()).await;
    let shown = service.ask(&format!("/api/v1/calls/{id}")).await;
    assert_eq!(shown["status"], "answered");
    assert_eq!(shown["answered_by"]["extension"], "203");
    let hangup = service.send(&format!("/gs/cti/hangup?{call}")).await;
    hangup.unwrap();
    service.stop().await;
    assert_no_difference(data.path()).await;

    let service = Service::start(data.path()).await;
    let target = "/api/v1/calls?extension=203&outcome=answered";
    let found = service.ask(target).await;
    assert_eq!(found["calls"].as_array().unwrap().len(), 1);
    assert_eq!(found["calls"][0]["status"], "completed");
    for (target, expected) in [
        ("/api/v1/calls?limit=0", 400),
        ("/api/v1/calls?nope=1", 400),
        ("/api/v1/calls/nope", 404),
        ("/nowhere", 404),
        ("/api/v1/calls/live", 200),
        ("/api/v1/missed", 200),
        ("/api/v1/stats", 200),
    ] {
        let (status, _) = http::get(service.gateway, target).await;
        assert_eq!(status, expected, "{target}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_misses_no_notification_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut events = service.watch(None).await;
    let incoming = service.send(&format!("/gs/cti/incoming?{PHONE}")).await;
    incoming.unwrap();
    let (first, started) = events.until("call.started").await;
    assert_eq!(started["call"]["from"]["e164"], "+4930111222");
    let answered = service.send(&format!("/gs/cti/answered?{PHONE}")).await;
    answered.unwrap();
    let (second, answered) = events.until("call.answered").await;
    assert_eq!(second, first.map(|first| first + 1));
    assert_eq!(answered["call"]["answered_by"]["extension"], "201");
    service.stop().await;

    let service = Service::start(data.path()).await;
    let mut events = service.watch(first).await;
    assert_eq!(
        events.until("call.answered").await.0,
        second,
        "notifications from before the restart come first"
    );
    let hangup = service.send(&format!("/gs/cti/hangup?{PHONE}")).await;
    hangup.unwrap();
    let (third, _) = events.until("call.ended").await;
    assert_eq!(third, second.map(|second| second + 1));
    service.watch(Some(4_711)).await.until("resync").await;
    service.stop().await;
}

/// A connection on which reads and writes block, each until a deadline.
fn blocking(gateway: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&gateway, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();

    stream
}

fn request(gateway: SocketAddr, query: &str) -> Request {
    format!("ws://{gateway}/ws{query}")
        .into_client_request()
        .unwrap()
}

/// Number and type of the next event.
fn next_event(socket: &mut WebSocket<TcpStream>) -> (u64, String) {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            let number = event["number"].as_u64().unwrap();
            return (number, event["type"].as_str().unwrap().to_owned());
        }
    }
}

/// Opens a WebSocket.
fn connect(gateway: SocketAddr, query: &str) -> WebSocket<TcpStream> {
    let (socket, _) = tungstenite::client(request(gateway, query), blocking(gateway)).unwrap();

    socket
}

/// The status with which a WebSocket is rejected.
fn rejection(gateway: SocketAddr, request: Request) -> u16 {
    match tungstenite::client(request, blocking(gateway)) {
        Err(HandshakeError::Failure(Error::Http(answer))) => answer.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_watches_over_websocket_and_a_foreign_page_does_not() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let gateway = service.gateway;

    let mut watching = connect(gateway, "");
    let incoming = service.send(&format!("/gs/cti/incoming?{PHONE}")).await;
    incoming.unwrap();
    assert_eq!(next_event(&mut watching), (1, "call.started".into()));
    let answered = service.send(&format!("/gs/cti/answered?{PHONE}")).await;
    answered.unwrap();
    assert_eq!(next_event(&mut watching), (2, "call.answered".into()));

    let mut resumed = connect(gateway, "?after=1");
    assert_eq!(
        next_event(&mut resumed),
        (2, "call.answered".into()),
        "a watcher that comes back misses nothing"
    );

    let mut foreign = request(gateway, "");
    let origin = "http://elsewhere.example".parse().unwrap();
    foreign.headers_mut().insert("origin", origin);
    assert_eq!(rejection(gateway, foreign), 403);
    assert_eq!(rejection(gateway, request(gateway, "?after=soon")), 400);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_s_popups_come_over_a_websocket_too() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let gateway = service.gateway;
    let next = |socket: &mut WebSocket<TcpStream>| loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str::<Value>(&text).unwrap();
        }
    };

    let mut window = connect(gateway, "/popups?extension=203");
    let hello = next(&mut window);
    assert_eq!(
        (&hello["type"], &hello["data"]["extension"]),
        (&"hello".into(), &"203".into())
    );
    let phone = "mac=000b82000203&local=203&remote=%2B4930111&c=1";
    let id = service.send(&format!("/gs/cti/incoming?{phone}")).await;
    let popup = next(&mut window);
    assert_eq!(
        (&popup["type"], &popup["data"]["kind"]),
        (&"popup".into(), &"ring".into())
    );
    assert_eq!(
        popup["data"]["call_id"].as_str(),
        Some(id.unwrap().as_str())
    );

    assert_eq!(rejection(gateway, request(gateway, "/popups")), 409);
    let mut foreign = request(gateway, "/popups?extension=203");
    let origin = "http://elsewhere.example".parse().unwrap();
    foreign.headers_mut().insert("origin", origin);
    assert_eq!(rejection(gateway, foreign), 403);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;

    let output = run(data.path(), &["serve"]).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69));
    assert!(log.contains("another process uses this journal"), "{log}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_another_program_changed_are_shown_and_repaired() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let mut events = service.watch(None).await;
    for n in 0..3 {
        let phone = format!("mac=000b8200000{n}&local=20{n}&remote=+493011122{n}&c={n}");
        let incoming = service.send(&format!("/gs/cti/incoming?{phone}")).await;
        incoming.unwrap();
        events.until("call.started").await;
    }
    let beside = run(data.path(), &["rebuild"]).await;
    let log = String::from_utf8_lossy(&beside.stderr);
    assert_eq!(beside.status.code(), Some(69));
    assert!(log.contains("stop the service first"), "{log}");
    service.stop().await;

    for sql in [
        "UPDATE call_logs
         SET record = replace(record, 'inbound', 'outbound')
         WHERE call_id = (SELECT min(call_id) FROM call_logs)",
        "DELETE FROM call_logs
         WHERE call_id = (SELECT max(call_id) FROM call_logs)",
    ] {
        write(data.path(), sql).await;
    }
    let shown = run(data.path(), &["rebuild", "--diff"]).await;
    let lines = String::from_utf8_lossy(&shown.stdout).lines().count();
    assert_eq!((shown.status.code(), lines), (Some(69), 6));
    let since = ["rebuild", "--diff", "--since", "2999-01-01T00:00:00Z"];
    let later = run(data.path(), &since).await;
    assert_eq!(later.status.code(), Some(0), "no call began that late");

    let repaired = run(data.path(), &["rebuild"]).await;
    assert_eq!(
        String::from_utf8_lossy(&repaired.stdout),
        "2 calls corrected\n"
    );
    assert_no_difference(data.path()).await;

    let service = Service::start(data.path()).await;
    let live = service.ask("/api/v1/calls/live").await;
    assert_eq!(live["calls"].as_array().unwrap().len(), 3);
    service.stop().await;
    assert_no_difference(data.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_shows_an_event_once_at_every_station() {
    let data = tempfile::tempdir().unwrap();
    let serve = command(data.path(), &["serve"], &[("LOG__FILTER", DEBUG)]);
    let service = Service::begin(serve).await;
    service.wait_until_ready().await;

    let id = service.send(&format!("/gs/cti/incoming?{PHONE}")).await;
    let id = id.unwrap();
    let log = service.log.clone();
    service.stop().await;
    within(PATIENCE, "the end of the log", log.ended()).await;

    let stations = ["request", "append", "deliver", "batch", "commit", "notify"];
    assert_eq!(stations_of(&log, &id), once(&stations));
}
