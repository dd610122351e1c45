//! The service on real servers: RabbitMQ, PostgreSQL, Redis; several ingresses, workers and
//! gateways, each a process of its own. Only the clock is the test's.
#![expect(
    clippy::disallowed_methods,
    reason = "a process of the test learns from its environment what it is to be"
)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::support::flow;
use crate::support::ledger::block_on;
use crate::support::play::{HandClock, calls_of, play, settings, write_settings};
use crate::support::postgres;
use crate::support::rabbit;
use crate::support::servers;
use crate::support::service::Service;
use crate::support::verdict::{Leniency, differences_as_shown};
use cordboard::app::{self, Context, Roles, Scope, Stop};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

const NONE: Roles = Roles {
    ingress: false,
    worker: false,
    gateway: false,
};
/// What this program is to be, where it is not the test itself: a role, the file of its settings,
/// the file of the clock.
const ROLE: &str = "CORDBOARD_TEST_ROLE";
const SETTINGS: &str = "CORDBOARD_TEST_SETTINGS";
const CLOCK: &str = "CORDBOARD_TEST_CLOCK";
const LISTENING: &str = "listening on ";

/// The service with the test's clock, until its standard input ends.
fn serve(role: &str) {
    let path = |name: &str| env::var_os(name).unwrap();
    let roles = match role {
        "ingress" => Roles {
            ingress: true,
            ..NONE
        },
        "worker" => Roles {
            worker: true,
            ..NONE
        },
        _ => Roles {
            gateway: true,
            ..NONE
        },
    };
    let stop = Stop::default();
    let surroundings = Context {
        roles,
        clock: Arc::new(HandClock::at(Path::new(&path(CLOCK)))),
        metrics: PrometheusBuilder::new().install_recorder().unwrap(),
        reread: Arc::new(|| panic!("nobody asked for it")),
        stop: stop.clone(),
    };
    std::thread::spawn(move || {
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        stop.ask();
    });
    block_on(async {
        let service = app::Service::start(&settings(Path::new(&path(SETTINGS))), surroundings)
            .await
            .unwrap()
            .unwrap();
        let addresses = service.addresses;
        let listening = addresses
            .ingress
            .or(addresses.gateway)
            .unwrap_or(addresses.operations);
        std::io::stdout()
            .write_all(format!("\n{LISTENING}{listening}\n").as_bytes())
            .unwrap();
        service.run().await.unwrap();
    });
}

/// One process of a service.
struct Process {
    child: Child,
    listening: SocketAddr,
}

impl Process {
    /// This program once more, as something else.
    fn start(role: &str, settings: &Path, clock: &Path) -> Process {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "servers::production::every_flow_gives_its_records_through_three_workers_and_two_ingresses",
                "--nocapture",
            ])
            .envs([
                (ROLE, Path::new(role)),
                (SETTINGS, settings),
                (CLOCK, clock),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines.find_map(|line| line.unwrap().strip_prefix(LISTENING)?.parse().ok());
        // What it writes later is read to the end, or it would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Process {
            child,
            listening: listening.unwrap_or_else(|| panic!("the {role} did not start")),
        }
    }

    /// It finishes what it has, and ends well.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Nothing survives a test that failed.
impl Drop for Process {
    fn drop(&mut self) {
        let _ended = (self.child.kill(), self.child.wait());
    }
}

/// Waits until nobody holds more partitions than an even share.
fn wait_for_an_even_share(workers: &[Process]) {
    // A worker that never held one has no such number yet.
    while workers.iter().any(|worker| {
        !Service::get(worker.listening, "/metrics")
            .1
            .contains("\ncordboard_worker_partitions 2\n")
    }) {}
}

/// Waits until time has passed for every partition, and every call is final.
async fn wait_for_the_end(database: &str) {
    let open = "SELECT (SELECT count(*) FROM call_states WHERE is_open) + (SELECT count(*) FROM partition_owner WHERE watermark < 1767268800000000)
        + greatest(0, 6 - (SELECT count(*) FROM partition_owner))";
    while postgres::value::<i64>(database, open).await > 0 {}
}

#[test]
fn every_flow_gives_its_records_through_three_workers_and_two_ingresses() {
    if let Ok(role) = env::var(ROLE) {
        return serve(&role);
    }
    let flows = flow::all();
    let mut wrong = Vec::new();
    for form in 0..2 {
        let data: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
        let clock = data[0].path().join("clock");
        let hand = HandClock::at(&clock);
        let (database, broker) =
            block_on(async { (postgres::database().await, rabbit::vhost().await) });
        let more = format!(
            "[broker]\nurl = \"{broker}\"\npartitions = 6\nbalance_ms = 300\n[database]\nurl = \"{database}\"\n\
             [live]\nurl = \"{}\"\nprefix = \"{}:\"\n",
            servers::shared().redis,
            uuid::Uuid::now_v7().simple()
        );
        let roles = [
            "ingress", "ingress", "worker", "worker", "worker", "gateway",
        ];
        let start = |(role, data): (&str, &tempfile::TempDir)| {
            Process::start(role, &write_settings(&flows, data.path(), &more), &clock)
        };
        let processes: Vec<Process> = roles.into_iter().zip(&data).map(start).collect();
        let ingresses: Vec<SocketAddr> = processes[..2]
            .iter()
            .map(|process| process.listening)
            .collect();
        let gateway = processes[5].listening;
        wait_for_an_even_share(&processes[2..5]);
        let shown: Vec<Vec<Value>> = block_on(async {
            play(&flows, &ingresses, &hand, form).await;
            wait_for_the_end(&database).await;
            join_all((0..flows.len()).map(|index| calls_of(gateway, index))).await
        });
        processes.into_iter().for_each(Process::end);
        block_on(async {
            let settings = settings(&data[0].path().join("settings.toml"));
            assert_eq!(
                app::differences(&settings, &Scope::default())
                    .await
                    .unwrap(),
                []
            );
            assert_eq!(
                postgres::value::<i64>(&database, postgres::WRONG_COPIES).await,
                0
            );
        });
        for (flow, calls) in flows.iter().zip(&shown) {
            wrong.extend(
                differences_as_shown(flow, calls, Leniency::default())
                    .into_iter()
                    .map(|it| format!("{} (form {form}): {it}", flow.name)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
