//! The ingress over raw sockets: what phones really send is accepted, with its fields right and its
//! neighbours unharmed.

use crate::support::ingress::{LIMITS, Running, Shelf};
use cordboard::domain::device::Device;
use cordboard::ingress::Limits;
use cordboard::ingress::auth::{Access, Key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Request lines as phones and vendor guides write them, with what must be read out of them:
/// remote, local, device, name.
const LINES: [(&[u8], &str, &str, &str, &str); 49] = [
    (b"GET /gs/cti/incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC", "03001234567", "203", "aa:bb:cc", ""),
    (b"GET /gs/cti/incoming?callId=5f0c1d2e-8a77-4b0c-9a56-1f0e2c3d4b5a&remote=123&local=203&mac=00:0B:82:AA:BB:CC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/hangup?callId=5f0c&remote=123&local=203&mac=00:0B:82:AA:BB:CC&duration=42&calldirection=called", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=3c26700c1adb-jz1w6x@10.0.0.5:5060&remote=123&local=203&mac=00:0B:82:AA:BB:CC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100", "+15555550100", "", "000b82123456", "+15555550100"),
    (b"GET /gs/cti/incoming?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone", "10", "", "000b82123456", "Kitchen Phone"),
    (b"GET /gs/cti/established?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone", "10", "", "000b82123456", "Kitchen Phone"),
    (b"GET /gs/cti/outgoing?m=00:0B:82:12:34:56&r=*86&n=*86", "*86", "", "000b82123456", "*86"),
    (b"GET /gs/cti/incoming_call?phone_ip=10.0.0.20&mac=00:0B:82:AA:BB:CC&product=GXP2170&local=1001&display_local=Front Desk&remote=+15551234567&display_remote=John Doe&call-id=abc123@10.0.0.20&duration=$duration&calldirection=called", "+15551234567", "1001", "000b82aabbcc", "John Doe"),
    (b"GET /gs/cti/missed_call/mac=000b82000001&remote=2000&call-id=x1", "2000", "", "000b82000001", ""),
    (b"GET /gs/cti/outgoing_call?mac=000b82000002&remote=5&display_remote=\"Ann Lee\"", "5", "", "000b82000002", "\"Ann Lee\""),
    (b"GET /gs/cti/incoming_call?mac=000b82000002&remote=+1555&display_remote=A%20B&bad=100%", "+1555", "", "000b82000002", "A B"),
    (b"GET /gs/cti/incoming?callId=a1@h&remote=%2B4915112345678&local=203&mac=000B82AABBCC", "+4915112345678", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=a3@h&remote=%204915112345678&local=203&mac=000B82AABBCC", "4915112345678", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=a5@h&remote=**203&local=203&mac=000B82AABBCC", "**203", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=a6@h&remote=#31#0171123456&local=203&mac=000B82AABBCC", "#31#0171123456", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=a8@h&remote=*21*0171123456#&local=203&mac=000B82AABBCC", "*21*0171123456#", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=a9@h&remote=anonymous&local=203&mac=000B82AABBCC", "anonymous", "203", "000b82aabbcc", ""),
    ("GET /gs/cti/incoming?remote=8613800138000&display_remote=王小明&local=203&mac=000B82AABBCC".as_bytes(), "8613800138000", "203", "000b82aabbcc", "王小明"),
    (b"GET /gs/cti/incoming?remote=8613800138000&display_remote=%E7%8E%8B&local=203&mac=000B82AABBCC", "8613800138000", "203", "000b82aabbcc", "王"),
    ("GET /gs/cti/incoming?remote=966501234567&display_remote=محمد علي&local=203&mac=000B82AABBCC".as_bytes(), "966501234567", "203", "000b82aabbcc", "محمد علي"),
    (b"GET /gs/cti/incoming?remote=123&display_remote=M\xfcller&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", "Müller"),
    (b"GET /gs/cti/incoming?remote=123&display_remote=\xcd\xf5&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", "Íõ"),
    (b"GET /gs/cti/incoming?remote=123&display_remote=\"Doe, John\"&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", "\"Doe, John\""),
    (b"GET /gs/cti/incoming?remote=123&display_remote=Tom & Jerry&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", "Tom"),
    (b"GET /gs/cti/incoming?remote=123&display_remote=A=B&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", "A=B"),
    (b"GET /gs/cti/incoming?callId=$callId&remote=123&local=203&mac=00:0b:82:aa:bb:cc", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=&remote=123&local=203&mac=00-0B-82-AA-BB-CC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?remote=123&local=203&mac=00%3A0B%3A82%3AAA%3ABB%3ACC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=0b1f@[2001:db8::15]&remote=123&local=203&mac=000B82AABBCC&phone_ip=2001:db8::15", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=c1@h&remote=123&local=203&mac=000B82AABBCC&remote=456", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?CALLID=c2@h&Remote=123&LOCAL=203&MAC=000B82AABBCC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming/?callId=c3@h&remote=123&local=203&mac=000B82AABBCC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?remote=123&local=203&mac=000B82AABBCC&n=a\tb\x7fc<d>'e`{f}|g", "123", "203", "000b82aabbcc", "abc<d>'e`{f}|g"),
    (b"GET /gs/cti/answered?callId=5f0c1d2e-8a77-4b0c-9a56-1f0e2c3d4b5a&remote=123&local=203&mac=00:0B:82:AA:BB:CC", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=1538274921-5060-12@BJC.BGI.BA.BB&remote=0301234567&local=203&mac=00:0B:82:AA:BB:CC", "0301234567", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/answered?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone", "10", "", "000b82123456", "Kitchen Phone"),
    (b"GET /gs/cti/terminated?m=00:0B:82:12:34:56&r=10&n=10", "10", "", "000b82123456", "10"),
    (b"GET /gs/cti/missed?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100", "+15555550100", "", "000b82123456", "+15555550100"),
    (b"GET /gs/cti/rejected?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100", "+15555550100", "", "000b82123456", "+15555550100"),
    (b"GET /gs/cti/incoming/mac=000b82123456&local=1001&remote=1002&phone_ip=172.18.24.120", "1002", "1001", "000b82123456", ""),
    (b"GET /gs/cti/incoming/mac=000b82123456&remote=5&display_remote =Alice", "5", "", "000b82123456", "Alice"),
    (b"GET /gs/cti/incoming?callId=a2@h&remote=+4915112345678&local=203&mac=000B82AABBCC", "+4915112345678", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=a4@h&remote=*97&local=203&mac=000B82AABBCC", "*97", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/outgoing?callId=a7@h&remote=%2331%230171123456&local=203&mac=000B82AABBCC", "#31#0171123456", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=a10@h&remote=Anonymous&display_remote=Anonymous&local=203&mac=000B82AABBCC", "Anonymous", "203", "000b82aabbcc", "Anonymous"),
    (b"GET /gs/cti/incoming?callId=$call-id&remote=123&local=203&mac=000b82aabbcc", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=-id&remote=123&local=203&mac=000b82aabbcc", "123", "203", "000b82aabbcc", ""),
    (b"GET /gs/cti/incoming?callId=_id&remote=123&local=203&mac=000b82aabbcc", "123", "203", "000b82aabbcc", ""),
];

#[tokio::test]
async fn every_request_line_is_accepted_with_its_fields_right() {
    let running = Running::open().await;
    for (line, remote, local, device, name) in LINES {
        let shown = String::from_utf8_lossy(line).into_owned();
        assert_eq!(running.status(line).await, 200, "{shown}");
        let fact = running.last();
        assert_eq!(
            fact.remote
                .as_ref()
                .map(cordboard::domain::number::Number::raw),
            Some(remote),
            "{shown}"
        );
        assert_eq!(
            fact.local.as_ref().map_or("", |own| own.as_str()),
            local,
            "{shown}"
        );
        assert_eq!(fact.device.to_string(), device, "{shown}");
        assert_eq!(fact.remote_name.as_deref().unwrap_or(""), name, "{shown}");
    }
    running.end().await;
}

#[tokio::test]
async fn all_of_them_on_one_connection_lose_nothing() {
    let running = Running::open().await;
    let mut stream = Vec::new();
    for (line, ..) in LINES {
        stream.extend_from_slice(line);
        stream.extend_from_slice(b" HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    stream.extend_from_slice(b"POST /gs/cti/hangup HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 26\r\nConnection: close\r\n\r\nmac=000b82000001&remote=99");
    let answers = running.talk(&stream).await;
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK").count(),
        LINES.len() + 1,
        "{answers}"
    );
    let remotes: Vec<String> = running
        .facts()
        .iter()
        .map(|fact| fact.remote.as_ref().unwrap().raw().to_owned())
        .collect();
    let expected: Vec<&str> = LINES
        .iter()
        .map(|(_, remote, ..)| *remote)
        .chain(["99"])
        .collect();
    assert_eq!(remotes, expected);
    running.end().await;
}

#[tokio::test]
async fn what_is_no_event_is_answered_with_its_reason_and_keeps_nothing() {
    let running = Running::open().await;
    let many = "&p=1".repeat(65);
    let cases: [(Vec<u8>, u16); 10] = [
        (b"HEAD /gs/cti/incoming?mac=1&remote=2".to_vec(), 405),
        (b"PUT /gs/cti/incoming?mac=1&remote=2".to_vec(), 405),
        (b"GET /gs/cti/exploded?mac=1".to_vec(), 404),
        (b"GET /".to_vec(), 404),
        (b"GET /mac=000b82123456&local=1001".to_vec(), 404),
        (b"GET /gs/cti/incoming".to_vec(), 400),
        (b"GET /gs/cti/incoming?remote=123".to_vec(), 400),
        (b"GET /gs/cti/incoming?mac=1&n=%00".to_vec(), 400),
        (
            format!("GET /gs/cti/incoming?mac=1{many}").into_bytes(),
            400,
        ),
        (
            [
                b"GET /gs/cti/incoming?mac=1&n=".to_vec(),
                vec![b'a'; 70_000],
            ]
            .concat(),
            414,
        ),
    ];
    for (line, expected) in cases {
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        let status = running.status(&line).await;
        assert!(
            status == expected || (expected == 414 && status == 431),
            "{shown}: {status}"
        );
    }
    assert_eq!(running.facts().len(), 0);
    running.end().await;
}

#[tokio::test]
async fn a_token_of_another_phone_looks_like_no_path_at_all() {
    let key = Key::new('a', "secret").unwrap();
    let mine = key.token(&Device::parse("000b82000001").unwrap());
    let running = Running::start(
        Access {
            keys: vec![key],
            ..Access::default()
        },
        LIMITS,
        Shelf::default(),
    )
    .await;
    let line = |token: &str, mac: &str| {
        format!("GET /gs/cti/{token}/incoming?mac={mac}&remote=1").into_bytes()
    };
    assert_eq!(running.status(&line(&mine, "00:0B:82:00:00:01")).await, 200);
    assert!(
        !String::from_utf8_lossy(&running.shelf.kept.lock().unwrap()[0]).contains(&mine),
        "a token is never stored"
    );
    let strange = running
        .talk(b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    for wrong in [
        line(&mine, "000b82000002"),
        line("nonsense", "000b82000001"),
        b"GET /gs/cti/incoming?mac=000b82000001&remote=1".to_vec(),
        b"GET /gs/cti/incoming?remote=1".to_vec(),
    ] {
        let answer = running
            .talk(
                &[
                    &wrong[..],
                    b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                ]
                .concat(),
            )
            .await;
        let undated = |answer: &str| {
            answer
                .lines()
                .filter(|line| !line.starts_with("date:"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            undated(&answer),
            undated(&strange),
            "{}",
            String::from_utf8_lossy(&wrong)
        );
    }
    assert_eq!(running.facts().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_strange_network_is_refused() {
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let running = Running::start(
        Access {
            networks,
            ..Access::default()
        },
        LIMITS,
        Shelf::default(),
    )
    .await;
    assert_eq!(
        running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await,
        404
    );
    running.end().await;
}

#[tokio::test]
async fn without_room_the_phone_is_told_so() {
    let running = Running::start(
        Access::default(),
        LIMITS,
        Shelf {
            full: true,
            ..Shelf::default()
        },
    )
    .await;
    let answer = running
        .talk(
            b"GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
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

#[tokio::test]
async fn a_flood_of_one_phone_harms_no_other() {
    let running = Running::open().await;
    let mut stream = Vec::new();
    for _ in 0..80 {
        stream.extend_from_slice(
            b"GET /gs/cti/incoming?mac=000b82000001&remote=1 HTTP/1.1\r\nHost: h\r\n\r\n",
        );
    }
    stream.extend_from_slice(b"GET /gs/cti/incoming?mac=000b82000002&remote=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
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

#[tokio::test]
async fn a_stop_lets_nobody_wait() {
    let running = Running::open().await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    running.end().await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn whoever_sends_nothing_or_only_half_is_let_go() {
    let running = Running::start(
        Access::default(),
        Limits {
            head_timeout_ms: 50,
            ..LIMITS
        },
        Shelf::default(),
    )
    .await;
    for half in [
        &b""[..],
        b"GET /gs/cti/incoming?mac=1",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: y",
    ] {
        let answer = running.talk(half).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    assert_eq!(
        running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await,
        200,
        "others are served"
    );
    running.end().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_waited_for_only_so_long() {
    let running = Running::start(
        Access::default(),
        Limits {
            request_timeout_ms: 50,
            ..LIMITS
        },
        Shelf::default(),
    )
    .await;
    let answer = running
        .talk(b"POST /gs/cti/incoming HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{")
        .await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let large = [&b"POST /gs/cti/incoming HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n"[..], &[b' '; 5_000]].concat();
    let answer = running.talk(&large).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    running.end().await;
}

/// Connections that are open and served: each has got an answer.
async fn seats(running: &Running, most: usize) -> Vec<TcpStream> {
    let mut taken = Vec::new();
    for _ in 0..most {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let mut answer = [0; 12];
        let sent = socket
            .write_all(b"GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        if sent.is_err()
            || socket.read_exact(&mut answer).await.is_err()
            || !answer.ends_with(b"200")
        {
            break;
        }
        taken.push(socket);
    }
    taken
}

#[tokio::test]
async fn one_address_takes_only_so_many_connections_and_a_proxy_as_many_as_there_are() {
    let limits = Limits {
        connections: 8,
        connections_per_address: 3,
        ..LIMITS
    };
    let running = Running::start(Access::default(), limits, Shelf::default()).await;
    let taken = seats(&running, 20).await;
    assert_eq!(taken.len(), 3);
    let mut turned_away = String::new();
    TcpStream::connect(running.address)
        .await
        .unwrap()
        .read_to_string(&mut turned_away)
        .await
        .unwrap();
    assert!(
        turned_away.starts_with("HTTP/1.1 503") && turned_away.contains("retry-after: 5"),
        "{turned_away}"
    );
    drop(taken);
    running.end().await;
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let running = Running::start(
        Access {
            trusted_proxies,
            ..Access::default()
        },
        limits,
        Shelf::default(),
    )
    .await;
    assert_eq!(seats(&running, 20).await.len(), 8);
    running.end().await;
}

#[tokio::test]
async fn behind_a_proxy_the_phone_counts_and_without_one_nobody_can_pretend() {
    let networks = vec!["10.1.0.0/16".parse().unwrap()];
    let asked = |from: &str| {
        format!(
            "GET /gs/cti/incoming?mac=1&remote=2 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {from}\r\nConnection: close\r\n\r\n"
        )
    };
    let access = Access {
        networks,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Access::default()
    };
    let running = Running::start(access.clone(), LIMITS, Shelf::default()).await;
    for (from, status) in [
        ("10.1.2.3", "200"),
        ("10.2.2.3", "404"),
        ("10.1.2.3, 10.2.2.3", "404"),
        ("", "404"),
        ("10.2.2.3, 10.1.2.3", "200"),
    ] {
        let answer = running.talk(asked(from).as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{from}: {answer}"
        );
    }
    let kept = running.shelf.kept.lock().unwrap().clone();
    assert!(
        String::from_utf8_lossy(&kept[0]).contains("10.1.2.3"),
        "the journal knows where it came from"
    );
    running.end().await;
    let running = Running::start(
        Access {
            trusted_proxies: Vec::new(),
            ..access
        },
        LIMITS,
        Shelf::default(),
    )
    .await;
    assert!(
        running
            .talk(asked("10.1.2.3").as_bytes())
            .await
            .starts_with("HTTP/1.1 404")
    );
    running.end().await;
}

#[tokio::test]
async fn a_phone_that_does_not_wait_for_the_answer_has_said_what_it_had_to_say() {
    let running = Running::open().await;
    for n in 0..100 {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let request =
            format!("GET /gs/cti/incoming?mac=000b8200{n:04}&remote=1 HTTP/1.1\r\nHost: h\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        if n % 2 == 0 {
            socket.shutdown().await.unwrap();
        }
        drop(socket);
    }
    while running.facts().len() < 100 {
        tokio::task::yield_now().await;
    }
    running.end().await;
}
