//! Receipt: every accepted request gets an instant and an id, once. Instants of one ingress never go back, whatever the clock does.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::fact::EventId;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;

pub struct Stamp {
    clock: Arc<dyn Clock>,
    last: Mutex<At>,
}

impl Stamp {
    /// Goes on after the last instant that was given before.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, last: At) -> Stamp {
        Stamp { clock, last: Mutex::new(last) }
    }

    /// The instant and the id of a request that is received now.
    pub fn receive(&self) -> (At, EventId) {
        let at = self.next_instant();
        let seconds = u64::try_from(at.0.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(at.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        (at, EventId(uuid::Uuid::new_v7(timestamp).as_u128()))
    }

    /// An instant at or before which nothing will be received any more.
    pub fn promise(&self) -> At {
        self.next_instant()
    }

    fn next_instant(&self) -> At {
        let now = self.clock.now();
        // Somebody panicked while holding it: the instant itself is still whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = now.max(*last + Span(1));
        *last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> At {
            At(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn instants_never_go_back_and_ids_are_of_their_time() {
        let clock = Arc::new(Hand(AtomicI64::new(5_000_000)));
        let stamp = Stamp::new(clock.clone(), At(4_000_000));
        let (first, id) = stamp.receive();
        clock.0.store(1_000_000, Ordering::Relaxed);
        let (second, other) = stamp.receive();
        assert_eq!((first, second), (At(5_000_000), At(5_000_001)));
        assert_ne!(id, other);
        let version = uuid::Uuid::from_u128(id.0).get_version_num();
        assert_eq!((version, id.0 >> 80), (7, 5_000));
        assert!(stamp.promise() > second);
    }
}
