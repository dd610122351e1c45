//! Receipt: every accepted request gets an instant and an id, once.
//!
//! Guarantees: instants of one ingress never go back, unless its clock was so far ahead that workers
//! would not believe them any more. A tick is always earlier than every request that is not durable
//! yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::fact::EventId;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::wire::message::IngressId;

/// While the clock is behind, instants advance slower than time by one part in this many.
const SLOWDOWN: i64 = 10;

/// Issues the instants and ids of one ingress.
pub struct Stamp {
    /// The ingress of these instants; the default where there is only one.
    pub ingress: IngressId,
    clock: Arc<dyn Clock>,
    /// Instants further ahead of the clock are believed by no worker.
    ahead_max: Span,
    issued: Mutex<Issued>,
}

#[derive(Debug)]
struct Issued {
    last: At,
    /// The instant of `last` by the steady clock, which no administrator can set.
    last_steady: Span,
    /// Instants of requests that are not durable yet.
    pending: BTreeSet<At>,
}

/// A request that is being made durable. Until it is dropped, every tick is earlier.
pub struct Receipt<'s> {
    stamp: &'s Stamp,
    pub at: At,
    pub id: EventId,
}

impl Stamp {
    /// Issues instants after `last`, the latest one of earlier runs.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, last: At) -> Stamp {
        let last_steady = clock.steady();

        Stamp {
            ingress: IngressId::default(),
            clock,
            ahead_max: Span(i64::MAX),
            issued: Mutex::new(Issued {
                last,
                last_steady,
                pending: BTreeSet::new(),
            }),
        }
    }

    /// Names the ingress, where there are several.
    #[must_use]
    pub fn with_ingress(self, ingress: IngressId) -> Stamp {
        Stamp { ingress, ..self }
    }

    /// Limits instants to this far ahead of the clock.
    #[must_use]
    pub fn with_ahead_max(self, ahead_max: Span) -> Stamp {
        Stamp { ahead_max, ..self }
    }

    /// Issues the instant and the id of a request that is received now.
    pub fn receive(&self) -> Receipt<'_> {
        let mut issued = self.issued.lock();
        let at = self.advance(&mut issued);
        issued.pending.insert(at);
        drop(issued);

        let seconds = u64::try_from(at.0.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(at.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);

        Receipt {
            stamp: self,
            at,
            id: EventId(uuid::Uuid::new_v7(timestamp).as_u128()),
        }
    }

    /// Issues the promise that no request at or before this instant will become durable any more.
    pub fn tick_instant(&self) -> At {
        let mut issued = self.issued.lock();

        match issued.pending.first() {
            Some(first) => *first - Span(1),
            None => self.advance(&mut issued),
        }
    }

    /// Advances to the next instant, which is the clock's. A clock behind the last instant was set
    /// back: instants then advance from there, a little slower than time passes, so that spans stay
    /// nearly right and the clock catches up. From too far ahead they go back to the clock.
    fn advance(&self, issued: &mut Issued) -> At {
        let now = self.clock.now();
        let steady = self.clock.steady();
        let passed = (steady.0 - issued.last_steady.0).max(0);
        let continued = issued.last + Span((passed - passed / SLOWDOWN).max(1));

        if continued > now + self.ahead_max {
            tracing::error!(
                seconds = (continued - now).0 / 1_000_000,
                "the clock of this machine was ahead: events get its instant again, and those \
                 before have instants that workers do not believe"
            );
            issued.last = now;
        } else {
            issued.last = now.max(continued);
        }
        issued.last_steady = steady;

        issued.last
    }
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        self.stamp.issued.lock().pending.remove(&self.at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A wall clock and a steady clock that tests set, in microseconds.
    struct ManualClock {
        wall: AtomicI64,
        steady: AtomicI64,
    }

    impl ManualClock {
        fn new(wall: i64) -> Arc<ManualClock> {
            Arc::new(ManualClock {
                wall: AtomicI64::new(wall),
                steady: AtomicI64::new(0),
            })
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> At {
            At(self.wall.load(Ordering::Relaxed))
        }

        fn steady(&self) -> Span {
            Span(self.steady.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn after_a_clock_was_set_back_time_goes_on_and_the_clock_catches_up() {
        let clock = ManualClock::new(3_600_000_000);
        let stamp = Stamp::new(clock.clone(), At(0));
        let first = stamp.receive().at;
        clock.wall.store(0, Ordering::Relaxed);
        let pass = |seconds: i64| {
            let micros = seconds * 1_000_000;
            clock.wall.fetch_add(micros, Ordering::Relaxed);
            clock.steady.fetch_add(micros, Ordering::Relaxed);
            stamp.receive().at
        };

        assert_eq!(pass(10), first + Span::seconds(9));
        let late = pass(36_000);
        assert_eq!(late, At(36_010 * 1_000_000), "it has caught up");
        assert_eq!(pass(10), late + Span::seconds(10));
    }

    #[test]
    fn a_clock_that_was_too_far_ahead_is_followed_back() {
        let clock = ManualClock::new(365 * 86_400 * 1_000_000);
        let stamp = Stamp::new(clock.clone(), At(0)).with_ahead_max(Span::seconds(300));
        let ahead = stamp.receive().at;

        clock.wall.store(ahead.0 - 200_000_000, Ordering::Relaxed);
        assert!(stamp.receive().at > ahead, "a small step");
        clock.wall.store(1_000_000, Ordering::Relaxed);
        assert_eq!(stamp.receive().at, At(1_000_000), "a year");
        assert_eq!(stamp.receive().at, At(1_000_001));

        // Also over a restart.
        let stamp = Stamp::new(clock, ahead).with_ahead_max(Span::seconds(300));
        assert_eq!(stamp.receive().at, At(1_000_000));
    }

    #[test]
    fn instants_never_go_back_and_ids_are_of_their_time() {
        let clock = ManualClock::new(5_000_000);
        let stamp = Stamp::new(clock.clone(), At(4_000_000));
        let first = stamp.receive();
        clock.wall.store(1_000_000, Ordering::Relaxed);
        let second = stamp.receive();

        assert_eq!(first.at, At(5_000_000));
        assert_eq!(second.at, At(5_000_001));
        assert_ne!(first.id, second.id);
        assert_eq!(uuid::Uuid::from_u128(first.id.0).get_version_num(), 7);
        assert_eq!(first.id.0 >> 80, 5_000);
    }

    #[test]
    fn no_promise_goes_beyond_a_request_that_is_not_durable() {
        let stamp = Stamp::new(ManualClock::new(5_000_000), At(0));
        let first = stamp.receive();
        let second = stamp.receive();

        assert_eq!(stamp.tick_instant(), first.at - Span(1));
        drop(first);
        assert_eq!(stamp.tick_instant(), second.at - Span(1));

        let last = second.at;
        drop(second);
        assert!(stamp.tick_instant() > last);
        assert!(stamp.receive().at > stamp.tick_instant() - Span(2));
    }
}
