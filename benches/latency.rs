//! The latency at a steady rate, from a phone's request to the committed row and to the event in a
//! client's stream, and whether the service keeps up. One process with all roles, real servers,
//! phones and clients, all of it on one machine; beside it a plain program for the same requests.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]

#[path = "support/plain.rs"]
mod plain;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "this benchmark reads processor time only")]
mod process;
#[path = "support/sites.rs"]
mod sites;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of the test support")]
mod support;
#[path = "support/trial.rs"]
#[expect(dead_code, reason = "the plain program stores as the trial does")]
mod trial;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use plain::Plain;
use sites::Sites;
use sqlx::{Connection, PgConnection};
use support::cluster::Cluster;
use support::http;
use support::servers::Servers;
use support::service::{Events, event_id};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A probe that looks without a pause takes a core from the service.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const OUR_EVENT: &str = "
SELECT 1
FROM call_events
WHERE site = 'default' AND received_at >= $1 AND event_id = $2";
const OUR_EVENTS: &str = "SELECT count(*) FROM call_events";
const PLAIN_EVENT: &str = "SELECT 1 FROM trial_events WHERE at >= $1 AND id = $2";
const PLAIN_EVENTS: &str = "SELECT count(*) FROM trial_events";

/// The time of each probe's request, by its caller's number.
type SentAt = Arc<Mutex<HashMap<String, Instant>>>;

/// The program that is measured.
struct Subject<'s> {
    name: String,
    ingress: SocketAddr,
    /// That of the event stream, if there is one.
    gateway: Option<SocketAddr>,
    database: &'s str,
    /// Selects a row of an event by its instant and id.
    event: &'static str,
    /// Counts the stored events.
    events: &'static str,
}

/// Times in their order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();

        Times(times)
    }

    fn millis(&self, percent: usize) -> f64 {
        let Times(times) = self;
        let place = times.len().saturating_sub(1) * percent / 100;

        times
            .get(place)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    /// The median and the 99th percentile, and how many times those of the other program they are.
    fn compared(&self, plain: Option<&Times>) -> String {
        let figures = [50, 99].map(|percent| {
            let ratio = plain.map_or(String::new(), |plain| {
                format!(" ({:.2} x)", self.millis(percent) / plain.millis(percent))
            });
            format!("p{percent} {:>6.1} ms{ratio}", self.millis(percent))
        });

        format!("{}  ({})", figures.join("  "), self.0.len())
    }
}

/// A current-thread runtime of its own: a probe or a client does not wait for the load's tasks.
fn in_own_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(work())
    })
}

/// Phones of their own that ring between the load: each rings, and the probe looks until the event
/// is committed.
struct Probe {
    ingress: SocketAddr,
    event: &'static str,
    run: usize,
    sent_at: SentAt,
}

impl Probe {
    /// Probes until the end; returns the time from each request to its row.
    async fn run(self, database: String, end: CancellationToken) -> Vec<Duration> {
        let mut connection = PgConnection::connect(&database).await.unwrap();
        let mut due = interval(PROBE_EVERY);
        let mut took = Vec::new();

        for number in 0.. {
            tokio::select! {
                _ = due.tick() => {}
                () = end.cancelled() => break,
            }
            took.push(self.ring(number, &mut connection).await);
        }

        took
    }

    async fn ring(&self, number: usize, connection: &mut PgConnection) -> Duration {
        let run = self.run;
        let remote = format!("+49897{run:02}{number:05}");
        let parameters = format!(
            "mac=000b83{run:02}{:04x}&local=9{run}{number:05}&remote={remote}",
            number % 65_536
        );

        let began = Instant::now();
        self.sent_at.lock().unwrap().insert(remote, began);
        let target = format!("/gs/cti/incoming?{parameters}");
        let (_, answer) = http::get(self.ingress, &target).await;
        let id = event_id(&answer).parse().unwrap();
        until_committed(connection, self.event, id).await;
        let took = began.elapsed();

        http::get(self.ingress, &format!("/gs/cti/hangup?{parameters}")).await;

        took
    }
}

async fn until_committed(connection: &mut PgConnection, event: &'static str, id: uuid::Uuid) {
    // Ids tell their time; the margin covers the difference from the time of receipt.
    let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
    let since = i64::try_from(seconds).unwrap() * 1_000_000 + i64::from(nanos) / 1_000 - 100_000;

    loop {
        let row = sqlx::query(event)
            .bind(since)
            .bind(id)
            .fetch_optional(&mut *connection)
            .await
            .unwrap();
        if row.is_some() {
            return;
        }

        // The probe has its own thread, and the timer of the runtime counts whole milliseconds.
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Watches the event stream up to the call from `last`; returns the time from each probe's request
/// to its event.
async fn watch(mut events: Events, sent_at: SentAt, last: String) -> Vec<Duration> {
    let mut took = Vec::new();

    loop {
        let (_, event) = events.until("call.started").await;
        let now = Instant::now();
        let remote = event["call"]["from"]["number"].as_str().unwrap_or_default();
        if remote == last {
            return took;
        }
        took.extend(
            sent_at
                .lock()
                .unwrap()
                .remove(remote)
                .map(|began| now - began),
        );
    }
}

/// Plays a rate for a time. Returns the time from each probe's request to its row.
async fn measure(
    subject: &Subject<'_>,
    run: usize,
    (rate, span): (f64, Duration),
    plain: Option<&Times>,
) -> Times {
    let sites = Sites::at_rate(rate, span);
    let sent_at = SentAt::default();
    let end = CancellationToken::new();
    let last = format!("+498999{run:02}0000");
    let stored_before = count(subject).await;
    let before = process::cpu_seconds();

    let probe = Probe {
        ingress: subject.ingress,
        event: subject.event,
        run,
        sent_at: Arc::clone(&sent_at),
    };
    let probing = in_own_thread({
        let (database, end) = (subject.database.to_owned(), end.clone());
        async move || probe.run(database, end).await
    });
    let watching = subject.gateway.map(|gateway| {
        let last = last.clone();
        in_own_thread(async move || watch(Events::open(gateway, None).await, sent_at, last).await)
    });

    let answered = sites.play(subject.ingress).await;
    let ended = Instant::now();
    end.cancel();
    let committed = joined(probing).await;
    let events = i64::try_from(answered.len() + 2 * committed.len()).unwrap();
    let mut looks = interval(PROBE_EVERY);
    while count(subject).await < stored_before + events {
        looks.tick().await;
    }
    let behind = ended.elapsed();
    let used = process::per_10_000(&before, &process::cpu_seconds(), answered.len());

    let committed = Times::of(committed);
    println!("{rate:>6.0} events/s  {}", subject.name);
    println!("    answered   {}", Times::of(answered).compared(None));
    println!("    committed  {}", committed.compared(plain));
    if let Some(watching) = watching {
        let target = format!("/gs/cti/incoming?mac=000b84{run:06x}&local=99{run:03}&remote={last}");
        http::get(subject.ingress, &target).await;
        println!(
            "    popup      {}",
            Times::of(joined(watching).await).compared(None)
        );
    }
    println!(
        "    all stored {:.2} s after the last request; processor seconds for 10,000 events: {used}",
        behind.as_secs_f64()
    );

    committed
}

async fn joined<T: Send + 'static>(thread: std::thread::JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(|| thread.join().unwrap())
        .await
        .unwrap()
}

async fn count(subject: &Subject<'_>) -> i64 {
    let mut connection = PgConnection::connect(subject.database).await.unwrap();

    sqlx::query_scalar(subject.events)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// A word of the command line such as `seconds=10`.
fn argument<T: FromStr>(name: &str, default: &str) -> Vec<T>
where
    T::Err: std::fmt::Debug,
{
    let given = std::env::args()
        .find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
    let text = given.unwrap_or_else(|| default.to_owned());

    text.split(',').map(|one| one.parse().unwrap()).collect()
}

/// The plain program at each rate.
async fn measure_plain(servers: &Servers, rates: &[f64], span: Duration) -> Vec<Times> {
    let cluster = Cluster::bare(&servers.urls).await;
    let plain = Plain::start(&cluster.broker, &cluster.database, &cluster.urls.redis).await;
    let subject = Subject {
        name: "a plain program".to_owned(),
        ingress: plain.ingress,
        gateway: None,
        database: &cluster.database,
        event: PLAIN_EVENT,
        events: PLAIN_EVENTS,
    };

    let mut times = Vec::new();
    for (run, rate) in rates.iter().enumerate() {
        times.push(measure(&subject, run, (*rate, span), None).await);
    }
    times
}

/// The service with a number of partitions at each rate.
async fn measure_service(
    servers: &Servers,
    partitions: u32,
    (rates, span): (&[f64], Duration),
    agents: usize,
    plain: &[Times],
) {
    let mut cluster = Cluster::bare(&servers.urls).await;
    cluster.set("POLICY__MISSED_DELAY_MS", "5000");
    cluster.set("POLICY__RERING_GAP_MS", "6000");
    cluster.set("INGRESS__TICK_MS", "1000");
    cluster.set("BROKER__PARTITIONS", &partitions.to_string());
    cluster.output_of(&["broker", "apply"]).await;
    let sites = rates.iter().copied().map(Sites::needed_for).max().unwrap();
    let service = cluster
        .start_with("all", "ingress,worker,gateway", &sites::settings(sites))
        .await;
    let subject = Subject {
        name: format!("partitions: {partitions}, agents: {agents}"),
        ingress: service.ingress,
        gateway: Some(service.gateway),
        database: &cluster.database,
        event: OUR_EVENT,
        events: OUR_EVENTS,
    };

    let gateway = service.gateway;
    in_own_thread(async move || {
        join_all((0..agents).map(|_| sites::receive_all(gateway))).await;
    });
    for (run, rate) in rates.iter().enumerate() {
        measure(&subject, run, (*rate, span), plain.get(run)).await;
    }

    service.stop().await;
}

#[tokio::main(flavor = "current_thread")]
async fn run() {
    let rates: Vec<f64> = argument("rates", "100,1000,3000");
    let span = Duration::from_secs(argument("seconds", "20")[0]);
    let partitions: Vec<u32> = argument("partitions", "1,4,16");
    let agents: usize = argument("agents", "0")[0];

    let servers = Servers::start(&[]).await;
    let plain = measure_plain(&servers, &rates, span).await;
    for partitions in partitions {
        measure_service(&servers, partitions, (&rates, span), agents, &plain).await;
    }
}

fn main() {
    if !plain::serve_if_asked() {
        run();
    }
}
