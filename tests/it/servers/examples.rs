//! The programs in `examples` run as their README says, and print the events of calls.

use std::path::{Path, PathBuf};

use tokio::process::{Child, Command};

use crate::support::cluster::Cluster;
use crate::support::log::{self, Log};
use crate::support::servers;
use crate::support::service::{Service, command};
use crate::support::wait::{PATIENCE, within};

const PHONE: &str = "mac=000b82000001&local=201&remote=+4930111222&c=a";
/// The flow through all contracts has more steps than this.
const STEPS_MIN: usize = 12;
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

/// The flow that goes through all contracts.
async fn flow(arguments: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/guide/flow.py");
    let mut program = Command::new(servers::python());
    program.arg(script).args(arguments);
    let output = within(PATIENCE, "the end of the flow", program.output())
        .await
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_relies_on_all_contracts_of_the_production_profile() {
    let mut cluster = Cluster::new().await;
    // Long enough to see a pending decision.
    cluster.set("POLICY__MISSED_DELAY_MS", "2000");
    let service = cluster.start("all", "ingress,worker,gateway").await;
    let gateway = format!("http://{}", service.gateway);

    let steps = flow(&[
        "--gateway",
        &gateway,
        "--redis",
        &cluster.urls.redis,
        "--prefix",
        cluster.prefix(),
        "--database",
        &cluster.database.replacen("postgres://", "postgresql://", 1),
        "--broker",
        &cluster.broker,
    ])
    .await;

    assert!(steps.len() > STEPS_MIN, "{steps:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_relies_on_all_contracts_of_the_embedded_profile() {
    let data = tempfile::tempdir().unwrap();
    let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
    let redis = servers::shared().redis.clone();
    let settings = [
        ("LIVE__URL", redis.as_str()),
        ("LIVE__PREFIX", &prefix),
        ("POLICY__MISSED_DELAY_MS", "2000"),
    ];
    let service = Service::begin(command(data.path(), &["serve"], &settings)).await;
    service.wait_until_ready().await;

    let steps = flow(&[
        "--gateway",
        &format!("http://{}", service.gateway),
        "--redis",
        &redis,
        "--prefix",
        &prefix,
        "--database",
        &format!("sqlite:{}", data.path().join("cordboard.db").display()),
        "--ingress",
        &format!("http://{}", service.ingress),
    ])
    .await;

    assert!(steps.len() > STEPS_MIN, "{steps:?}");
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
