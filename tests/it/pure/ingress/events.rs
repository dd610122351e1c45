//! The names of events, and the forms of their bodies.

use cordboard::domain::fact::Kind;

use super::fields::part;
use crate::support::ingress::Running;

const NAMES: [(&str, Kind); 17] = [
    ("incoming", Kind::Incoming),
    ("incoming_call", Kind::Incoming),
    ("INCOMING", Kind::Incoming),
    ("outgoing_call", Kind::Outgoing),
    ("established", Kind::Answered),
    ("established_call", Kind::Answered),
    ("connected", Kind::Answered),
    ("terminated", Kind::Hangup),
    ("terminated_call", Kind::Hangup),
    ("disconnected", Kind::Hangup),
    ("missed_call", Kind::Missed),
    ("rejected", Kind::Rejected),
    ("hold", Kind::Hold),
    ("unhold", Kind::Resume),
    ("resume", Kind::Resume),
    ("blind_transfer", Kind::BlindTransfer),
    ("attended_transfer", Kind::AttendedTransfer),
];

/// Events of a device and not of a call.
const DEVICE_EVENTS: [&str; 12] = [
    "registered",
    "unregistered",
    "dnd_on",
    "dnd_off",
    "forward_on",
    "forward_off",
    "off_hook",
    "on_hook",
    "busy",
    "idle",
    "boot",
    "setup_completed",
];

/// Bodies that state the same device, extension and number.
const BODIES: [(&str, &str); 9] = [
    (
        "application/x-www-form-urlencoded",
        "m=000b82000003&l=203&r=%2B49301",
    ),
    (
        "application/x-www-form-urlencoded; charset=utf-8",
        "mac=000b82000003&local=203&remote=+49301",
    ),
    (
        "application/json",
        r#"{"mac":"000b82000003","local":203,"remote":"+49301"}"#,
    ),
    (
        "application/json; charset=utf-8",
        r#"{"m":"00:0b:82:00:00:03","l":"203","r":"+49301","more":{"x":1}}"#,
    ),
    (
        "application/json",
        "\u{feff}{\"mac\":\"000b82000003\",\"local\":203,\"remote\":\"+49301\"}",
    ),
    (
        "application/json",
        r#"{"mac":"000b82000003","local":203,"remote":"+49301","display_remote":"A\ud83d"}"#,
    ),
    (
        "text/plain",
        r#"{"mac":"000b82000003","local":203,"remote":"+49301"}"#,
    ),
    (
        "text/plain; charset=utf-8",
        "mac=000b82000003&local=203&remote=%2B49301",
    ),
    ("", "mac=000b82000003&local=203&remote=%2B49301"),
];

/// The answer to an event with a body.
async fn post(running: &Running, content_type: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST /gs/cti/answered HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );

    running.talk(request.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_many_names() {
    let running = Running::open().await;

    for (event, kind) in NAMES {
        let line = format!("GET /gs/cti/{event}?mac=1&remote=2");
        assert_eq!(running.status(line.as_bytes()).await, 200, "{event}");
        assert_eq!(running.last().kind, kind, "{event}");
    }

    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_device_needs_no_call() {
    let running = Running::open().await;

    for event in DEVICE_EVENTS {
        let line = format!("GET /gs/cti/{event}?mac=2");
        assert_eq!(running.status(line.as_bytes()).await, 200, "{event}");
        assert!(matches!(running.last().kind, Kind::Device(_)), "{event}");
    }

    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_a_form_or_json_and_anything_else_is_rejected() {
    let running = Running::open().await;

    for (content_type, body) in BODIES {
        let answer = post(&running, content_type, body).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{content_type} {body}: {answer}"
        );
        let fact = running.last();
        assert_eq!(
            ["device", "local", "remote"].map(|name| part(&fact, name)),
            ["000b82000003", "203", "+49301"]
        );
    }

    for body in ["", "[]", "{", "\"x\"", "{\"mac\":"] {
        let answer = post(&running, "application/json", body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body}: {answer}");
    }

    running.end().await;
}
