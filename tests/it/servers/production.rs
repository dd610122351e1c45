//! Call flows through several ingresses, workers and gateways on real servers, each a process of
//! its own. Only the clock belongs to the test.
#![expect(
    clippy::disallowed_methods,
    reason = "the environment names the role of a process of this test"
)]

use std::env;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cordboard::app::{self, Context, Stop};
use cordboard::config::Settings;
use cordboard::ops::{self, Scope};
use cordboard::setup::Roles;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::flow::{self, Flow};
use crate::support::log::Log;
use crate::support::play::{HandClock, calls_of, play_at_pace, settings, write_settings};
use crate::support::verdict::{Leniency, differences_as_shown};
use crate::support::wait::{PATIENCE, eventually, within};
use crate::support::{http, postgres, rabbit, servers, service};

const TEST: &str = "servers::production::\
    every_flow_gives_its_records_through_three_workers_and_two_ingresses";
const PROCESSES: [&str; 6] = [
    "ingress", "ingress", "worker", "worker", "worker", "gateway",
];
const INGRESSES: usize = 2;
/// Six processes share a small machine with other tests.
const ALL_DECIDED: Duration = Duration::from_mins(3);

/// The role of this process where it is not the test itself, the file of its settings, and the file
/// of the clock.
const ROLE: &str = "CORDBOARD_TEST_ROLE";
const SETTINGS: &str = "CORDBOARD_TEST_SETTINGS";
const CLOCK: &str = "CORDBOARD_TEST_CLOCK";
/// A tick is a message to every partition, and a small machine has to keep up with them. Phones
/// keep their connections while the clock waits.
const MORE_SETTINGS: [(&str, &str); 2] = [
    ("CORDBOARD__INGRESS__TICK_MS", "20"),
    ("CORDBOARD__INGRESS__HEAD_TIMEOUT_MS", "600000"),
];
const LISTENING: &str = "listening on ";

/// Units of the clock.
const SECOND: i64 = 1_000_000;
/// Long enough for all ingresses to become known before the flows begin.
const BEFORE: i64 = -600 * SECOND;
/// An ingress that is a minute behind the other is not waited for, and its events are late. The
/// clock moves so far before all ingresses have to catch up.
const STRIDE: i64 = 45 * SECOND;
/// Promises are stored after ten seconds, or with the next event.
const PROMISES_BEHIND: i64 = 11 * SECOND;

/// Microseconds of the flows up to which every ingress has promised every partition that its events
/// are published; none until all of them have.
const PROMISED: &str = "
SELECT CASE WHEN count(*) = 12 THEN min(promise.value::bigint) - 1767225600000000 END
FROM partition_owner
CROSS JOIN json_each_text(ticks) AS promise";

/// Counts open calls, partitions whose time is not over, and partitions without an owner.
const UNDECIDED: &str = "
SELECT
    (SELECT count(*) FROM live_states WHERE is_open)
    + (SELECT count(*) FROM partition_owner WHERE watermark < 1767268800000000)
    + greatest(0, 6 - (SELECT count(*) FROM partition_owner))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_gives_its_records_through_three_workers_and_two_ingresses() {
    if let Ok(role) = env::var(ROLE) {
        serve(&role).await;
        return;
    }

    let flows = flow::all();
    let mut wrong = Vec::new();
    for form in 0..2 {
        let shown = play_through_servers(&flows, form).await;

        for (flow, calls) in flows.iter().zip(&shown) {
            let differences = differences_as_shown(flow, calls, Leniency::default());
            let name = &flow.name;
            wrong.extend(
                differences
                    .into_iter()
                    .map(|difference| format!("{name} (form {form}): {difference}")),
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

/// Plays the flows on a new service. Returns the calls of each flow as the API shows them.
async fn play_through_servers(flows: &[Flow], form: usize) -> Vec<Vec<Value>> {
    let database = postgres::database().await;
    let data: Vec<TempDir> = PROCESSES.map(|_| tempfile::tempdir().unwrap()).into();
    let file = data[0].path().join("clock");
    let mut pace = Pace::new(HandClock::at(&file), &database);
    let processes = start_all(flows, &data, &database, &file).await;
    let (ingresses, rest) = processes.split_at(INGRESSES);
    let (gateway, workers) = rest.split_last().unwrap();

    until_even_share(workers).await;
    pace.until_all_known().await;
    let ingresses: Vec<SocketAddr> = ingresses.iter().map(|process| process.listening).collect();
    let advance = async |micros| pace.advance(micros).await;
    let end = play_at_pace(flows, &ingresses, form, advance).await;
    pace.jump(end).await;
    until_all_decided(&database).await;
    let indexes = 0..flows.len();
    let shown = join_all(indexes.map(|index| calls_of(gateway.listening, index))).await;

    for process in processes {
        process.end().await;
    }
    let settings = settings(&data[0].path().join("settings.toml"));
    let differences = ops::differences(&settings, &Scope::default()).await;
    assert_eq!(differences.unwrap(), []);
    let wrong: i64 = postgres::value(&database, postgres::WRONG_COPIES).await;
    assert_eq!(wrong, 0);

    shown
}

async fn start_all(flows: &[Flow], data: &[TempDir], database: &str, clock: &Path) -> Vec<Process> {
    let broker = rabbit::vhost().await;
    let redis = &servers::shared().redis;
    let prefix = uuid::Uuid::now_v7().simple();
    let ingresses: Vec<String> = data[..INGRESSES]
        .iter()
        .map(|data| name_ingress(data.path()))
        .collect();
    let more = format!(
        r#"
[worker]
ingresses = {ingresses:?}
[broker]
url = "{broker}"
partitions = 6
balance_ms = 300
[database]
url = "{database}"
[live]
url = "{redis}"
prefix = "{prefix}:"
"#
    );

    let mut processes = Vec::new();
    for (role, data) in PROCESSES.into_iter().zip(data) {
        let settings = write_settings(flows, data.path(), &more);
        processes.push(Process::start(role, &settings, clock).await);
    }

    processes
}

/// Gives the ingress in this folder a name, which it would take at its first start. The workers
/// know both from the beginning, so that no time passes before the other one has an event.
fn name_ingress(data: &Path) -> String {
    let id = uuid::Uuid::now_v7().to_string();
    let journal = data.join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    std::fs::write(journal.join("id"), &id).unwrap();

    id
}

/// Moves the clock, and never so far that an ingress is left behind.
struct Pace<'a> {
    clock: HandClock,
    now: i64,
    /// The instant at which all ingresses had caught up.
    caught_up: i64,
    database: &'a str,
}

impl Pace<'_> {
    /// A clock that shows a time before the flows.
    fn new(clock: HandClock, database: &str) -> Pace<'_> {
        clock.set(BEFORE);

        Pace {
            clock,
            now: BEFORE,
            caught_up: BEFORE,
            database,
        }
    }

    /// Lets seconds pass until every partition knows all ingresses.
    async fn until_all_known(&mut self) {
        eventually(PATIENCE, "a promise of each ingress", async || {
            self.set(self.now + SECOND);
            match self.promised().await {
                Some(_) => Ok(()),
                None => Err("promises are missing".to_owned()),
            }
        })
        .await;
    }

    /// Moves the clock to this instant, in strides.
    async fn advance(&mut self, to: i64) {
        while to > self.caught_up + STRIDE {
            self.set(self.caught_up + STRIDE);
            self.until_caught_up().await;
        }

        self.set(to);
    }

    /// Moves the clock to this instant at once, when no event is under way any more.
    async fn jump(&mut self, to: i64) {
        self.advance(self.now + 2 * STRIDE).await;

        self.set(to);
    }

    async fn until_caught_up(&mut self) {
        let expected = self.now - PROMISES_BEHIND;

        eventually(PATIENCE, "promises of all ingresses", async || {
            match self.promised().await {
                Some(instant) if instant >= expected => Ok(()),
                promised => Err(format!("{promised:?} instead of {expected}")),
            }
        })
        .await;
        self.caught_up = self.now;
    }

    fn set(&mut self, micros: i64) {
        self.clock.set(micros);
        self.now = micros;
    }

    async fn promised(&self) -> Option<i64> {
        postgres::value(self.database, PROMISED).await
    }
}

/// Waits until no worker owns more partitions than an even share.
async fn until_even_share(workers: &[Process]) {
    eventually(PATIENCE, "two partitions for each worker", async || {
        let metrics = workers
            .iter()
            .map(|worker| http::get(worker.listening, "/metrics"));
        let owned: Vec<Option<i64>> = join_all(metrics)
            .await
            .iter()
            .map(|(_, text)| service::sum_of(text, "cordboard_worker_partitions"))
            .collect();

        if owned.iter().all(|owned| *owned == Some(2)) {
            return Ok(());
        }
        let logs: Vec<String> = workers.iter().map(|worker| worker.log.tail()).collect();
        Err(format!("{owned:?}\n{}", logs.join("\n---\n")))
    })
    .await;
}

/// Waits until time has passed for every partition, and every call is final.
async fn until_all_decided(database: &str) {
    eventually(ALL_DECIDED, "every call is final", async || {
        let undecided: i64 = postgres::value(database, UNDECIDED).await;
        if undecided > 0 {
            return Err(format!("{undecided} calls and partitions are not"));
        }

        Ok(())
    })
    .await;
}

/// One process of a service; it does not survive a test that fails.
struct Process {
    child: Child,
    log: Log,
    listening: SocketAddr,
}

impl Process {
    /// Starts this test program once more, with another role.
    async fn start(role: &str, settings: &Path, clock: &Path) -> Process {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(ROLE, role)
            .env(SETTINGS, settings)
            .env(CLOCK, clock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();

        let log = Log::read(child.stdout.take().unwrap());
        let line = log.until(PATIENCE, LISTENING).await;
        let (_, address) = line.split_once(LISTENING).unwrap();

        Process {
            listening: address.parse().unwrap(),
            child,
            log,
        }
    }

    /// Asks the process to stop: it finishes all work, and succeeds.
    async fn end(mut self) {
        drop(self.child.stdin.take());

        let status = within(PATIENCE, "the end of the process", self.child.wait()).await;
        assert!(status.unwrap().success(), "{}", self.log.tail());
    }
}

/// Runs the service with the clock of the test, until standard input ends.
async fn serve(role: &str) {
    tracing_subscriber::fmt().with_ansi(false).init();
    let path = |name: &str| env::var_os(name).unwrap();
    let stop = Stop::default();
    let context = Context {
        roles: Roles {
            ingress: role == "ingress",
            worker: role == "worker",
            gateway: role == "gateway",
        },
        clock: Arc::new(HandClock::at(Path::new(&path(CLOCK)))),
        metrics: PrometheusBuilder::new().install_recorder().unwrap(),
        reread: Arc::new(|| panic!("this test does not change settings")),
        stop: stop.clone(),
    };
    // A task that reads would keep the runtime from ending.
    std::thread::spawn(move || {
        // An error ends the input as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.request();
    });

    let more = MORE_SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = Settings::load(Some(Path::new(&path(SETTINGS))), more).unwrap();
    let started = app::Service::start(&settings, context).await;
    let service = started.unwrap().unwrap();
    let addresses = service.addresses;
    let listening = addresses
        .ingress
        .or(addresses.gateway)
        .unwrap_or(addresses.operations);
    // The test harness has begun a line.
    let line = format!("\n{LISTENING}{listening}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();

    service.run().await.unwrap();
}
