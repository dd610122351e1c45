//! The books: what came in, and what became of it. They balance, or something was lost.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::time::At;

/// Counts since the start of the process.
#[derive(Debug)]
pub struct Books {
    /// Messages that waited already when the process started.
    found: AtomicU64,
    events: AtomicU64,
    ticks: AtomicU64,
    stored: AtomicU64,
    known: AtomicU64,
    dead: AtomicU64,
    passed: AtomicU64,
    ticks_read: AtomicU64,
    /// The instant of the last message that is done with, or before which none waits.
    settled_up_to: AtomicI64,
    watermark: AtomicI64,
    /// Why the worker cannot go on at the moment.
    stuck: Mutex<Option<String>>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settled {
    /// Events that were new.
    pub stored: u64,
    /// Events that the ledger had already.
    pub known: u64,
    /// Messages that hold no fact.
    pub dead: u64,
    pub ticks: u64,
    /// The instant of the latest message.
    pub up_to: Option<At>,
}

/// The books at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub accepted: u64,
    pub stored: u64,
    pub known: u64,
    pub dead: u64,
    pub settled_up_to: Option<At>,
    pub watermark: Option<At>,
    /// Everything that came in, less what is done with and what still waits. Not zero for long:
    /// something was lost, or counted twice.
    pub surplus: i64,
}

impl Default for Books {
    fn default() -> Self {
        let never = || AtomicI64::new(At::START.0);
        let (found, events, ticks, stored, known, dead, passed, ticks_read) = Default::default();
        Books {
            found,
            events,
            ticks,
            stored,
            known,
            dead,
            passed,
            ticks_read,
            settled_up_to: never(),
            watermark: never(),
            stuck: Mutex::default(),
        }
    }
}

impl Books {
    pub fn found(&self, messages: u64) {
        self.found.fetch_add(messages, Ordering::Relaxed);
    }

    /// Nothing that waits is older than this.
    pub fn waits_since(&self, at: At) {
        self.settled_up_to.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Why the worker cannot go on, or that it can.
    pub fn stuck(&self, why: Option<String>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub fn trouble(&self) -> Option<String> {
        self.stuck
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// These became durable.
    pub fn kept(&self, events: u64, ticks: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

    pub fn settled(&self, settled: &Settled) {
        self.stored.fetch_add(settled.stored, Ordering::Relaxed);
        self.known.fetch_add(settled.known, Ordering::Relaxed);
        self.dead.fetch_add(settled.dead, Ordering::Relaxed);
        self.ticks_read.fetch_add(settled.ticks, Ordering::Relaxed);
        if let Some(at) = settled.up_to {
            self.settled_up_to.fetch_max(at.0, Ordering::Relaxed);
        }
    }

    /// So many messages are in other hands now.
    pub fn passed(&self, messages: u64) {
        self.passed.fetch_add(messages, Ordering::Relaxed);
    }

    /// Somebody else looks after it now.
    pub fn gave_up(&self) {
        self.watermark.store(At::START.0, Ordering::Relaxed);
        self.stuck(None);
    }

    pub fn watermark(&self, at: At) {
        self.watermark.fetch_max(at.0, Ordering::Relaxed);
    }

    /// The books, with so many messages waiting.
    #[must_use]
    pub fn account(&self, waiting: u64) -> Account {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let instant =
            |at: &AtomicI64| Some(At(at.load(Ordering::Relaxed))).filter(|at| *at != At::START);
        let (stored, known, dead) = (read(&self.stored), read(&self.known), read(&self.dead));
        let came = read(&self.found) + read(&self.events) + read(&self.ticks);
        let went = stored + known + dead + read(&self.passed) + read(&self.ticks_read) + waiting;
        Account {
            accepted: read(&self.events),
            stored,
            known,
            dead,
            settled_up_to: instant(&self.settled_up_to),
            watermark: instant(&self.watermark),
            surplus: came.cast_signed() - went.cast_signed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_until_something_is_missing() {
        let books = Books::default();
        books.found(3);
        books.kept(5, 2);
        assert_eq!(books.account(10).surplus, 0);
        books.settled(&Settled {
            stored: 4,
            known: 1,
            dead: 1,
            ticks: 2,
            up_to: Some(At(7)),
        });
        assert_eq!(books.account(2).surplus, 0);
        assert_eq!(
            books.account(1).surplus,
            1,
            "one event is neither stored nor waiting"
        );
        assert_eq!(
            (
                books.account(2).accepted,
                books.account(2).settled_up_to,
                books.account(2).watermark
            ),
            (5, Some(At(7)), None)
        );
    }
}
