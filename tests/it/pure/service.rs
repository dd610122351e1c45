//! The service as a process: what was answered with 200 is stored, once, whatever kills the
//! process, and the records are what the facts make of them.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use crate::support::service::{Service, no_difference, run, stored_events, write};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::{Message, connect};

#[test]
fn the_example_of_the_guide_becomes_a_call_that_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let id = service
        .send("/gs/cti/incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC")
        .unwrap();
    service
        .send("/gs/cti/answered?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC")
        .unwrap();
    assert_eq!(Service::get(service.operations, "/healthz").0, 200);
    assert_eq!(Service::get(service.operations, "/readyz").0, 200);
    assert_eq!(service.metric("cordboard_ingress_accepted_total"), 2);
    let (status, page) = Service::get(service.people, "/");
    assert!(status == 200 && page.contains("<title>Cordboard</title>"));
    service.stop();

    let service = Service::start(data.path());
    let (status, call) = Service::get(service.people, &format!("/api/v1/calls/{id}"));
    let call: Value = serde_json::from_str(&call).unwrap();
    assert_eq!(
        (status, &call["status"], &call["answered_by"]["extension"]),
        (200, &Value::from("answered"), &Value::from("203"))
    );
    service
        .send("/gs/cti/hangup?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC")
        .unwrap();
    service.stop();
    no_difference(data.path());

    let service = Service::start(data.path());
    let calls: Value = serde_json::from_str(
        &Service::get(
            service.people,
            "/api/v1/calls?extension=203&outcome=answered",
        )
        .1,
    )
    .unwrap();
    assert_eq!(
        (
            calls["calls"].as_array().unwrap().len(),
            &calls["calls"][0]["status"]
        ),
        (1, &Value::from("completed"))
    );
    for (target, expected) in [
        ("/api/v1/calls?limit=0", 400),
        ("/api/v1/calls?nope=1", 400),
        ("/api/v1/calls/nope", 404),
        ("/nowhere", 404),
        ("/api/v1/calls/live", 200),
        ("/api/v1/missed", 200),
        ("/api/v1/stats", 200),
    ] {
        assert_eq!(Service::get(service.people, target).0, expected, "{target}");
    }
    service.stop();
}

#[test]
fn whoever_watches_misses_nothing_not_even_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut events = service.watch(None);
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    let (first, told) = events.until("call.started");
    assert_eq!(told["call"]["from"]["e164"], "+4930111222");
    service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    let (second, told) = events.until("call.answered");
    assert_eq!(
        (second, &told["call"]["answered_by"]["extension"]),
        (first.map(|first| first + 1), &Value::from("201"))
    );
    service.stop();

    let service = Service::start(data.path());
    let mut events = service.watch(first);
    assert_eq!(
        events.until("call.answered").0,
        second,
        "what was missed before the restart comes first"
    );
    service
        .send("/gs/cti/hangup?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    assert_eq!(
        events.until("call.ended").0,
        second.map(|second| second + 1)
    );
    service.watch(Some(4_711)).until("resync");
    service.stop();
}

#[test]
fn a_program_watches_over_websocket_and_a_foreign_page_does_not() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let url = |query: &str| format!("ws://{}/ws{query}", service.people);
    let told = |socket: &mut tungstenite::WebSocket<_>| loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let told: Value = serde_json::from_str(&text).unwrap();
            return (
                told["number"].as_u64().unwrap(),
                told["type"].as_str().unwrap().to_owned(),
            );
        }
    };
    let mut watching = connect(url("")).unwrap().0;
    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    assert_eq!(told(&mut watching), (1, "call.started".into()));
    service
        .send("/gs/cti/answered?mac=000b82000001&local=201&remote=+4930111222&c=a")
        .unwrap();
    assert_eq!(told(&mut watching), (2, "call.answered".into()));
    assert_eq!(
        told(&mut connect(url("?after=1")).unwrap().0),
        (2, "call.answered".into()),
        "whoever comes back misses nothing"
    );
    let status = |request| match connect::<Request>(request) {
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let mut foreign = url("").into_client_request().unwrap();
    foreign
        .headers_mut()
        .insert("origin", "http://elsewhere.example".parse().unwrap());
    assert_eq!(status(foreign), 403);
    assert_eq!(
        status(url("?after=soon").into_client_request().unwrap()),
        400
    );
    service.stop();
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let output = run(data.path(), &["serve"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another process uses this journal"));
    service.stop();
}

#[test]
fn what_somebody_wrote_into_the_database_is_shown_and_mended() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut events = service.watch(None);
    for n in 0..3 {
        service
            .send(&format!(
                "/gs/cti/incoming?mac=000b8200000{n}&local=20{n}&remote=+493011122{n}&c={n}"
            ))
            .unwrap();
        events.until("call.started");
    }
    let running = run(data.path(), &["rebuild"]);
    assert!(
        running.status.code() == Some(69)
            && String::from_utf8_lossy(&running.stderr).contains("stop the service first")
    );
    service.stop();
    for sql in [
        "UPDATE call_logs SET record = replace(record, 'inbound', 'outbound') WHERE call_id = (SELECT min(call_id) FROM call_logs)",
        "DELETE FROM call_logs WHERE call_id = (SELECT max(call_id) FROM call_logs)",
    ] {
        write(data.path(), sql);
    }
    let shown = run(data.path(), &["rebuild", "--diff"]);
    assert_eq!(
        (
            shown.status.code(),
            String::from_utf8_lossy(&shown.stdout).lines().count()
        ),
        (Some(69), 6)
    );
    let later = run(
        data.path(),
        &["rebuild", "--diff", "--since", "2999-01-01T00:00:00Z"],
    );
    assert_eq!(later.status.code(), Some(0), "no call began that late");
    let mended = run(data.path(), &["rebuild"]);
    assert_eq!(
        String::from_utf8_lossy(&mended.stdout),
        "2 calls were stored otherwise, and are right now\n"
    );
    no_difference(data.path());
    let service = Service::start(data.path());
    assert_eq!(
        service.ask("/api/v1/calls/live")["calls"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    service.stop();
    no_difference(data.path());
}

/// What one phone of the load says next, so that calls begin and end.
fn report(phone: usize, step: usize) -> String {
    let event = ["incoming", "answered", "hangup", "incoming", "missed"][step % 5];
    let call = step / 5 * 2 + usize::from(step % 5 > 2);
    format!(
        "/gs/cti/{event}?mac=000b8200000{phone}&local=20{phone}&callId={phone}-{call}&remote=+4930{}{call:07}",
        phone / 2
    )
}

#[test]
fn whatever_ends_the_process_no_accepted_event_is_lost_or_doubled() {
    const ENDS: usize = 200;
    const PHONES: usize = 4;
    let data = tempfile::tempdir().unwrap();
    let (mut accepted, sent) = (Vec::new(), Arc::new(AtomicUsize::new(0)));
    for end in 0..ENDS {
        let service = Service::start(data.path());
        let (answered, answers) = channel();
        let senders: Vec<_> = (0..PHONES)
            .map(|phone| {
                let (phones, answered, sent) =
                    (service.phones, answered.clone(), Arc::clone(&sent));
                std::thread::spawn(move || load(phones, phone, end, &answered, &sent))
            })
            .collect();
        drop(answered);
        // The moment of the end is a number of accepted events, different every time: no clock
        // decides.
        accepted.extend(answers.iter().take(1 + (end * 37) % 40));
        // Every fifth time it is asked to stop, and must say that all went well.
        if end % 5 == 4 {
            service.stop();
        } else {
            service.kill();
        }
        accepted.extend(answers.iter());
        for sender in senders {
            sender.join().unwrap();
        }
    }
    Service::start(data.path()).stop();
    let stored = stored_events(data.path());
    let unique: HashSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "no event is stored twice");
    let lost: Vec<&String> = accepted.iter().filter(|id| !unique.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} accepted events are lost",
        lost.len(),
        accepted.len()
    );
    assert!(
        stored.len() <= sent.load(Ordering::Relaxed),
        "nothing is stored that nobody sent"
    );
    no_difference(data.path());
}

/// Sends until the service is gone.
fn load(
    phones: SocketAddr,
    phone: usize,
    round: usize,
    accepted: &Sender<String>,
    sent: &AtomicUsize,
) {
    let Ok(mut socket) = TcpStream::connect(phones) else {
        return;
    };
    let Ok(reading) = socket.try_clone() else {
        return;
    };
    let mut answers = BufReader::new(reading);
    for step in round * 1_000.. {
        sent.fetch_add(1, Ordering::Relaxed);
        // In one piece: the rest of a request that comes in pieces waits for an acknowledgement of
        // the first.
        let request = format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", report(phone, step));
        if socket.write_all(request.as_bytes()).is_err() {
            return;
        }
        let Some(body) = read_answer(&mut answers) else {
            return;
        };
        let answer: Value = serde_json::from_str(&body).unwrap();
        accepted
            .send(answer["event_id"].as_str().unwrap().to_owned())
            .unwrap();
    }
}

/// The body of one answer of known length; `None` when the connection broke.
fn read_answer(answers: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
