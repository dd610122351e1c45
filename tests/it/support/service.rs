//! The service as a process: started with settings of the test's own, asked as phones and people
//! ask it, stopped or killed.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::http;
use super::log::{self, Log};
use super::wait::{PATIENCE, eventually, within};

/// A command that works on a database of a test is done within this.
const COMMAND: Duration = Duration::from_mins(2);

/// One running process.
pub struct Service {
    child: Child,
    pub ingress: SocketAddr,
    pub gateway: SocketAddr,
    pub operations: SocketAddr,
    /// Standard error.
    pub log: Log,
    /// Standard output.
    greeting: Log,
}

/// The status of a request to upgrade to a socket; the socket is dropped.
pub async fn upgrade_status(gateway: SocketAddr, target: &str, headers: &str) -> u16 {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{headers}\r\n");
    let answered = async {
        let mut socket = BufReader::new(TcpStream::connect(gateway).await.unwrap());
        socket.write_all(request.as_bytes()).await.unwrap();

        let mut line = String::new();
        socket.read_line(&mut line).await.unwrap();
        line
    };
    let line = within(PATIENCE, "an answer to the upgrade", answered).await;

    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The command with these settings, listening on free ports. Unanswered calls are decided
/// at once.
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
    command.env("CORDBOARD__POLICY__MISSED_DELAY_MS", "200");
    command.env("CORDBOARD__POLICY__RERING_GAP_MS", "250");
    for (key, value) in settings {
        command.env(format!("CORDBOARD__{key}"), value);
    }
    command.kill_on_drop(true);

    command
}

/// Runs a command to its end.
pub async fn output(mut command: Command) -> Output {
    within(COMMAND, &format!("{command:?}"), command.output())
        .await
        .unwrap()
}

/// Runs the command without further settings.
pub async fn run(data: &Path, arguments: &[&str]) -> Output {
    output(command(data, arguments, &[])).await
}

impl Service {
    /// Starts the service and waits until all of it is ready.
    pub async fn start(data: &Path) -> Service {
        let service = Service::begin(command(data, &["serve"], &[])).await;
        service.wait_until_ready().await;

        service
    }

    /// Starts a command and waits until phones can connect; the database may not be there yet.
    pub async fn begin(mut command: Command) -> Service {
        let (child, greeting, log) = log::spawn(command.env("CORDBOARD__LOG__FORMAT", "json"));

        let listening = log.until(PATIENCE, "\"message\":\"listening\"").await;
        let listening: Value = serde_json::from_str(&listening).unwrap();
        // A role that the process does not have has no address: nothing listens there.
        let address = |name: &str| {
            listening[name]
                .as_str()
                .unwrap()
                .parse()
                .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 1)))
        };

        Service {
            ingress: address("ingress"),
            gateway: address("gateway"),
            operations: address("operations"),
            child,
            log,
            greeting,
        }
    }

    pub async fn wait_until_ready(&self) {
        self.greeting.until(PATIENCE, "Try it:").await;
    }

    /// The next line of the log that contains `expected`.
    pub async fn log_until(&self, expected: &str) -> String {
        self.log.until(PATIENCE, expected).await
    }

    /// Looks until `probe` succeeds; a failure shows the tail of the log.
    pub async fn eventually<T>(
        &self,
        awaited: &str,
        mut probe: impl AsyncFnMut(&Service) -> Result<T, String>,
    ) -> T {
        eventually(PATIENCE, awaited, async || {
            probe(self)
                .await
                .map_err(|seen| format!("{seen}\nlog:\n{}", self.log.tail()))
        })
        .await
    }

    pub fn pid(&self) -> Pid {
        let id = self.child.id().expect("the process was not waited for");

        Pid::from_raw(id.cast_signed()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The answer of the API as JSON.
    pub async fn ask(&self, target: &str) -> Value {
        let (status, body) = http::get(self.gateway, target).await;
        assert_eq!(status, 200, "{target}: {body}");

        serde_json::from_str(&body).unwrap()
    }

    /// Asks the API with a body.
    pub async fn call(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        http::call(self.gateway, method, target, body).await
    }

    /// Sends one event, and returns its id when it was accepted.
    pub async fn send(&self, target: &str) -> Option<String> {
        let (status, body) = http::get(self.ingress, target).await;

        (status == 200).then(|| event_id(&body))
    }

    /// Status and body of the readiness.
    pub async fn readiness(&self) -> (u16, Value) {
        let (status, body) = http::get(self.operations, "/readyz").await;

        (status, serde_json::from_str(&body).unwrap())
    }

    /// Waits until a part of the readiness is ok, or is not.
    pub async fn until_part(&self, part: &str, ok: bool) {
        let awaited = format!("`{part}` is {}", if ok { "ok" } else { "not ok" });

        self.eventually(&awaited, async |service| {
            let (_, readiness) = service.readiness().await;
            if (readiness[part] == "ok") == ok {
                Ok(())
            } else {
                Err(readiness.to_string())
            }
        })
        .await;
    }

    pub async fn metrics(&self) -> String {
        http::get(self.operations, "/metrics").await.1
    }

    /// The value of a metric that counts, or the sum over its labels.
    pub async fn metric(&self, name: &str) -> i64 {
        let text = self.metrics().await;

        sum_of(&text, name).unwrap_or_else(|| panic!("no metric {name}: {text}"))
    }

    /// Waits until a metric fulfils a condition.
    pub async fn until_metric(&self, name: &str, fits: impl Fn(i64) -> bool) {
        self.eventually(&format!("metric {name}"), async |service| {
            match sum_of(&service.metrics().await, name) {
                Some(value) if fits(value) => Ok(()),
                value => Err(format!("{value:?}")),
            }
        })
        .await;
    }

    /// Watches the event stream, from now or from after a number.
    pub async fn watch(&self, after: Option<u64>) -> Events {
        Events::open(self.gateway, after).await
    }

    /// Asks the process to stop, and waits until it has: everything received before is processed.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = within(PATIENCE, "the end of the process", self.child.wait())
            .await
            .unwrap();

        assert_eq!(status.code(), Some(0), "{}", self.log.tail());
    }

    /// Waits for the end of the process, and returns its code and its log.
    pub async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let status = within(PATIENCE, "the end of the process", self.child.wait())
            .await
            .unwrap();
        within(PATIENCE, "the end of the log", self.log.ended()).await;

        (status.code(), self.log.all())
    }

    pub async fn kill(mut self) {
        within(PATIENCE, "the end of the process", self.child.kill())
            .await
            .unwrap();
    }
}

/// The id in the answer to an accepted event.
pub fn event_id(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["event_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The sum of a metric over its labels; none where the text has no such metric.
pub fn sum_of(metrics: &str, name: &str) -> Option<i64> {
    let values: Vec<i64> = metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();

    (!values.is_empty()).then(|| values.iter().sum())
}

/// The event stream, as a browser reads it.
pub struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// Opens the stream, from now or from after a number.
    pub async fn open(gateway: SocketAddr, after: Option<u64>) -> Events {
        let known = after
            .map(|number| format!("Last-Event-ID: {number}\r\n"))
            .unwrap_or_default();

        Events::open_at(gateway, "/api/v1/stream", &known).await.0
    }

    /// Opens another stream with these headers, and returns the data of its `hello`.
    pub async fn open_at(gateway: SocketAddr, target: &str, headers: &str) -> (Events, Value) {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();

        let mut events = Events {
            lines: BufReader::new(stream),
        };
        let (_, hello) = events.until("hello").await;

        (events, hello)
    }

    /// Reads up to the next event with this name; returns its number and its data.
    pub async fn until(&mut self, name: &str) -> (Option<u64>, Value) {
        let search = async {
            loop {
                let (found, number, data) = self.next().await.unwrap();
                if found == name {
                    return (number, data);
                }
            }
        };

        within(PATIENCE, &format!("event {name}"), search).await
    }

    /// Reads until the service closes the connection.
    pub async fn until_end(mut self) {
        let read = async { while self.next().await.is_ok() {} };

        within(PATIENCE, "the end of the stream", read).await;
    }

    async fn next(&mut self) -> io::Result<(String, Option<u64>, Value)> {
        let (mut name, mut number, mut data) = (String::new(), None, Value::Null);

        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }

            match line.trim_end().split_once(": ") {
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("id", text)) => number = text.parse().ok(),
                Some(("data", text)) => data = serde_json::from_str(text)?,
                _ if line.trim().is_empty() && !name.is_empty() => return Ok((name, number, data)),
                _ => {}
            }
        }
    }
}
