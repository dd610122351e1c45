//! Request lines as phones and vendor guides write them: each is accepted with its fields right,
//! and its neighbours are unharmed.

use cordboard::domain::device::Extension;
use cordboard::domain::number::Number;

use crate::support::ingress::Running;

/// Request lines behind `GET /gs/cti/`, and their fields: remote, local, device, name.
const LINES: [(&[u8], [&str; 4]); 49] = [
    (
        b"incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC",
        ["03001234567", "203", "aa:bb:cc", ""],
    ),
    (
        b"incoming?callId=5f0c1d2e-8a77-4b0c-9a56-1f0e2c3d4b5a&remote=123&local=203\
          &mac=00:0B:82:AA:BB:CC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"hangup?callId=5f0c&remote=123&local=203&mac=00:0B:82:AA:BB:CC&duration=42\
          &calldirection=called",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=3c26700c1adb-jz1w6x@10.0.0.5:5060&remote=123&local=203\
          &mac=00:0B:82:AA:BB:CC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100",
        ["+15555550100", "", "000b82123456", "+15555550100"],
    ),
    (
        b"incoming?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone",
        ["10", "", "000b82123456", "Kitchen Phone"],
    ),
    (
        b"established?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone",
        ["10", "", "000b82123456", "Kitchen Phone"],
    ),
    (
        b"outgoing?m=00:0B:82:12:34:56&r=*86&n=*86",
        ["*86", "", "000b82123456", "*86"],
    ),
    (
        b"incoming_call?phone_ip=10.0.0.20&mac=00:0B:82:AA:BB:CC&product=GXP2170&local=1001\
          &display_local=Front Desk&remote=+15551234567&display_remote=John Doe\
          &call-id=abc123@10.0.0.20&duration=$duration&calldirection=called",
        ["+15551234567", "1001", "000b82aabbcc", "John Doe"],
    ),
    (
        b"missed_call/mac=000b82000001&remote=2000&call-id=x1",
        ["2000", "", "000b82000001", ""],
    ),
    (
        b"outgoing_call?mac=000b82000002&remote=5&display_remote=\"Ann Lee\"",
        ["5", "", "000b82000002", "\"Ann Lee\""],
    ),
    (
        b"incoming_call?mac=000b82000002&remote=+1555&display_remote=A%20B&bad=100%",
        ["+1555", "", "000b82000002", "A B"],
    ),
    (
        b"incoming?callId=a1@h&remote=%2B4915112345678&local=203&mac=000B82AABBCC",
        ["+4915112345678", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=a3@h&remote=%204915112345678&local=203&mac=000B82AABBCC",
        ["4915112345678", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=a5@h&remote=**203&local=203&mac=000B82AABBCC",
        ["**203", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=a6@h&remote=#31#0171123456&local=203&mac=000B82AABBCC",
        ["#31#0171123456", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=a8@h&remote=*21*0171123456#&local=203&mac=000B82AABBCC",
        ["*21*0171123456#", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=a9@h&remote=anonymous&local=203&mac=000B82AABBCC",
        ["anonymous", "203", "000b82aabbcc", ""],
    ),
    (
        "incoming?remote=8613800138000&display_remote=王小明&local=203&mac=000B82AABBCC".as_bytes(),
        ["8613800138000", "203", "000b82aabbcc", "王小明"],
    ),
    (
        b"incoming?remote=8613800138000&display_remote=%E7%8E%8B&local=203&mac=000B82AABBCC",
        ["8613800138000", "203", "000b82aabbcc", "王"],
    ),
    (
        "incoming?remote=966501234567&display_remote=محمد علي&local=203\
         &mac=000B82AABBCC"
            .as_bytes(),
        ["966501234567", "203", "000b82aabbcc", "محمد علي"],
    ),
    (
        b"incoming?remote=123&display_remote=M\xfcller&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", "Müller"],
    ),
    (
        b"incoming?remote=123&display_remote=\xcd\xf5&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", "Íõ"],
    ),
    (
        b"incoming?remote=123&display_remote=\"Doe, John\"&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", "\"Doe, John\""],
    ),
    (
        b"incoming?remote=123&display_remote=Tom & Jerry&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", "Tom"],
    ),
    (
        b"incoming?remote=123&display_remote=A=B&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", "A=B"],
    ),
    (
        b"incoming?callId=$callId&remote=123&local=203&mac=00:0b:82:aa:bb:cc",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=&remote=123&local=203&mac=00-0B-82-AA-BB-CC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?remote=123&local=203&mac=00%3A0B%3A82%3AAA%3ABB%3ACC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=0b1f@[2001:db8::15]&remote=123&local=203&mac=000B82AABBCC\
          &phone_ip=2001:db8::15",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=c1@h&remote=123&local=203&mac=000B82AABBCC&remote=456",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?CALLID=c2@h&Remote=123&LOCAL=203&MAC=000B82AABBCC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming/?callId=c3@h&remote=123&local=203&mac=000B82AABBCC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?remote=123&local=203&mac=000B82AABBCC&n=a\tb\x7fc<d>'e`{f}|g",
        ["123", "203", "000b82aabbcc", "abc<d>'e`{f}|g"],
    ),
    (
        b"answered?callId=5f0c1d2e-8a77-4b0c-9a56-1f0e2c3d4b5a&remote=123&local=203\
          &mac=00:0B:82:AA:BB:CC",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=1538274921-5060-12@BJC.BGI.BA.BB&remote=0301234567&local=203\
          &mac=00:0B:82:AA:BB:CC",
        ["0301234567", "203", "000b82aabbcc", ""],
    ),
    (
        b"answered?m=00:0B:82:12:34:56&r=10&n=Kitchen%20Phone",
        ["10", "", "000b82123456", "Kitchen Phone"],
    ),
    (
        b"terminated?m=00:0B:82:12:34:56&r=10&n=10",
        ["10", "", "000b82123456", "10"],
    ),
    (
        b"missed?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100",
        ["+15555550100", "", "000b82123456", "+15555550100"],
    ),
    (
        b"rejected?m=00:0B:82:12:34:56&r=+15555550100&n=+15555550100",
        ["+15555550100", "", "000b82123456", "+15555550100"],
    ),
    (
        b"incoming/mac=000b82123456&local=1001&remote=1002&phone_ip=172.18.24.120",
        ["1002", "1001", "000b82123456", ""],
    ),
    (
        b"incoming/mac=000b82123456&remote=5&display_remote =Alice",
        ["5", "", "000b82123456", "Alice"],
    ),
    (
        b"incoming?callId=a2@h&remote=+4915112345678&local=203&mac=000B82AABBCC",
        ["+4915112345678", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=a4@h&remote=*97&local=203&mac=000B82AABBCC",
        ["*97", "203", "000b82aabbcc", ""],
    ),
    (
        b"outgoing?callId=a7@h&remote=%2331%230171123456&local=203&mac=000B82AABBCC",
        ["#31#0171123456", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=a10@h&remote=Anonymous&display_remote=Anonymous&local=203\
          &mac=000B82AABBCC",
        ["Anonymous", "203", "000b82aabbcc", "Anonymous"],
    ),
    (
        b"incoming?callId=$call-id&remote=123&local=203&mac=000b82aabbcc",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=-id&remote=123&local=203&mac=000b82aabbcc",
        ["123", "203", "000b82aabbcc", ""],
    ),
    (
        b"incoming?callId=_id&remote=123&local=203&mac=000b82aabbcc",
        ["123", "203", "000b82aabbcc", ""],
    ),
];

fn line(rest: &[u8]) -> Vec<u8> {
    [b"GET /gs/cti/", rest].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_line_is_accepted_with_its_fields_right() {
    let running = Running::open().await;

    for (rest, [remote, local, device, name]) in LINES {
        let shown = String::from_utf8_lossy(rest);
        assert_eq!(running.status(&line(rest)).await, 200, "{shown}");

        let fact = running.last();
        let found = [
            fact.remote.as_ref().map(Number::raw),
            Some(fact.local.as_ref().map_or("", Extension::as_str)),
            Some(&*fact.device.to_string()),
            Some(fact.remote_name.as_deref().unwrap_or("")),
        ];
        assert_eq!(found, [remote, local, device, name].map(Some), "{shown}");
    }

    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_lines_without_repair_follow_each_other_on_one_connection() {
    let running = Running::open().await;
    let mut stream = Vec::new();
    let plain = || {
        LINES.iter().filter(|(rest, _)| {
            let is_odd = |byte: &u8| !byte.is_ascii_graphic() || b"\"<>#".contains(byte);
            !rest.iter().any(is_odd)
        })
    };
    for (rest, _) in plain() {
        stream.extend(line(rest));
        stream.extend_from_slice(b" HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    stream.extend_from_slice(
        b"POST /gs/cti/hangup HTTP/1.1\r\nHost: h\r\n\
          Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 26\r\n\
          Connection: close\r\n\r\nmac=000b82000001&remote=99",
    );

    let answers = running.talk(&stream).await;
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK").count(),
        plain().count() + 1,
        "{answers}"
    );
    let remotes: Vec<String> = running
        .facts()
        .iter()
        .map(|fact| fact.remote.as_ref().unwrap().raw().to_owned())
        .collect();
    let expected: Vec<&str> = plain()
        .map(|(_, [remote, ..])| *remote)
        .chain(["99"])
        .collect();
    assert!(expected.len() > 5, "some lines need no repair");
    assert_eq!(remotes, expected);

    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_size_of_any_length_hides_no_second_request() {
    let running = Running::open().await;

    let hidden = "GET /gs/cti/incoming?mac=666&n=John Doe HTTP/1.1\r\nHost: h\r\n\r\n";
    for zeros in [0, 200, 256, 300, 5_000] {
        let request = format!(
            "POST /gs/cti/incoming?mac=1&local=1&remote={zeros} HTTP/1.1\r\nHost: h\r\n\
             Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {}{:x}\r\n{hidden}\r\n0\r\n\r\n",
            "0".repeat(zeros),
            hidden.len()
        );
        let answers = running.talk(request.as_bytes()).await;

        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "{zeros}: {answers}"
        );
    }
    running.end().await;
}

/// Requests whose boundaries a proxy in front may see elsewhere. Each is followed by bytes that
/// would be an event of another phone.
const DOUBTFUL: [&[u8]; 8] = [
    b"GET /gs/cti/incoming?mac=1&n=John Doe HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1&n=John Doe HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n\
      Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
      Content-Length: 4\r\n\r\n0\r\n\r\n",
    b"POST /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\n\
      Content-Type: application/x-www-form-urlencoded\r\n\
      Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    b"GET /gs/cti/incoming?mac=1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubtful_request_is_taken_and_is_the_last_of_its_connection() {
    let running = Running::open().await;

    for (number, request) in (1..).zip(DOUBTFUL) {
        let smuggled = b"GET /gs/cti/incoming?mac=666 HTTP/1.1\r\nHost: h\r\n\r\n";
        let answers = running.talk(&[request, smuggled].concat()).await;

        let shown = String::from_utf8_lossy(request);
        assert!(answers.starts_with("HTTP/1.1 200"), "{shown}: {answers}");
        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "{shown}: {answers}"
        );
        assert_eq!(running.facts().len(), number, "{shown}");
        assert_eq!(running.last().device.to_string(), "1", "{shown}");
    }

    running.end().await;
}
