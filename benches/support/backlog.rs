//! A backlog of many busy sites: made, published, worked off.

use std::time::{Duration, Instant};

use cordboard::adapter::journal::{Journal, JournalBacklog, JournalTail, Limits};
use cordboard::adapter::rabbit::{Layout, Publisher};
use cordboard::domain::time::Span;
use cordboard::health::HealthCheck;
use cordboard::port::intake::Backlog;
use cordboard::simulate::Fleet;
use cordboard::wire::message::Message;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::cpu;
use super::support;
use super::support::cluster::Cluster;

const SITES: usize = 100;
const APART_US: i64 = 5 * 3_600_000_000;
const PHONES: u64 = 300;
/// Of a site: as many as leaves most of its phones free.
const CALLS_PER_SECOND: f64 = 1.5;
/// As a cluster of the tests has it.
pub const LAYOUT: Layout = Layout {
    generation: 1,
    partitions: 4,
};

/// Requests of many sites in the order of their receipt, with a promise every second, as an ingress
/// writes them into its journal. Runs are so far apart that nothing of one goes on in the next.
pub fn traffic(run: usize, events: usize) -> Vec<Vec<u8>> {
    let span =
        Duration::from_secs_f64(60.0 + events as f64 / (SITES as f64 * CALLS_PER_SECOND * 5.0));
    let mut all = Vec::new();
    let later = i64::try_from(run).unwrap() * APART_US;
    for site in 0..SITES {
        let fleet = Fleet {
            seed: (run * SITES + site) as u64 + 1,
            phones: PHONES,
            calls_per_second: CALLS_PER_SECOND,
            duration: span,
        };
        let mut messages = support::fleet::messages(&fleet);
        // One ingress serves all of them, and promises once.
        messages.retain(|message| site == 0 || matches!(message, Message::Report(_)));
        for message in &mut messages {
            match message {
                Message::Report(envelope) => {
                    envelope.at += later;
                    envelope.site = format!("site-{site}");
                    envelope.id = uuid::Uuid::from_u128(
                        envelope.id.as_u128() ^ ((site as u128) << 40) ^ ((run as u128) << 48),
                    );
                }
                Message::Tick(tick) => tick.at = tick.at + Span(later),
            }
        }
        all.extend(messages);
    }
    all.sort_by_key(Message::at);
    all.truncate(place_after(&all, events));
    all.iter().map(Message::encode).collect()
}

/// How many messages hold so many reports.
fn place_after(messages: &[Message], events: usize) -> usize {
    let reports = messages.iter().scan(0, |reports, message| {
        *reports += usize::from(matches!(message, Message::Report(_)));
        Some(*reports)
    });
    reports.take_while(|reports| *reports <= events).count()
}

async fn fill(journal: &Journal, messages: &[Vec<u8>]) {
    for some in messages.chunks(4_096) {
        for kept in join_all(some.iter().map(|message| journal.append(message.clone()))).await {
            kept.unwrap();
        }
    }
}

/// The journal to the queues, confirmed.
pub async fn publish(broker: &str, layout: Layout, messages: &[Vec<u8>]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(
        folder.path(),
        Limits {
            segment_bytes: 64 << 20,
            total_bytes: 4 << 30,
            kept: Duration::ZERO,
        },
    )
    .unwrap();
    fill(&journal, messages).await;
    let backlog = JournalBacklog::new(&journal);
    let publisher = Publisher::new(
        broker.parse().unwrap(),
        layout,
        JournalTail::new(&journal).unwrap(),
        HealthCheck::pending("publisher"),
    );
    let stop = CancellationToken::new();
    let began = Instant::now();
    let publishing = tokio::spawn(publisher.run(stop.clone(), stop.clone()));
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    while backlog.depth() > 0 {
        looks.tick().await;
    }
    let took = began.elapsed();
    stop.cancel();
    publishing.await.unwrap();
    took
}

/// A worker that works off what waits: how long it took, and the memory it had at most, in MiB.
pub fn drain(cluster: &Cluster, events: usize) -> (Duration, i64) {
    let before = cpu::used();
    let began = Instant::now();
    let worker = cluster.start("worker", "worker");
    let mut stored = 0;
    while stored < events {
        // Each look counts what is in the tables: about when it will be done, or the looks would be
        // measured.
        let rest = began
            .elapsed()
            .mul_f64((events - stored) as f64 / stored.max(1) as f64);
        std::thread::park_timeout(
            rest.mul_f64(0.8)
                .clamp(Duration::from_millis(20), Duration::from_secs(1)),
        );
        stored = usize::try_from(worker.metric("cordboard_worker_stored_total")).unwrap();
    }
    let took = began.elapsed();
    println!(
        "processor seconds for 10,000 events: {}",
        cpu::between(&before, &cpu::used(), events)
    );
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", worker.pid().as_raw_nonzero())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    worker.stop();
    (took, peak / 1_024)
}
