//! The core: facts per second of the incremental form, and the memory of an open call.
//!
//! `cargo bench --bench core`

mod support {
    pub mod traffic;
}

use std::sync::Arc;

use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::domain::{Replay, Timeline};
use divan::Bencher;
use divan::counter::ItemsCount;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const FACTS: usize = 200_000;
/// Facts that fill the site before the measurement.
const WARM_UP: usize = 100_000;
const OPEN_CALLS: [u64; 3] = [10, 300, 3_000];

fn main() {
    for open_calls in OPEN_CALLS {
        memory_of(open_calls);
    }
    divan::main();
}

fn timeline() -> Timeline {
    Timeline::new(Site::default(), Arc::new(Policy::default()))
}

/// Applies batches as the worker does; the watermark follows a second behind.
fn feed(timeline: &mut Timeline, facts: &[Fact], batch: usize) -> usize {
    let mut changes = 0;

    for batch in facts.chunks(batch) {
        let watermark = batch
            .first()
            .map_or(At::START, |fact| fact.at - Span::seconds(1));
        let delta = timeline.apply(batch.to_vec(), watermark);
        changes += delta.notices.len() + delta.finished.len() + delta.changed.len();
    }

    changes
}

fn incremental(bencher: Bencher<'_, '_>, open_calls: u64, batch: usize) {
    let facts = support::traffic::facts(open_calls, FACTS);
    let (before, measured) = facts.split_at(WARM_UP);

    bencher
        .counter(ItemsCount::new(measured.len()))
        .with_inputs(|| {
            let mut timeline = timeline();
            feed(&mut timeline, before, 256);
            timeline
        })
        .bench_local_values(|mut timeline| {
            let changes = feed(&mut timeline, measured, batch);
            (changes, timeline)
        });
}

/// The incremental form with all results that the worker uses: records of all changed calls,
/// notices, snapshots.
#[divan::bench(args = OPEN_CALLS, sample_count = 10, sample_size = 1)]
fn timeline_in_batches_of_256(bencher: Bencher<'_, '_>, open_calls: u64) {
    incremental(bencher, open_calls, 256);
}

/// The same when load is low: one fact, one batch.
#[divan::bench(args = OPEN_CALLS, sample_count = 10, sample_size = 1)]
fn timeline_fact_by_fact(bencher: Bencher<'_, '_>, open_calls: u64) {
    incremental(bencher, open_calls, 1);
}

/// Two ingresses, one a fifth of a second behind the other: nearly every batch brings facts from
/// before the one before it.
#[divan::bench(args = OPEN_CALLS, sample_count = 3, sample_size = 1)]
fn timeline_with_two_ingresses(bencher: Bencher<'_, '_>, open_calls: u64) {
    let mut facts = support::traffic::facts(open_calls, FACTS / 5).to_vec();
    facts.sort_by_key(|fact| {
        (
            fact.at + Span::millis(if fact.id.0 % 2 == 0 { 200 } else { 0 }),
            fact.id,
        )
    });

    bencher
        .counter(ItemsCount::new(facts.len()))
        .bench_local(|| feed(&mut timeline(), &facts, 256));
}

/// The fold alone, as `reconstruct` runs it: final records only.
#[divan::bench(args = OPEN_CALLS, sample_count = 10, sample_size = 1)]
fn replay(bencher: Bencher<'_, '_>, open_calls: u64) {
    let facts = support::traffic::facts(open_calls, FACTS);

    bencher
        .counter(ItemsCount::new(facts.len()))
        .bench_local(|| {
            let mut replay = Replay::new(Site::default(), Arc::new(Policy::default()));
            let mut finished = 0;

            for (index, fact) in facts.iter().enumerate() {
                replay.step(fact);
                if index % 256 == 0 {
                    finished += replay.advance(fact.at - Span(1)).len();
                }
            }

            finished + replay.advance(At::END).len()
        });
}

/// Prints the numbers of open and of held calls when the site is warm, and their memory.
#[expect(
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]
fn memory_of(open_calls: u64) {
    let facts = support::traffic::facts(open_calls, WARM_UP);
    let mut timeline = timeline();
    feed(&mut timeline, &facts, 256);
    let open = timeline
        .open_calls()
        .iter()
        .filter(|record| record.ended_at.is_none())
        .count();

    let resident = resident_bytes();
    let copies: Vec<Timeline> = (0..4)
        .map(|_| {
            let mut timeline = self::timeline();
            feed(&mut timeline, &facts, 256);
            timeline
        })
        .collect();
    let grown = resident_bytes().saturating_sub(resident) / copies.len();

    println!(
        "asked for {open_calls} open calls: {open} open, {} held; {} KiB a site, {} bytes an open call",
        timeline.calls_held(),
        grown / 1024,
        grown / open.max(1)
    );
}

/// Resident memory of this process, from the kernel's own account.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);

    pages * 4096
}
