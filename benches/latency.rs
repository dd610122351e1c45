//! How long it takes, at a steady rate, from a phone's request to the committed row and to the page
//! of the watchers; and whether the service keeps up. One process with all roles on real
//! servers, phones and watchers, all of it on one machine.
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

#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/sites.rs"]
mod sites;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sites::Sites;
use sqlx::{Connection, PgConnection};
use support::cluster::Cluster;
use support::servers::Servers;
use support::service::{Events, Service};

const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A watcher that looks without a pause takes a core from the service.
const LOOK_EVERY: Duration = Duration::from_micros(500);

fn percentiles(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let millis = |share: usize| all[(all.len() - 1) * share / 100].as_secs_f64() * 1e3;
    format!(
        "p50 {:>6.1} ms  p99 {:>6.1} ms  ({})",
        millis(50),
        millis(99),
        all.len()
    )
}

/// A phone of its own that no other part hears of: when it sent, by the number of who rings it.
type Sent = Arc<Mutex<HashMap<String, Instant>>>;

/// Rings in between, and looks until the fact is committed.
fn probe(
    phones: SocketAddr,
    database: &str,
    run: usize,
    sent: &Sent,
    over: &AtomicBool,
) -> Vec<Duration> {
    let mut took = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut connection = runtime.block_on(PgConnection::connect(database)).unwrap();
    let mut due = Instant::now();
    for number in 0.. {
        if over.load(Ordering::Acquire) {
            break;
        }
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        due += PROBE_EVERY;
        let remote = format!("+49897{run:02}{number:05}");
        let phone = format!(
            "mac=000b83{run:02}{:04x}&local=9{run}{number:05}&remote={remote}",
            number % 65_536
        );
        let began = Instant::now();
        sent.lock().unwrap().insert(remote.clone(), began);
        let (_, answer) = Service::get(phones, &format!("/gs/cti/incoming?{phone}"));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let id: uuid::Uuid = answer["event_id"].as_str().unwrap().parse().unwrap();
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        let since =
            i64::try_from(seconds).unwrap() * 1_000_000 + i64::from(nanos) / 1_000 - 100_000;
        let sql = "SELECT 1 FROM call_events WHERE site = 'default' AND received_at >= $1 AND event_id = $2";
        let mut is_committed = || {
            let found = sqlx::query(sql)
                .bind(since)
                .bind(id)
                .fetch_optional(&mut connection);
            runtime.block_on(found).unwrap().is_some()
        };
        while !is_committed() {
            std::thread::park_timeout(LOOK_EVERY);
        }
        took.push(began.elapsed());
        Service::get(phones, &format!("/gs/cti/hangup?{phone}"));
    }
    took
}

/// Watches as a page does, until the probes are over.
fn watch(mut events: Events, sent: &Sent, last: &str) -> Vec<Duration> {
    let mut took = Vec::new();
    loop {
        let event = events.until("call.started").1;
        let now = Instant::now();
        let remote = event["call"]["from"]["number"].as_str().unwrap_or_default();
        if remote == last {
            return took;
        }
        took.extend(sent.lock().unwrap().remove(remote).map(|began| now - began));
    }
}

fn measure(cluster: &Cluster, service: &Service, run: usize, rate: f64, span: Duration) {
    let sites = Sites::at_rate(rate, span);
    let (sent, over) = (Sent::default(), AtomicBool::new(false));
    let last = format!("+498999{run:02}0000");
    let stored_before = service.metric("cordboard_worker_stored_total");
    let (phones, events) = (service.phones, service.watch(None));
    let before = cpu::used();
    let (answered, committed, shown, behind) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(events, &sent, &last));
        let probing = scope.spawn(|| probe(phones, &cluster.database, run, &sent, &over));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answered = runtime.block_on(sites.play(phones));
        let ended = Instant::now();
        over.store(true, Ordering::Release);
        let committed = probing.join().unwrap();
        let all = stored_before
            + i64::try_from(answered.len()).unwrap()
            + 2 * i64::try_from(committed.len()).unwrap();
        while service.metric("cordboard_worker_stored_total") < all {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let behind = ended.elapsed();
        service
            .send(&format!(
                "/gs/cti/incoming?mac=000b84{run:06x}&local=99{run:03}&remote={last}"
            ))
            .unwrap();
        (answered, committed, watching.join().unwrap(), behind)
    });
    let used = cpu::between(&before, &cpu::used(), answered.len());
    println!("{rate:>6.0} events/s  answered   {}", percentiles(answered));
    println!("                 committed  {}", percentiles(committed));
    println!(
        "                 popup      {}   all stored {:.2} s after the last request",
        percentiles(shown),
        behind.as_secs_f64()
    );
    println!("                 processor seconds for 10,000 events: {used}");
}

fn main() {
    let asked = |name: &str| {
        std::env::args()
            .find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    let rates = asked("rates").unwrap_or_else(|| "100,500,1000,5000".to_owned());
    let span = Duration::from_secs(asked("seconds").map_or(20, |text| text.parse().unwrap()));
    let servers = Servers::start(&[]);
    let mut cluster = Cluster::on(&servers.urls);
    cluster.set("POLICY__MISSED_DELAY_MS", "5000");
    cluster.set("POLICY__RERING_GAP_MS", "6000");
    cluster.set("INGRESS__TICK_MS", "1000");
    let rates: Vec<f64> = rates.split(',').map(|rate| rate.parse().unwrap()).collect();
    let most = rates.iter().copied().map(Sites::at_most).max().unwrap();
    let service = cluster.start_with("all", "ingress,worker,gateway", &sites::settings(most));
    let agents = asked("agents").map_or(0, |text| text.parse().unwrap());
    let people = service.people;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(join_all((0..agents).map(|_| sites::hear(people))));
    });
    for (run, rate) in rates.into_iter().enumerate() {
        measure(&cluster, &service, run, rate, span);
    }
    service.stop();
}
