//! Bad and odd requests over raw sockets, one case a line: what is answered, what is kept, and what
//! it says.

use crate::support::ingress::{LIMITS, Running, Shelf};
use cordboard::domain::device::Device;
use cordboard::domain::fact::{Fact, Kind};
use cordboard::ingress::auth::{Access, Key};

/// One part of a fact as text; `-` where it is absent.
fn part(fact: &Fact, name: &str) -> String {
    let told = match name {
        "remote" => fact.remote.as_ref().map(|remote| remote.raw().to_owned()),
        "e164" => fact
            .remote
            .as_ref()
            .and_then(|remote| remote.e164())
            .map(ToOwned::to_owned),
        "withheld" => fact
            .remote
            .as_ref()
            .map(|remote| remote.is_withheld().to_string()),
        "device" => Some(fact.device.to_string()),
        "local" => fact.local.as_ref().map(|local| local.as_str().to_owned()),
        "name" => fact.remote_name.as_ref().map(|name| name.to_string()),
        "ref" => fact
            .call_ref
            .as_ref()
            .map(|reference| reference.as_str().to_owned()),
        "event" => Some(fact.kind.name().to_owned()),
        other => panic!("no part {other}"),
    };
    told.unwrap_or_else(|| "-".to_owned())
}

/// The rest of a request line behind `GET /gs/cti/incoming?mac=000b82aabbcc&`, what is asked about
/// the fact, and the answer to it.
const ACCEPTED: [(&[u8], &str, &str); 49] = [
    (b"remote=123&local=203&callId=1", "device", "000b82aabbcc"),
    (b"remote=%2B923001234567", "e164", "+923001234567"),
    (b"remote=+923001234567", "e164", "+923001234567"),
    (b"remote= 923001234567", "e164", "+923001234567"),
    (b"remote=%20923001234567", "e164", "+923001234567"),
    (b"remote=+92%20300%20123%204567", "e164", "+923001234567"),
    (b"remote=1&n=John Doe", "name", "John Doe"),
    (b"remote=1&n=\"Doe\"", "name", "\"Doe\""),
    (b"remote=1&n=a<b", "name", "a<b"),
    (b"remote=1&n=a>b", "name", "a>b"),
    (b"remote=1&n=a\x7fb", "name", "ab"),
    (b"remote=1&n=M\xfcller", "name", "M\u{fc}ller"),
    ("remote=1&n=Müller".as_bytes(), "name", "Müller"),
    (b"remote=1&n=%FF%FE", "name", "\u{fffd}\u{fffd}"),
    (b"remote=1&n=%zz", "name", "%zz"),
    (b"remote=1&n=100%", "name", "100%"),
    (b"remote=1&n=a%0d%0ab", "name", "ab"),
    (b"remote=1&n=a#b&local=203", "local", "203"),
    (
        b"remote=1&callId=1&n=Bob&mac=00&callId=9",
        "device",
        "000b82aabbcc",
    ),
    (b"remote=1&callId=1&n=Bob&mac=00&callId=9", "ref", "1"),
    (b"remote=1&callId=1&callId=2", "ref", "1"),
    (b"remote=1&callId=1&callId=1", "ref", "1"),
    (b"remote=1&callid=1", "ref", "1"),
    (b"remote=1&call_id=1", "ref", "1"),
    (b"remote=1&call-id=1", "ref", "1"),
    (b"remote=$remote&callId=1", "remote", "-"),
    (b"remote=1&callId=$call-id", "ref", "-"),
    (b"remote=1&callId=-id", "ref", "-"),
    (b"remote=anonymous", "withheld", "true"),
    (b"remote=Unknown", "withheld", "true"),
    (b"remote=withheld", "withheld", "true"),
    (b"remote=", "withheld", "true"),
    (b"remote=sip:1001@host;x=y", "withheld", "false"),
    (b"remote=*97", "remote", "*97"),
    (b"remote=#31#0171123456", "remote", "#31#0171123456"),
    (b"remote=abc-def", "remote", "abc-def"),
    ("remote=٠١٢٣٤٥٦٧٨".as_bytes(), "withheld", "false"),
    ("remote=1&n=a\u{202e}b".as_bytes(), "name", "ab"),
    ("remote=1&n=👩‍💻 e\u{301}".as_bytes(), "name", "👩‍💻 e\u{301}"),
    ("remote=1&n=Li\u{a0}Na".as_bytes(), "name", "Li\u{a0}Na"),
    (b"remote=1&n=&local=203", "name", "-"),
    (b"remote=1&=x&&&x=&local=203", "local", "203"),
    (b"remote=1&LOCAL=203", "local", "203"),
    (b"remote=1&n=a+b", "name", "a+b"),
    (b"remote=1&n==A1", "name", "=A1"),
    (b"remote=1&n=a%26mac%3D00", "name", "a&mac=00"),
    (b"remote=1&n=\\..\\..", "name", "\\..\\.."),
    (b"remote=1&n={{7*7}}", "name", "{{7*7}}"),
    (b"remote=1&n=' OR 1=1 --", "name", "' OR 1=1 --"),
];

#[tokio::test]
async fn whatever_a_field_contains_the_event_is_accepted_and_says_what_was_meant() {
    let running = Running::open().await;
    for (rest, name, expected) in ACCEPTED {
        let line = [b"GET /gs/cti/incoming?mac=000b82aabbcc&", rest].concat();
        let shown = String::from_utf8_lossy(rest).into_owned();
        assert_eq!(running.status(&line).await, 200, "{shown}");
        assert_eq!(part(&running.last(), name), expected, "{shown}");
    }
    running.end().await;
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_what_is_too_much_is_left_out() {
    let running = Running::open().await;
    let number = "1".repeat(65);
    assert_eq!(
        running
            .status(format!("GET /gs/cti/incoming?mac=1&remote={number}").as_bytes())
            .await,
        200
    );
    assert_eq!(part(&running.last(), "remote").len(), 64);
    let name = "n".repeat(10_000);
    assert_eq!(
        running
            .status(format!("GET /gs/cti/incoming?mac=1&remote=1&n={name}").as_bytes())
            .await,
        200
    );
    assert_eq!(part(&running.last(), "name").len(), 256);
    let unknown = (0..50)
        .map(|n| format!("x{n}=1"))
        .collect::<Vec<_>>()
        .join("&");
    assert_eq!(
        running
            .status(format!("GET /gs/cti/incoming?mac=1&remote=1&{unknown}").as_bytes())
            .await,
        200
    );
    assert_eq!(running.last().extras.len(), 50);
    running.end().await;
}

#[tokio::test]
async fn an_event_has_many_names_and_ways_to_be_sent() {
    let running = Running::open().await;
    for (event, kind) in [
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
    ] {
        assert_eq!(
            running
                .status(format!("GET /gs/cti/{event}?mac=1&remote=2").as_bytes())
                .await,
            200,
            "{event}"
        );
        assert_eq!(running.last().kind, kind, "{event}");
    }
    for event in [
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
    ] {
        assert_eq!(
            running
                .status(format!("GET /gs/cti/{event}?mac=2").as_bytes())
                .await,
            200,
            "{event}"
        );
        assert!(matches!(running.last().kind, Kind::Device(_)), "{event}");
    }
    let post = |content_type: &str, body: &str| {
        format!(
            "POST /gs/cti/answered HTTP/1.1\r\nHost: h\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    for (content_type, body) in [
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
    ] {
        let answer = running.talk(post(content_type, body).as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{content_type} {body}: {answer}"
        );
        let fact = running.last();
        assert_eq!(
            (
                part(&fact, "device"),
                part(&fact, "local"),
                part(&fact, "remote")
            ),
            ("000b82000003".into(), "203".into(), "+49301".into())
        );
    }
    for body in ["", "[]", "{", "\"x\"", "{\"mac\":"] {
        let answer = running
            .talk(post("application/json", body).as_bytes())
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body}: {answer}");
    }
    running.end().await;
}

/// Whole requests that are no HTTP a server must take. Each is refused or closed, keeps nothing,
/// and harms nobody.
const HOSTILE: [&[u8]; 14] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/9.9\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /gs/cti/incoming HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nBad Header: x\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\n: x\r\n\r\n",
    b"\x00\x00\x00\x00",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nX: \x00\r\n\r\n",
    b"{\"mac\":1}\n",
];

#[tokio::test]
async fn what_is_no_http_is_closed_and_harms_nobody() {
    let running = Running::start(
        Access::default(),
        cordboard::ingress::Limits {
            head_timeout_ms: 50,
            ..LIMITS
        },
        Shelf::default(),
    )
    .await;
    for bytes in HOSTILE {
        let answer = running.talk(bytes).await;
        assert!(
            !answer.contains(" 200 "),
            "{}: {answer}",
            String::from_utf8_lossy(bytes)
        );
    }
    let many = format!(
        "GET /gs/cti/incoming?mac=1 HTTP/1.1\r\n{}\r\n",
        "X: y\r\n".repeat(100)
    );
    assert!(
        running
            .talk(many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let large = format!(
        "GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nX: {}\r\n\r\n",
        "y".repeat(40_000)
    );
    assert!(
        running
            .talk(large.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert_eq!(running.facts().len(), 0);
    assert_eq!(
        running.status(b"GET /gs/cti/incoming?mac=1&remote=2").await,
        200,
        "the next one is served"
    );
    running.end().await;
}

#[tokio::test]
async fn without_authority_all_answers_are_one() {
    let key = Key::new('b', "secret").unwrap();
    let phone = Device::parse("000b82000001").unwrap();
    let (good, old) = (
        key.token(&phone),
        Key::new('a', "before").unwrap().token(&phone),
    );
    let denied = Device::parse("000b82000009").unwrap();
    let denied_token = key.token(&denied);
    let running = Running::start(
        Access {
            keys: vec![key],
            denied: vec![denied],
            ..Access::default()
        },
        LIMITS,
        Shelf::default(),
    )
    .await;
    let mut flipped = good.clone().into_bytes();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    let strange = answer(&running, "/nowhere").await;
    for (token, mac) in [
        ("", "000b82000001"),
        ("wrong", "000b82000001"),
        (good.as_str(), "000b82000002"),
        (&old, "000b82000001"),
        (&good.replacen('b', "z", 1), "000b82000001"),
        (&flipped, "000b82000001"),
        (&good[..good.len() - 1], "000b82000001"),
        (&format!("{good}a"), "000b82000001"),
        (&good.to_uppercase(), "000b82000001"),
        (&good.replace('a', "%D0%B0"), "000b82000002"),
        (&denied_token, "000b82000009"),
        ("../gs/cti", "000b82000001"),
    ] {
        let path = if token.is_empty() {
            String::new()
        } else {
            format!("{token}/")
        };
        assert_eq!(
            answer(
                &running,
                &format!("/gs/cti/{path}incoming?mac={mac}&remote=1")
            )
            .await,
            strange,
            "{token} {mac}"
        );
    }
    assert_eq!(running.facts().len(), 0);
    assert_eq!(
        running
            .status(
                format!("GET /gs/cti/{good}/incoming?mac=00:0B:82:00:00:01&remote=1").as_bytes()
            )
            .await,
        200
    );
    running.end().await;
}

async fn answer(running: &Running, target: &str) -> String {
    let answer = running
        .talk(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes())
        .await;
    answer
        .lines()
        .filter(|line| !line.starts_with("date:"))
        .collect::<Vec<_>>()
        .join("\n")
}
