//! Rejected requests: each is answered or closed, stores nothing and harms no other request.

use cordboard::ingress::Limits;
use cordboard::ingress::auth::Access;

use crate::support::ingress::{LIMITS, MemoryIntake, Running};

/// Bytes that are no HTTP a server must accept.
const HOSTILE: [&[u8]; 14] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/9.9\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\n\
      Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\n\
      Content-Length: 99999999999999999999\r\n\r\n",
    b"POST /gs/cti/incoming HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
      Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nBad Header: x\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\n: x\r\n\r\n",
    b"\x00\x00\x00\x00",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nX: \x00\r\n\r\n",
    b"{\"mac\":1}\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_event_is_answered_with_its_reason_and_not_stored() {
    let running = Running::open().await;
    let many = "&p=1".repeat(65);
    let long = "a".repeat(70_000);
    // Each of them has two characters in the envelope.
    let large = "\\".repeat(9_000);

    for (line, expected) in [
        ("HEAD /gs/cti/incoming?mac=1&remote=2", 405),
        ("PUT /gs/cti/incoming?mac=1&remote=2", 405),
        ("GET /gs/cti/exploded?mac=1", 404),
        ("GET /", 404),
        ("GET /mac=000b82123456&local=1001", 404),
        ("GET /gs/cti/incoming", 400),
        ("GET /gs/cti/incoming?remote=123", 400),
        (&format!("GET /gs/cti/incoming?mac=1{many}"), 400),
        (&format!("GET /gs/cti/incoming?mac=1&n={long}"), 414),
        (&format!("GET /gs/cti/incoming?mac=1&n={large}"), 413),
    ] {
        let status = running.status(line.as_bytes()).await;
        assert!(
            status == expected || (expected == 414 && status == 431),
            "{}: {status}",
            &line[..line.len().min(80)]
        );
    }

    assert_eq!(running.facts().len(), 0);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_http_is_closed_and_harms_no_other_request() {
    let impatient = Limits {
        head_timeout_ms: 50,
        ..LIMITS
    };
    let running = Running::start(Access::default(), impatient, MemoryIntake::default()).await;

    for bytes in HOSTILE {
        let answer = running.talk(bytes).await;
        assert!(
            !answer.contains(" 200 "),
            "{}: {answer}",
            String::from_utf8_lossy(bytes)
        );
    }
    for headers in [
        "X: y\r\n".repeat(100),
        format!("X: {}\r\n", "y".repeat(40_000)),
    ] {
        let request = format!("GET /gs/cti/incoming?mac=1 HTTP/1.1\r\n{headers}\r\n");
        let answer = running.talk(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(running.facts().len(), 0);

    let status = running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await;
    assert_eq!(status, 200, "the next request is served");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_the_phone_is_asked_to_come_back_later() {
    let running = Running::start(Access::default(), LIMITS, MemoryIntake::full()).await;

    let answer = running
        .talk(
            b"GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\n\
              Connection: close\r\n\r\n",
        )
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 503")
            && answer.contains("retry-after: 5")
            && answer.contains("not_durable"),
        "{answer}"
    );

    running.end().await;
}
