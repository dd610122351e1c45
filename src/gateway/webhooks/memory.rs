//! The memory of a dispatcher beside the database: its place in time, and the accounts that have
//! tested a receiver.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::time::At;

/// An account tests a receiver at most this often: an answer shows what listens at an address.
const TEST_EVERY: Duration = Duration::from_secs(5);
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The memory of one process.
pub(super) struct Memory {
    /// The start of the process.
    pub(super) since: At,
    /// One task of the process makes messages at a time: the hold in the database is that of the
    /// process.
    pub(super) making: tokio::sync::Mutex<()>,
    /// Messages before this instant are of a backlog; all are while there still is one.
    caught_up: Mutex<Option<At>>,
    /// When each account may test a receiver again.
    tests: Mutex<HashMap<String, Instant>>,
    /// When a failure of the database was reported last.
    reported: Mutex<Option<Instant>>,
}

impl Memory {
    pub(super) fn new(now: At) -> Memory {
        Memory {
            since: now,
            making: tokio::sync::Mutex::default(),
            caught_up: Mutex::default(),
            tests: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    /// Remembers since when messages come as their events happen; `next` is later than all so far.
    pub(super) fn note_backlog(&self, has_more: bool, next: At) {
        let mut caught_up = self.caught_up.lock();

        *caught_up = match *caught_up {
            _ if has_more => None,
            None => Some(next),
            since => since,
        };
    }

    /// Since when messages come as their events happen; `None` while there is a backlog.
    pub(super) fn caught_up(&self) -> Option<At> {
        *self.caught_up.lock()
    }

    /// Whether a failure of the database is reported: each round has one while it is away.
    pub(super) fn may_report(&self) -> bool {
        let mut reported = self.reported.lock();
        let is_due = reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if is_due {
            *reported = Some(Instant::now());
        }

        is_due
    }

    /// Whether an account may test a receiver now.
    pub(super) fn may_test(&self, account: &str) -> bool {
        let now = Instant::now();
        let mut tests = self.tests.lock();
        tests.retain(|_, next| *next > now);
        if tests.contains_key(account) {
            return false;
        }

        tests.insert(account.to_owned(), now + TEST_EVERY);
        true
    }
}
