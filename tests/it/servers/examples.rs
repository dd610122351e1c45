//! The programs in `examples` run as their README says, and print the events of calls.

use std::path::{Path, PathBuf};

use tokio::process::{Child, Command};

use crate::support::cluster::Cluster;
use crate::support::log::{self, Log};
use crate::support::servers;
use crate::support::wait::{PATIENCE, within};

const PHONE: &str = "mac=000b82000001&local=201&remote=+4930111222&c=a";
/// Events of an answered call.
const EVENTS: [&str; 3] = ["call.started", "call.answered", "call.ended"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_print_the_events_of_a_call() {
    let cluster = Cluster::new().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/listen.py");
    let mut in_python = Command::new(servers::python());
    in_python.arg(script);
    let listeners = [
        Listener::start(in_python, &cluster.broker).await,
        Listener::start(Command::new(rust_example()), &cluster.broker).await,
    ];

    let service = cluster.start("all", "ingress,worker,gateway").await;
    let mut call = String::new();
    for event in ["incoming", "answered", "hangup"] {
        let id = service.send(&format!("/gs/cti/{event}?{PHONE}")).await;
        let id = id.unwrap();
        if call.is_empty() {
            call = id;
        }
    }

    for listener in listeners {
        let lines = listener.lines().await;
        for (line, event) in lines.iter().zip(EVENTS) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[0], event, "{line}");
            assert_eq!(words[2], format!("call={call}"), "{line}");
            assert!(line.contains("inbound +4930111222 -> 201"), "{line}");
        }
        assert_eq!(lines.len(), EVENTS.len(), "{lines:?}");
    }

    service.stop().await;
}

/// `cargo test` builds examples beside the test programs.
fn rust_example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().with_file_name("examples/listen");
    assert!(
        example.exists(),
        "there is no {}: build it with `cargo build --example listen`",
        example.display()
    );

    example
}

/// A running example.
struct Listener {
    child: Child,
    output: Log,
}

impl Listener {
    /// Starts the program, and waits until its queue is bound.
    async fn start(mut program: Command, broker: &str) -> Listener {
        let program = program.args([broker, &EVENTS.len().to_string()]);
        let (child, output, messages) = log::spawn(program);
        messages.until(PATIENCE, "listening to call.#").await;

        Listener { child, output }
    }

    /// All lines of the program, which ends after the last event.
    async fn lines(mut self) -> Vec<String> {
        let status = within(PATIENCE, "the end of an example", self.child.wait())
            .await
            .unwrap();
        within(PATIENCE, "the end of its output", self.output.ended()).await;
        assert!(status.success(), "{:?}", self.output.all());

        self.output.all()
    }
}
