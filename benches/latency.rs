//! The latency at a steady rate, from a phone's request to the committed row and to the event in a
//! client's stream, and whether the service keeps up. One process with all roles, real servers,
//! phones and clients, all of it on one machine.
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

#[path = "support/process.rs"]
#[expect(dead_code, reason = "this benchmark reads processor time only")]
mod process;
#[path = "support/sites.rs"]
mod sites;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of the test support")]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sites::Sites;
use sqlx::{Connection, PgConnection};
use support::cluster::Cluster;
use support::http;
use support::servers::Servers;
use support::service::{Events, Service, event_id};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A probe that looks without a pause takes a core from the service.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const COMMITTED: &str = "
SELECT 1
FROM call_events
WHERE site = 'default' AND received_at >= $1 AND event_id = $2";

/// The time of each probe's request, by its caller's number.
type SentAt = Arc<Mutex<HashMap<String, Instant>>>;

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let millis = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;

    format!(
        "p50 {:>6.1} ms  p99 {:>6.1} ms  ({})",
        millis(50),
        millis(99),
        times.len()
    )
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
        until_committed(connection, event_id(&answer).parse().unwrap()).await;
        let took = began.elapsed();

        http::get(self.ingress, &format!("/gs/cti/hangup?{parameters}")).await;

        took
    }
}

async fn until_committed(connection: &mut PgConnection, id: uuid::Uuid) {
    // Ids tell their time; the margin covers the difference from the time of receipt.
    let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
    let since = i64::try_from(seconds).unwrap() * 1_000_000 + i64::from(nanos) / 1_000 - 100_000;

    loop {
        let row = sqlx::query(COMMITTED)
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

async fn measure(cluster: &Cluster, service: &Service, run: usize, rate: f64, span: Duration) {
    let sites = Sites::at_rate(rate, span);
    let sent_at = SentAt::default();
    let end = CancellationToken::new();
    let last = format!("+498999{run:02}0000");
    let stored_before = service.metric("cordboard_worker_stored_total").await;
    let before = process::cpu_seconds();

    let probe = Probe {
        ingress: service.ingress,
        run,
        sent_at: Arc::clone(&sent_at),
    };
    let probing = in_own_thread({
        let (database, end) = (cluster.database.clone(), end.clone());
        async move || probe.run(database, end).await
    });
    let watching = in_own_thread({
        let (gateway, last) = (service.gateway, last.clone());
        async move || watch(Events::open(gateway, None).await, sent_at, last).await
    });

    let answered = sites.play(service.ingress).await;
    let ended = Instant::now();
    end.cancel();
    let committed = tokio::task::spawn_blocking(|| probing.join().unwrap())
        .await
        .unwrap();
    let expected = stored_before
        + i64::try_from(answered.len()).unwrap()
        + 2 * i64::try_from(committed.len()).unwrap();
    service
        .until_metric("cordboard_worker_stored_total", |stored| stored >= expected)
        .await;
    let behind = ended.elapsed();

    let target = format!("/gs/cti/incoming?mac=000b84{run:06x}&local=99{run:03}&remote={last}");
    service.send(&target).await.unwrap();
    let shown = tokio::task::spawn_blocking(|| watching.join().unwrap())
        .await
        .unwrap();

    let used = process::per_10_000(&before, &process::cpu_seconds(), answered.len());
    println!("{rate:>6.0} events/s  answered   {}", percentiles(answered));
    println!("                 committed  {}", percentiles(committed));
    println!(
        "                 popup      {}   all stored {:.2} s after the last request",
        percentiles(shown),
        behind.as_secs_f64()
    );
    println!("                 processor seconds for 10,000 events: {used}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = |name: &str| {
        std::env::args()
            .find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    let rates: Vec<f64> = argument("rates")
        .unwrap_or_else(|| "100,500,1000,5000".to_owned())
        .split(',')
        .map(|rate| rate.parse().unwrap())
        .collect();
    let span = Duration::from_secs(argument("seconds").map_or(20, |text| text.parse().unwrap()));
    let agents = argument("agents").map_or(0, |text| text.parse().unwrap());

    let servers = Servers::start(&[]).await;
    let mut cluster = Cluster::bare(&servers.urls).await;
    cluster.set("POLICY__MISSED_DELAY_MS", "5000");
    cluster.set("POLICY__RERING_GAP_MS", "6000");
    cluster.set("INGRESS__TICK_MS", "1000");
    if let Some(partitions) = argument("partitions") {
        cluster.set("BROKER__PARTITIONS", &partitions);
    }
    cluster.output_of(&["broker", "apply"]).await;
    let sites = rates.iter().copied().map(Sites::needed_for).max().unwrap();
    let service = cluster
        .start_with("all", "ingress,worker,gateway", &sites::settings(sites))
        .await;

    let gateway = service.gateway;
    in_own_thread(async move || {
        join_all((0..agents).map(|_| sites::receive_all(gateway))).await;
    });
    for (run, rate) in rates.into_iter().enumerate() {
        measure(&cluster, &service, run, rate, span).await;
    }

    service.stop().await;
}
