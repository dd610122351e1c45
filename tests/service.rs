//! The service as a process: what was answered with 200 is stored, once, whatever kills the process, and the records are what the facts
//! make of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

struct Service {
    child: Child,
    phones: SocketAddr,
    people: SocketAddr,
    operations: SocketAddr,
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cordboard"));
    command.args(arguments).env("CORDBOARD__DATA_DIR", data);
    for section in ["INGRESS", "GATEWAY", "OPERATIONS"] {
        command.env(format!("CORDBOARD__{section}__LISTEN"), "127.0.0.1:0");
    }
    for (key, value) in [("PER_DEVICE_PER_SECOND_MAX", "100000"), ("PER_DEVICE_BURST_MAX", "100000")] {
        command.env(format!("CORDBOARD__INGRESS__{key}"), value);
    }
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    command(data, arguments).output().unwrap()
}

impl Service {
    /// Starts the service and waits until it says where it listens.
    fn start(data: &Path) -> Service {
        let mut child = command(data, &["serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Try it:") {
            assert!(out.read_line(&mut greeting).unwrap() > 0, "the service did not start: {greeting}");
        }
        // What follows is drained by nobody: the greeting fits into the pipe.
        std::mem::forget(out);
        let address = |label: &str| {
            let line = greeting.lines().find(|line| line.contains(label)).unwrap();
            line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
        };
        Service { phones: address("phones"), people: address("page"), operations: address("health"), child }
    }

    fn get(address: SocketAddr, target: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(address).unwrap();
        write!(socket, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Sends one event and returns its id when it was accepted.
    fn send(&self, target: &str) -> Option<String> {
        let (status, body) = Service::get(self.phones, target);
        (status == 200).then(|| serde_json::from_str::<Value>(&body).unwrap()["event_id"].as_str().unwrap().to_owned())
    }

    /// Asks the process to stop, and waits until it has: everything received before is worked on.
    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn stored_events(data: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let path = data.join("cordboard.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query_scalar("SELECT event_id FROM call_events").fetch_all(&pool).await.unwrap()
    })
}

fn no_difference(data: &Path) {
    let output = run(data, &["rebuild", "--diff"]);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()),
        (Some(0), String::new()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_example_of_the_guide_becomes_a_call_that_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let id = service.send("/gs/cti/incoming?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC").unwrap();
    service.send("/gs/cti/answered?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC").unwrap();
    assert_eq!(Service::get(service.operations, "/healthz").0, 200);
    assert_eq!(Service::get(service.operations, "/readyz").0, 200);
    assert!(Service::get(service.operations, "/metrics").1.contains("cordboard_ingress_accepted_total 2"));
    let (status, page) = Service::get(service.people, "/");
    assert!(status == 200 && page.contains("<title>Cordboard</title>"));
    service.stop();

    let service = Service::start(data.path());
    let (status, call) = Service::get(service.people, &format!("/api/v1/calls/{id}"));
    let call: Value = serde_json::from_str(&call).unwrap();
    assert_eq!((status, &call["status"], &call["answered_by"]["extension"]), (200, &Value::from("answered"), &Value::from("203")));
    service.send("/gs/cti/hangup?callId=12345&remote=03001234567&local=203&mac=AA:BB:CC").unwrap();
    service.stop();
    no_difference(data.path());

    let service = Service::start(data.path());
    let calls: Value = serde_json::from_str(&Service::get(service.people, "/api/v1/calls?extension=203&outcome=answered").1).unwrap();
    assert_eq!((calls["calls"].as_array().unwrap().len(), &calls["calls"][0]["status"]), (1, &Value::from("completed")));
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
fn the_event_stream_tells_what_was_committed() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut stream = TcpStream::connect(service.people).unwrap();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.any(|line| line.unwrap() == "event: hello"));
    service.send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222").unwrap();
    assert!(lines.any(|line| line.unwrap() == "event: call.started"));
    let data_line = lines.find(|line| line.as_ref().unwrap().starts_with("data: ")).unwrap().unwrap();
    let told: Value = serde_json::from_str(data_line.trim_start_matches("data: ")).unwrap();
    assert_eq!(told["call"]["from"]["e164"], "+4930111222");
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

/// What one phone of the load says next, so that calls begin and end.
fn report(phone: usize, step: usize) -> String {
    let event = ["incoming", "answered", "hangup", "incoming", "missed"][step % 5];
    let call = step / 5 * 2 + usize::from(step % 5 > 2);
    format!("/gs/cti/{event}?mac=000b8200000{phone}&local=20{phone}&callId={phone}-{call}&remote=+49301110{}", phone / 2)
}

#[test]
fn whatever_kills_the_process_no_accepted_event_is_lost_or_doubled() {
    const KILLS: usize = 12;
    const PHONES: usize = 4;
    let data = tempfile::tempdir().unwrap();
    let accepted: Arc<Mutex<Vec<String>>> = Arc::default();
    let sent: Arc<Mutex<usize>> = Arc::default();
    for kill in 0..KILLS {
        let service = Service::start(data.path());
        let phones = service.phones;
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..PHONES)
            .map(|phone| {
                let (accepted, sent, stop) = (Arc::clone(&accepted), Arc::clone(&sent), Arc::clone(&stop));
                std::thread::spawn(move || load(phones, phone, kill, &accepted, &sent, &stop))
            })
            .collect();
        // The moment of the kill is a number of accepted events, different every time: no clock decides.
        let target = accepted.lock().unwrap().len() + 20 + (kill * 37) % 90;
        while accepted.lock().unwrap().len() < target {
            std::thread::yield_now();
        }
        service.kill();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().unwrap();
        }
    }
    Service::start(data.path()).stop();
    let stored = stored_events(data.path());
    let unique: HashSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "no event is stored twice");
    let accepted = accepted.lock().unwrap();
    let lost: Vec<&String> = accepted.iter().filter(|id| !unique.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} accepted events are lost", lost.len(), accepted.len());
    assert!(stored.len() <= *sent.lock().unwrap(), "nothing is stored that nobody sent");
    no_difference(data.path());
}

/// Sends until the service is gone.
fn load(phones: SocketAddr, phone: usize, round: usize, accepted: &Mutex<Vec<String>>, sent: &Mutex<usize>, stop: &AtomicBool) {
    let Ok(mut socket) = TcpStream::connect(phones) else { return };
    let Ok(reading) = socket.try_clone() else { return };
    let mut answers = BufReader::new(reading);
    let mut step = round * 1_000;
    while !stop.load(Ordering::Relaxed) {
        *sent.lock().unwrap() += 1;
        if write!(socket, "GET {} HTTP/1.1\r\nHost: h\r\n\r\n", report(phone, step)).is_err() {
            return;
        }
        let Some(body) = read_answer(&mut answers) else { return };
        let answer: Value = serde_json::from_str(&body).unwrap();
        accepted.lock().unwrap().push(answer["event_id"].as_str().unwrap().to_owned());
        step += 1;
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
