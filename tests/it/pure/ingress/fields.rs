//! Odd values of fields over raw sockets: each event is accepted, with the value that was meant.

use cordboard::domain::fact::Fact;

use crate::support::ingress::Running;

/// One part of a fact as text; `-` where it is absent.
pub fn part(fact: &Fact, name: &str) -> String {
    let remote = fact.remote.as_ref();
    let found = match name {
        "remote" => remote.map(|remote| remote.raw().to_owned()),
        "e164" => remote.and_then(|remote| remote.e164().map(str::to_owned)),
        "withheld" => remote.map(|remote| remote.is_withheld().to_string()),
        "device" => Some(fact.device.to_string()),
        "local" => fact.local.as_ref().map(|local| local.as_str().to_owned()),
        "name" => fact.remote_name.as_deref().map(str::to_owned),
        "ref" => fact.call_ref.as_ref().map(|id| id.as_str().to_owned()),
        other => panic!("no part {other}"),
    };

    found.unwrap_or_else(|| "-".to_owned())
}

/// The rest of a request line behind `GET /gs/cti/incoming?mac=000b82aabbcc&`, a part of the fact,
/// and its value.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_field_contains_the_event_is_accepted_with_the_meant_value() {
    let running = Running::open().await;

    for (rest, name, expected) in ACCEPTED {
        let line = [b"GET /gs/cti/incoming?mac=000b82aabbcc&", rest].concat();
        let shown = String::from_utf8_lossy(rest);
        assert_eq!(running.status(&line).await, 200, "{shown}");
        assert_eq!(part(&running.last(), name), expected, "{shown}");
    }

    running.end().await;
}

/// The fact of an accepted event with these parameters.
async fn accepted(running: &Running, parameters: &str) -> Fact {
    let line = format!("GET /gs/cti/incoming?mac=1&{parameters}");
    assert_eq!(running.status(line.as_bytes()).await, 200);

    running.last()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_value_is_cut() {
    let running = Running::open().await;

    let number = "1".repeat(65);
    let fact = accepted(&running, &format!("remote={number}")).await;
    assert_eq!(part(&fact, "remote").len(), 64);

    let name = "n".repeat(10_000);
    let fact = accepted(&running, &format!("remote=1&n={name}")).await;
    assert_eq!(part(&fact, "name").len(), 256);

    running.end().await;
}
