//! The backlog of many busy sites: its messages, their way to the broker, and a worker that drains
//! the queues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::journal::{Journal, JournalBacklog, JournalTail, Limits};
use cordboard::adapter::rabbit::RabbitBroker;
use cordboard::domain::fact::Site;
use cordboard::domain::time::{At, Span};
use cordboard::health::HealthCheck;
use cordboard::ingress::Shipper;
use cordboard::port::intake::JournalDepth;
use cordboard::simulate::Fleet;
use cordboard::wire::message::Message;
use cordboard::wire::partition::Layout;
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::process;
use super::support;
use super::support::cluster::Cluster;

const SITES: usize = 100;
const RUNS_APART_US: i64 = 5 * 3_600_000_000;
const PHONES: u64 = 300;
/// Calls of one site: at this rate most of its phones are free.
const CALLS_PER_SECOND: f64 = 1.5;
/// Messages that wait for the disk together while the journal is filled.
const APPENDS: usize = 4_096;
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The layout of a cluster of the tests.
pub const LAYOUT: Layout = Layout {
    generation: 1,
    partitions: 4,
};

/// Requests of many sites in the order of their receipt, with a tick every second, as an ingress
/// writes them into its journal. The runs are so far apart that no call lasts into the next one.
pub fn traffic(run: usize, events: usize) -> Vec<Vec<u8>> {
    let span =
        Duration::from_secs_f64(60.0 + events as f64 / (SITES as f64 * CALLS_PER_SECOND * 5.0));
    let shift = i64::try_from(run).unwrap() * RUNS_APART_US;

    let mut messages: Vec<Message> = (0..SITES)
        .flat_map(|site| {
            let of_site = support::fleet::messages(&Fleet {
                seed: (run * SITES + site) as u64 + 1,
                phones: PHONES,
                calls_per_second: CALLS_PER_SECOND,
                duration: span,
            });

            // One ingress serves all sites, so only one site brings ticks.
            of_site
                .into_iter()
                .filter(move |message| site == 0 || matches!(message, Message::Event(_)))
                .map(move |message| moved(message, site, shift))
        })
        .collect();
    messages.sort_by_key(Message::at);
    messages.truncate(place_after(&messages, events));

    messages.iter().map(Message::encode).collect()
}

/// The message of a site and a run: with its own site, id and time.
fn moved(message: Message, site: usize, shift: i64) -> Message {
    match message {
        Message::Event(mut envelope) => {
            // Its number within the traffic of its site.
            let number = u32::try_from(envelope.id.as_u128() >> 40 & 0x3f_ffff).unwrap();
            envelope.at += shift;
            envelope.site = format!("site-{site}");
            let site = Site::parse(&envelope.site).unwrap();
            let id = support::fleet::id(number, &site, At(envelope.at));
            envelope.id = uuid::Uuid::from_u128(id.0);
            Message::Event(envelope)
        }
        Message::Tick(mut tick) => {
            tick.at = tick.at + Span(shift);
            Message::Tick(tick)
        }
    }
}

/// The number of messages up to the report with this number.
fn place_after(messages: &[Message], reports_max: usize) -> usize {
    let reports = messages.iter().scan(0, |reports, message| {
        *reports += usize::from(matches!(message, Message::Event(_)));
        Some(*reports)
    });

    reports
        .take_while(|reports| *reports <= reports_max)
        .count()
}

async fn fill(journal: &Journal, messages: &[Vec<u8>]) {
    for group in messages.chunks(APPENDS) {
        let appends = group.iter().map(|message| journal.append(message.clone()));
        for appended in join_all(appends).await {
            appended.unwrap();
        }
    }
}

/// Ships a journal with these messages to the queues; returns the time until all are confirmed.
pub async fn publish(broker: &str, layout: Layout, messages: &[Vec<u8>]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        segment_bytes: 64 << 20,
        total_bytes: 4 << 30,
        retention: Duration::ZERO,
    };
    let (journal, _) = Journal::open(folder.path(), limits).unwrap();
    fill(&journal, messages).await;

    let backlog = JournalBacklog::new(&journal);
    let clock = Arc::new(SystemClock::default());
    let shipper = Shipper::new(
        Box::new(JournalTail::new(&journal).unwrap()),
        Arc::new(RabbitBroker::new(broker.parse().unwrap(), layout, clock)),
        HealthCheck::pending("shipper"),
    );
    let stop = CancellationToken::new();
    let mut looks = interval(LOOK_EVERY);

    let began = Instant::now();
    let shipping = tokio::spawn(shipper.run(stop.clone(), stop.clone()));
    while backlog.depth() > 0 {
        looks.tick().await;
    }
    let took = began.elapsed();

    stop.cancel();
    shipping.await.unwrap();

    took
}

/// Starts a worker that drains the queues; returns its time and its peak memory in MiB.
pub async fn drain(cluster: &Cluster, events: usize) -> (Duration, i64) {
    let before = process::cpu_seconds();
    let began = Instant::now();
    let worker = cluster.start("worker", "worker").await;

    let mut stored = 0;
    while stored < events {
        // The metrics are asked for about when the drain will be done: a look costs the worker
        // time.
        let rest = began
            .elapsed()
            .mul_f64((events - stored) as f64 / stored.max(1) as f64)
            .mul_f64(0.8)
            .clamp(Duration::from_millis(20), Duration::from_secs(1));
        let mut look = interval(rest);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        look.tick().await;

        let metric = worker.metric("cordboard_worker_stored_total").await;
        stored = usize::try_from(metric).unwrap();
    }

    let took = began.elapsed();
    println!(
        "processor seconds for 10,000 events: {}",
        process::per_10_000(&before, &process::cpu_seconds(), events)
    );
    let peak = process::memory_mib(&worker, "VmHWM");
    worker.stop().await;

    (took, peak)
}
