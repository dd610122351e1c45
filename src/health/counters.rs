//! The books: what came in, and what became of it. They balance, or something was lost.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// The instant of the last message that is done with, or before which none waits.
    settled_until: AtomicI64,
    watermark: AtomicI64,
    /// Why the worker cannot go on at the moment.
    blocked_reason: Mutex<Option<String>>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCounts {
    /// Events that were new.
    pub stored: u64,
    /// Events that the ledger had already.
    pub duplicates: u64,
    /// Messages that hold no fact.
    pub dead: u64,
    pub ticks: u64,
    /// The instant of the latest message.
    pub latest: Option<At>,
}

/// The books at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSnapshot {
    pub accepted: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub settled_until: Option<At>,
    pub watermark: Option<At>,
    /// Everything that came in, less what is done with and what still waits. Not zero for long:
    /// something was lost, or counted twice.
    pub imbalance: i64,
}

impl Default for FlowCounters {
    fn default() -> Self {
        let never = || AtomicI64::new(At::START.0);
        let (found, events, ticks, stored, known, dead, passed, ticks_read) = Default::default();
        FlowCounters {
            recovered: found,
            events,
            ticks,
            stored,
            duplicates: known,
            dead,
            handed_over: passed,
            ticks_read,
            settled_until: never(),
            watermark: never(),
            blocked_reason: Mutex::default(),
        }
    }
}

impl FlowCounters {
    pub fn add_recovered(&self, messages: u64) {
        self.recovered.fetch_add(messages, Ordering::Relaxed);
    }

    /// Nothing that waits is older than this.
    pub fn set_oldest_waiting(&self, at: At) {
        self.settled_until.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Why the worker cannot go on, or that it can.
    pub fn set_blocked(&self, why: Option<String>) {
        *self
            .blocked_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub fn blocked_reason(&self) -> Option<String> {
        self.blocked_reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// These became durable.
    pub fn add_accepted(&self, events: u64, ticks: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

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

    /// So many messages are in other hands now.
    pub fn add_handed_over(&self, messages: u64) {
        self.handed_over.fetch_add(messages, Ordering::Relaxed);
    }

    /// Somebody else looks after it now.
    pub fn release(&self) {
        self.watermark.store(At::START.0, Ordering::Relaxed);
        self.set_blocked(None);
    }

    pub fn advance_watermark(&self, at: At) {
        self.watermark.fetch_max(at.0, Ordering::Relaxed);
    }

    /// The books, with so many messages waiting.
    #[must_use]
    pub fn snapshot(&self, waiting: u64) -> FlowSnapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let instant =
            |at: &AtomicI64| Some(At(at.load(Ordering::Relaxed))).filter(|at| *at != At::START);
        let (stored, known, dead) = (read(&self.stored), read(&self.duplicates), read(&self.dead));
        let came = read(&self.recovered) + read(&self.events) + read(&self.ticks);
        let went =
            stored + known + dead + read(&self.handed_over) + read(&self.ticks_read) + waiting;
        FlowSnapshot {
            accepted: read(&self.events),
            stored,
            duplicates: known,
            dead,
            settled_until: instant(&self.settled_until),
            watermark: instant(&self.watermark),
            imbalance: came.cast_signed() - went.cast_signed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_until_something_is_missing() {
        let books = FlowCounters::default();
        books.add_recovered(3);
        books.add_accepted(5, 2);
        assert_eq!(books.snapshot(10).imbalance, 0);
        books.add_batch(&BatchCounts {
            stored: 4,
            duplicates: 1,
            dead: 1,
            ticks: 2,
            latest: Some(At(7)),
        });
        assert_eq!(books.snapshot(2).imbalance, 0);
        assert_eq!(
            books.snapshot(1).imbalance,
            1,
            "one event is neither stored nor waiting"
        );
        assert_eq!(
            (
                books.snapshot(2).accepted,
                books.snapshot(2).settled_until,
                books.snapshot(2).watermark
            ),
            (5, Some(At(7)), None)
        );
    }
}
