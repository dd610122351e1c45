//! The service as a process: started with settings of the test's, asked as phones and people ask
//! it, stopped or killed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub struct Service {
    child: Child,
    pub phones: SocketAddr,
    pub people: SocketAddr,
    pub operations: SocketAddr,
    /// What it writes to standard error, line by line.
    log: Receiver<String>,
    greeting: Receiver<String>,
}

/// The command with these settings, listening wherever there is room.
pub fn command(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cordboard"));
    command.args(arguments).env("CORDBOARD__DATA_DIR", data);
    for section in ["INGRESS", "GATEWAY", "OPERATIONS"] {
        command.env(format!("CORDBOARD__{section}__LISTEN"), "127.0.0.1:0");
    }
    for (key, value) in [
        ("PER_DEVICE_PER_SECOND_MAX", "100000"),
        ("PER_DEVICE_BURST_MAX", "100000"),
        ("TICK_MS", "50"),
    ] {
        command.env(format!("CORDBOARD__INGRESS__{key}"), value);
    }
    for (key, value) in settings {
        command.env(format!("CORDBOARD__{key}"), value);
    }
    command
}

pub fn run(data: &Path, arguments: &[&str]) -> Output {
    command(data, arguments, &[]).output().unwrap()
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            // Read to the end even when nobody listens, or the process would wait for room in the
            // pipe.
            let _unheard = sender.send(line.unwrap_or_default());
        }
    });
    receiver
}

impl Service {
    /// Starts the service and waits until it is ready for everybody.
    pub fn start(data: &Path) -> Service {
        let mut service = Service::begin(command(data, &["serve"], &[]));
        service.wait_until_ready();
        service
    }

    /// Starts a command and waits until phones can connect; the database may not be there yet.
    pub fn begin(mut command: Command) -> Service {
        let mut child = command
            .env("CORDBOARD__LOG__FORMAT", "json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (greeting, log) = (
            lines(child.stdout.take().unwrap()),
            lines(child.stderr.take().unwrap()),
        );
        let mut told = String::new();
        let listening = loop {
            let line = log
                .recv()
                .unwrap_or_else(|_| panic!("the service did not start: {told}"));
            told.push_str(&line);
            match serde_json::from_str::<Value>(&line) {
                Ok(line) if line["message"] == "listening" => break line,
                _ => {}
            }
        };
        // A role it does not have has no address: nobody is there.
        let address = |name: &str| {
            listening[name]
                .as_str()
                .unwrap()
                .parse()
                .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        Service {
            phones: address("ingress"),
            people: address("gateway"),
            operations: address("operations"),
            child,
            log,
            greeting,
        }
    }

    pub fn wait_until_ready(&mut self) {
        while !self
            .greeting
            .recv()
            .expect("the service ended before it was ready")
            .contains("Try it:")
        {}
    }

    /// Reads the log until a line contains this, and returns everything up to it.
    pub fn log_until(&self, expected: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            read.push(
                self.log.recv().unwrap_or_else(|_| {
                    panic!("nothing in the log contains {expected:?}: {read:#?}")
                }),
            );
            if read.last().is_some_and(|line| line.contains(expected)) {
                return read;
            }
        }
    }

    /// Whether the lines of the log since it was last read contain this.
    pub fn log_has(&self, expected: &str) -> bool {
        self.log.try_iter().any(|line| line.contains(expected))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn get(address: SocketAddr, target: &str) -> (u16, String) {
        Service::try_get(address, target).unwrap()
    }

    /// The same from somebody who may be gone at any moment.
    pub fn try_get(address: SocketAddr, target: &str) -> io::Result<(u16, String)> {
        let mut socket = TcpStream::connect(address)?;
        write!(
            socket,
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        ))
    }

    /// The answer of the API as JSON.
    pub fn ask(&self, target: &str) -> Value {
        let (status, body) = Service::get(self.people, target);
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Sends one event and returns its id when it was accepted.
    pub fn send(&self, target: &str) -> Option<String> {
        let (status, body) = Service::get(self.phones, target);
        (status == 200).then(|| {
            serde_json::from_str::<Value>(&body).unwrap()["event_id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
    }

    /// The value of a metric that counts, or the sum over its labels.
    pub fn metric(&self, name: &str) -> i64 {
        let text = Service::get(self.operations, "/metrics").1;
        let of_it = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        };
        let values: Vec<i64> = text
            .lines()
            .filter(of_it)
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "no metric {name}: {text}");
        values.iter().sum()
    }

    /// Watches the event stream, from now or from after a number.
    pub fn watch(&self, after: Option<u64>) -> Events {
        let mut stream = TcpStream::connect(self.people).unwrap();
        let known = after
            .map(|number| format!("Last-Event-ID: {number}\r\n"))
            .unwrap_or_default();
        write!(
            stream,
            "GET /api/v1/stream HTTP/1.1\r\nHost: h\r\n{known}\r\n"
        )
        .unwrap();
        let mut events = Events {
            lines: BufReader::new(stream),
        };
        events.until("hello");
        events
    }

    /// Asks the process to stop, and waits until it has: everything received before is worked on.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(0),
            "{:#?}",
            self.log.try_iter().collect::<Vec<_>>()
        );
    }

    /// Waits for the end of the process, and returns its code and the rest of its log.
    pub fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        (code, self.log.iter().collect())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Nothing survives a test that failed.
impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Somebody who asks the API slowly, again and again over one connection.
pub struct Person(BufReader<TcpStream>);

impl Person {
    pub fn at(service: &Service) -> Person {
        Person(BufReader::new(TcpStream::connect(service.people).unwrap()))
    }

    pub fn begin_to_ask(&mut self) {
        self.0
            .get_mut()
            .write_all(b"GET /api/v1/calls HTTP/1.1\r\nHost: ")
            .unwrap();
    }

    /// The status of the answer.
    pub fn end_asking(&mut self) -> u16 {
        self.0.get_mut().write_all(b"h\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).unwrap() > 0,
                "cut off after {head:?}"
            );
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap();
        self.0.read_exact(&mut vec![0; length]).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// The event stream, as a browser reads it.
pub struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// Reads up to the next event with this name; returns its number and its data.
    pub fn until(&mut self, name: &str) -> (Option<u64>, Value) {
        loop {
            let (found, number, data) = self.next();
            if found == name {
                return (number, data);
            }
        }
    }

    fn next(&mut self) -> (String, Option<u64>, Value) {
        let (mut name, mut number, mut data) = (String::new(), None, Value::Null);
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "the stream ended"
            );
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("id", text)) => number = text.parse().ok(),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                _ if line.trim().is_empty() && !name.is_empty() => return (name, number, data),
                _ => {}
            }
        }
    }
}

/// The ids of all stored events.
pub fn stored_events(data: &Path) -> Vec<String> {
    super::ledger::block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("cordboard.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query_scalar("SELECT event_id FROM call_events")
            .fetch_all(&pool)
            .await
            .unwrap()
    })
}

/// Writes into the database behind everybody's back.
pub fn write(data: &Path, sql: &'static str) {
    super::ledger::block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("cordboard.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query(sql).execute(&pool).await.unwrap();
    });
}

/// What is stored is what its facts say.
pub fn no_difference(data: &Path) {
    let output = run(data, &["rebuild", "--diff"]);
    let told = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(
        (output.status.code(), told.0),
        (Some(0), String::new()),
        "{}",
        told.1
    );
}
