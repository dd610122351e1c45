//! The clocks of the machine. No other file reads them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::domain::time::{At, Span};
use crate::port::clock::Clock;

/// The wall clock of the machine, and its monotonic clock since the start.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the machine's clocks"
    )]
    fn default() -> Self {
        SystemClock {
            started: Instant::now(),
        }
    }
}

/// The clock of the machine, set right by one that several machines share: what one of them decides by
/// time is the same for all.
#[derive(Debug, Default)]
pub struct FollowingClock {
    machine: SystemClock,
    /// The clock that is followed, less that of the machine, in microseconds.
    ahead: AtomicI64,
}

impl FollowingClock {
    /// Follows a reading that was asked for and answered between two readings of this clock's
    /// [`FollowingClock::steady`]. Returns the correction.
    pub fn follow(&self, common: At, asked: Span) -> Span {
        let half = Span((self.steady().0 - asked.0) / 2);
        let ahead = common + half - self.machine.now();

        self.ahead.store(ahead.0, Ordering::Relaxed);
        ahead
    }
}

impl Clock for FollowingClock {
    fn now(&self) -> At {
        self.machine.now() + Span(self.ahead.load(Ordering::Relaxed))
    }

    fn steady(&self) -> Span {
        self.machine.steady()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the machine's clocks"
    )]
    fn now(&self) -> At {
        At(jiff::Timestamp::now().as_microsecond())
    }

    fn steady(&self) -> Span {
        Span(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_follows_another_has_its_time() {
        let clock = FollowingClock::default();
        let before = clock.now();
        let hour = Span::seconds(3_600);

        let ahead = clock.follow(before + hour, clock.steady());
        let error = Span::seconds(60);
        assert!((ahead.0 - hour.0).abs() < error.0);
        assert!(clock.now() >= before + hour - error);
        clock.follow(before - hour, clock.steady());
        assert!(clock.now() < before);
    }
}
