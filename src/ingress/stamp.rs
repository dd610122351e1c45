//! Receipt: every accepted request gets an instant and an id, once. Instants of one ingress never
//! go back, whatever the clock does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::fact::EventId;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::wire::message::IngressId;

/// While the clock is behind, of so much time one part is left out.
const SLOWER: i64 = 10;

pub struct Stamp {
    /// Whose instants they are; nobody's where there is only one ingress.
    pub ingress: IngressId,
    clock: Arc<dyn Clock>,
    given: Mutex<Given>,
}

#[derive(Debug)]
struct Given {
    last: At,
    /// When it was given, by a clock that nobody can set.
    last_steady: Span,
    /// Instants of requests that are not durable yet.
    under_way: BTreeSet<At>,
}

/// A request that is being made durable. Until it is dropped, no promise goes beyond its instant.
pub struct Receipt<'s> {
    stamp: &'s Stamp,
    pub at: At,
    pub id: EventId,
}

impl Stamp {
    /// Goes on after the last instant that was given before.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, last: At) -> Stamp {
        let last_steady = clock.steady();
        Stamp {
            ingress: IngressId::default(),
            clock,
            given: Mutex::new(Given {
                last,
                last_steady,
                under_way: BTreeSet::new(),
            }),
        }
    }

    #[must_use]
    pub fn of(self, ingress: IngressId) -> Stamp {
        Stamp { ingress, ..self }
    }

    /// The instant and the id of a request that is received now.
    pub fn receive(&self) -> Receipt<'_> {
        let mut given = self.given();
        let at = next(&mut given, &*self.clock);
        given.under_way.insert(at);
        let seconds = u64::try_from(at.0.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(at.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Receipt {
            stamp: self,
            at,
            id: EventId(uuid::Uuid::new_v7(timestamp).as_u128()),
        }
    }

    /// An instant at or before which nothing will become durable any more.
    pub fn promise(&self) -> At {
        let mut given = self.given();
        match given.under_way.first() {
            Some(first) => *first - Span(1),
            None => next(&mut given, &*self.clock),
        }
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        // Somebody panicked while holding it: the instants themselves are still whole.
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next instant: what the clock shows. A clock behind the last instant was set back: then time
/// goes on from there, a little slower than it passes, so that spans stay what they are and the
/// clock catches up.
fn next(given: &mut Given, clock: &dyn Clock) -> At {
    let (now, steady) = (clock.now(), clock.steady());
    let passed = (steady.0 - given.last_steady.0).max(0);
    given.last = now.max(given.last + Span((passed - passed / SLOWER).max(1)));
    given.last_steady = steady;
    given.last
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        self.stamp.given().under_way.remove(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// What the clock on the wall shows, and what the steady one does.
    struct Hand(AtomicI64, AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> At {
            At(self.0.load(Ordering::Relaxed))
        }

        fn steady(&self) -> Span {
            Span(self.1.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn after_a_clock_was_set_back_time_goes_on_and_the_clock_catches_up() {
        let clock = Arc::new(Hand(AtomicI64::new(3_600_000_000), AtomicI64::new(0)));
        let stamp = Stamp::new(clock.clone(), At(0));
        let first = stamp.receive().at;
        clock.0.store(0, Ordering::Relaxed);
        let pass = |seconds: i64| {
            clock.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
            clock.1.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
            stamp.receive().at
        };
        assert_eq!(pass(10), first + Span::seconds(9));
        let late = pass(36_000);
        assert_eq!(late, At(36_010 * 1_000_000), "it has caught up");
        assert_eq!(pass(10), late + Span::seconds(10));
    }

    #[test]
    fn instants_never_go_back_and_ids_are_of_their_time() {
        let clock = Arc::new(Hand(AtomicI64::new(5_000_000), AtomicI64::new(0)));
        let stamp = Stamp::new(clock.clone(), At(4_000_000));
        let first = stamp.receive();
        clock.0.store(1_000_000, Ordering::Relaxed);
        let second = stamp.receive();
        assert_eq!((first.at, second.at), (At(5_000_000), At(5_000_001)));
        assert_ne!(first.id, second.id);
        let version = uuid::Uuid::from_u128(first.id.0).get_version_num();
        assert_eq!((version, first.id.0 >> 80), (7, 5_000));
    }

    #[test]
    fn no_promise_goes_beyond_a_request_that_is_not_durable() {
        let stamp = Stamp::new(
            Arc::new(Hand(AtomicI64::new(5_000_000), AtomicI64::new(0))),
            At(0),
        );
        let first = stamp.receive();
        let second = stamp.receive();
        assert_eq!(stamp.promise(), first.at - Span(1));
        drop(first);
        assert_eq!(stamp.promise(), second.at - Span(1));
        let last = second.at;
        drop(second);
        assert!(stamp.promise() > last);
        assert!(stamp.receive().at > stamp.promise() - Span(2));
    }
}
