//! Flow counters of one process: messages that entered, and messages that left by each way.
//!
//! Law: the entered messages are those that left and those that still wait. Any other sum means
//! that a message was lost or counted twice. All counts begin at zero with the process.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::domain::time::At;

/// Counts since the start of the process.
#[derive(Debug)]
pub struct FlowCounters {
    /// Messages that waited already when the process started.
    recovered: AtomicU64,
    events: AtomicU64,
    ticks: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    dead: AtomicU64,
    handed_over: AtomicU64,
    ticks_read: AtomicU64,
    /// The instant of the last settled message, or an instant before every waiting one.
    settled_until: AtomicI64,
    watermark: AtomicI64,
    /// The reason why the worker makes no progress at the moment.
    blocked_reason: Mutex<Option<String>>,
}

/// The settled messages of one batch, by their result.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCounts {
    /// New events.
    pub stored: u64,
    /// Events that the ledger had already.
    pub duplicates: u64,
    /// Messages that hold no fact.
    pub dead: u64,
    pub ticks: u64,
    /// The instant of the latest message.
    pub latest: Option<At>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSnapshot {
    pub accepted: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub settled_until: Option<At>,
    pub watermark: Option<At>,
    /// Entered messages minus settled and waiting ones. A value that stays non-zero means loss or
    /// double counting.
    pub imbalance: i64,
}

impl Default for FlowCounters {
    fn default() -> Self {
        let never = || AtomicI64::new(At::START.0);

        FlowCounters {
            recovered: AtomicU64::default(),
            events: AtomicU64::default(),
            ticks: AtomicU64::default(),
            stored: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            dead: AtomicU64::default(),
            handed_over: AtomicU64::default(),
            ticks_read: AtomicU64::default(),
            settled_until: never(),
            watermark: never(),
            blocked_reason: Mutex::default(),
        }
    }
}

impl FlowCounters {
    /// Counts messages that waited already when the process started.
    pub fn add_recovered(&self, messages: u64) {
        self.recovered.fetch_add(messages, Ordering::Relaxed);
    }

    /// Records that no waiting message is older than this instant.
    pub fn set_oldest_waiting(&self, at: At) {
        self.settled_until.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Records the reason why the worker makes no progress; `None` when it does.
    pub fn set_blocked(&self, reason: Option<String>) {
        *self.lock_blocked_reason() = reason;
    }

    pub fn blocked_reason(&self) -> Option<String> {
        self.lock_blocked_reason().clone()
    }

    /// Counts messages that became durable.
    pub fn add_accepted(&self, events: u64, ticks: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Counts the settled messages of a batch.
    pub fn add_batch(&self, settled: &BatchCounts) {
        self.stored.fetch_add(settled.stored, Ordering::Relaxed);
        self.duplicates
            .fetch_add(settled.duplicates, Ordering::Relaxed);
        self.dead.fetch_add(settled.dead, Ordering::Relaxed);
        self.ticks_read.fetch_add(settled.ticks, Ordering::Relaxed);

        if let Some(at) = settled.latest {
            self.settled_until.fetch_max(at.0, Ordering::Relaxed);
        }
    }

    /// Counts messages that the next stage, such as the broker, is responsible for now.
    pub fn add_handed_over(&self, messages: u64) {
        self.handed_over.fetch_add(messages, Ordering::Relaxed);
    }

    /// Clears the state of the partition, because another worker owns it now. Counts stay.
    pub fn reset_partition(&self) {
        self.watermark.store(At::START.0, Ordering::Relaxed);
        self.set_blocked(None);
    }

    pub fn advance_watermark(&self, at: At) {
        self.watermark.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Reads the counters, with the number of messages that still wait.
    #[must_use]
    pub fn snapshot(&self, waiting: u64) -> FlowSnapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let instant =
            |at: &AtomicI64| Some(At(at.load(Ordering::Relaxed))).filter(|at| *at != At::START);

        let stored = read(&self.stored);
        let duplicates = read(&self.duplicates);
        let dead = read(&self.dead);
        let entered = read(&self.recovered) + read(&self.events) + read(&self.ticks);
        let left = stored + duplicates + dead + read(&self.handed_over) + read(&self.ticks_read);

        FlowSnapshot {
            accepted: read(&self.events),
            stored,
            duplicates,
            dead,
            settled_until: instant(&self.settled_until),
            watermark: instant(&self.watermark),
            imbalance: entered.cast_signed() - (left + waiting).cast_signed(),
        }
    }

    fn lock_blocked_reason(&self) -> MutexGuard<'_, Option<String>> {
        self.blocked_reason.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_balance_until_an_event_is_missing() {
        let counters = FlowCounters::default();
        counters.add_recovered(3);
        counters.add_accepted(5, 2);
        assert_eq!(counters.snapshot(10).imbalance, 0);

        counters.add_batch(&BatchCounts {
            stored: 4,
            duplicates: 1,
            dead: 1,
            ticks: 2,
            latest: Some(At(7)),
        });
        assert_eq!(counters.snapshot(2).imbalance, 0);
        assert_eq!(
            counters.snapshot(1).imbalance,
            1,
            "one event is neither stored nor waiting"
        );

        let snapshot = counters.snapshot(2);
        assert_eq!(snapshot.accepted, 5);
        assert_eq!(snapshot.settled_until, Some(At(7)));
        assert_eq!(snapshot.watermark, None);
    }
}
