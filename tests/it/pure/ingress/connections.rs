//! Limits of connections, requests and time.

use cordboard::ingress::Limits;
use cordboard::ingress::auth::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::ingress::{LIMITS, MemoryIntake, Running, read_to_end};
use crate::support::wait::{PATIENCE, eventually, within};

/// An event on a connection that stays open.
const EVENT: &[u8] = b"GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\n\r\n";

async fn start(limits: Limits) -> Running {
    Running::start(Access::default(), limits, MemoryIntake::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_phone_harms_no_other() {
    let running = Running::open().await;
    let flood = b"GET /gs/cti/incoming?mac=000b82000001&remote=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = flood.repeat(80);
    stream.extend_from_slice(
        b"GET /gs/cti/incoming?mac=000b82000002&remote=1 HTTP/1.1\r\nHost: h\r\n\
          Connection: close\r\n\r\n",
    );

    let answers = running.talk(&stream).await;
    assert_eq!(
        (
            answers.matches(" 200 OK").count(),
            answers.matches(" 429 ").count()
        ),
        (61, 20)
    );
    running.end().await;
}

/// The beginning of the answer to one event.
async fn beginning_of_answer(socket: &mut TcpStream) -> std::io::Result<[u8; 12]> {
    let mut answer = [0; 12];
    let read = async {
        socket.write_all(EVENT).await?;
        socket.read_exact(&mut answer).await
    };
    within(PATIENCE, "the answer to an event", read).await?;

    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_idle_connections() {
    let running = Running::open().await;
    let mut idle = running.connect().await;
    let answer = beginning_of_answer(&mut idle).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    running.end().await;
    read_to_end(&mut idle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_nothing_or_half_a_request_is_closed() {
    let running = start(Limits {
        head_timeout_ms: 50,
        ..LIMITS
    })
    .await;

    for half in [
        &b""[..],
        b"GET /gs/cti/incoming?mac=1",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: y",
    ] {
        let answer = running.talk(half).await;
        assert!(!answer.contains("200"), "{answer}");
    }

    let status = running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await;
    assert_eq!(status, 200, "other requests are served");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_counts_as_none_and_a_large_one_is_refused() {
    let running = start(Limits {
        request_timeout_ms: 50,
        ..LIMITS
    })
    .await;
    let post = |target: &str, length: usize, body: &str| {
        format!(
            "POST /gs/cti/incoming{target} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };

    let answer = running.talk(post("", 100, "{").as_bytes()).await;
    assert!(answer.contains("no_device"), "{answer}");
    let answer = running
        .talk(post("?mac=000b82000001", 100, "{").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(running.messages().len(), 1, "its target says enough");

    let large = " ".repeat(5_000);
    let answer = running.talk(post("", 5_000, &large).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_no_event_of_a_phone() {
    let running = Running::open().await;

    let answer = running
        .talk(
            b"POST /gs/cti/incoming?mac=000b82000001&remote=2 HTTP/1.1\r\nHost: h\r\n\
              Webhook-Signature: v1,x\r\nConnection: close\r\n\r\n",
        )
        .await;

    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(running.messages().is_empty());
    running.end().await;
}

/// Opens connections until one is not served, at most so many.
async fn served(running: &Running, most: usize) -> Vec<TcpStream> {
    let mut served = Vec::new();

    for _ in 0..most {
        let mut socket = running.connect().await;
        match beginning_of_answer(&mut socket).await {
            Ok(answer) if answer.ends_with(b"200") => served.push(socket),
            _ => break,
        }
    }

    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_only_so_many_connections_and_a_proxy_as_many_as_there_are() {
    let limits = Limits {
        connections: 8,
        connections_per_address: 3,
        ..LIMITS
    };

    let running = start(limits).await;
    let open = served(&running, 20).await;
    assert_eq!(open.len(), 3);
    let rejection = read_to_end(&mut running.connect().await).await;
    assert!(
        rejection.starts_with("HTTP/1.1 503") && rejection.contains("retry-after: 5"),
        "{rejection}"
    );
    drop(open);
    running.end().await;

    let behind_proxy = Access {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Access::default()
    };
    let running = Running::start(behind_proxy, limits, MemoryIntake::default()).await;
    assert_eq!(served(&running, 20).await.len(), 8);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_does_not_wait_for_the_answer_has_reported_its_event() {
    // All may be open at once: a loaded machine accepts them before it ends any.
    let running = start(Limits {
        connections: 100,
        connections_per_address: 100,
        ..LIMITS
    })
    .await;

    for n in 0..100 {
        let mut socket = running.connect().await;
        let request =
            format!("GET /gs/cti/incoming?mac=000b8200{n:04}&remote=1 HTTP/1.1\r\nHost: h\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        if n % 2 == 0 {
            socket.shutdown().await.unwrap();
        }
        drop(socket);
    }

    eventually(PATIENCE, "100 accepted events", async || {
        match running.facts().len() {
            100.. => Ok(()),
            accepted => Err(format!("{accepted} events")),
        }
    })
    .await;
    running.end().await;
}
