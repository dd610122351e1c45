//! What a dispatcher keeps in mind beside the database: receivers that failed last, its place in
//! time, and who has tested a receiver.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::time::At;

/// The first and the longest rest of a receiver that fails.
const REST_FIRST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_mins(5);
/// An account tests a receiver at most this often: an answer shows what listens at an address.
const TEST_EVERY: Duration = Duration::from_secs(5);

/// The memory of one process.
pub(super) struct Memory {
    /// The start of the process.
    pub(super) since: At,
    /// Receivers that failed last.
    resting: Mutex<HashMap<String, Rest>>,
    /// The instant of the last message.
    last_message: AtomicI64,
    /// Messages before this instant are of a backlog; all are while there still is one.
    caught_up: Mutex<Option<At>>,
    /// When each account may test a receiver again.
    tests: Mutex<HashMap<String, Instant>>,
}

/// A receiver that failed last, and its rest.
struct Rest {
    failing_since: At,
    until: Instant,
    length: Duration,
}

impl Memory {
    pub(super) fn new(now: At) -> Memory {
        Memory {
            since: now,
            resting: Mutex::default(),
            last_message: AtomicI64::new(i64::MIN),
            caught_up: Mutex::default(),
            tests: Mutex::default(),
        }
    }

    /// The first of as many instants, each later than those before it: messages are in their order.
    pub(super) fn reserve_instants(&self, count: usize, now: At) -> At {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let reserve = |last: i64| Some(now.0.max(last.saturating_add(1)).saturating_add(count));
        let last = self
            .last_message
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .unwrap_or_default();

        At(now.0.max(last.saturating_add(1)))
    }

    /// Remembers since when messages come as their events happen.
    pub(super) fn note_backlog(&self, has_more: bool, now: At) {
        let next = self.reserve_instants(0, now);
        let mut caught_up = self.caught_up.lock();

        *caught_up = match *caught_up {
            _ if has_more => None,
            None => Some(next),
            since => since,
        };
    }

    /// Since when messages have come while the receiver failed; `None` when it works, and while
    /// there is a backlog.
    pub(super) fn in_vain_since(&self, webhook: &str) -> Option<At> {
        let caught_up = (*self.caught_up.lock())?;
        let resting = self.resting.lock();
        let failing_since = resting.get(webhook)?.failing_since;

        Some(failing_since.max(caught_up))
    }

    pub(super) fn rests(&self, webhook: &str) -> bool {
        let resting = self.resting.lock();

        resting
            .get(webhook)
            .is_some_and(|rest| rest.until > Instant::now())
    }

    /// Begins a rest after a failure: each is longer than the one before.
    pub(super) fn rest(&self, webhook: &str, now: At) {
        let mut resting = self.resting.lock();
        let before = resting.get(webhook);
        let length = before.map_or(REST_FIRST, |rest| (rest.length * 2).min(REST_MAX));
        let rest = Rest {
            failing_since: before.map_or(now, |rest| rest.failing_since),
            until: Instant::now() + length,
            length,
        };

        resting.insert(webhook.to_owned(), rest);
    }

    /// Ends the rest of a receiver: it works, or a person wants to see what it answers.
    pub(super) fn wake(&self, webhook: &str) {
        self.resting.lock().remove(webhook);
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
