//! The clocks of the machine. No other file reads them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

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

/// A clock that several machines share, as it was read last, and the machine's monotonic time since:
/// what one of them decides by time is the same for all, also when its own wall clock is set. Before the
/// first reading it is the wall clock of the machine.
#[derive(Debug)]
pub struct FollowingClock {
    machine: SystemClock,
    /// The clock that is followed, less the monotonic time, in microseconds.
    base: AtomicI64,
    first_reading: CancellationToken,
}

/// No clock was read.
const NO_BASE: i64 = i64::MIN;

impl Default for FollowingClock {
    fn default() -> FollowingClock {
        FollowingClock {
            machine: SystemClock::default(),
            base: AtomicI64::new(NO_BASE),
            first_reading: CancellationToken::new(),
        }
    }
}

impl FollowingClock {
    /// Follows a reading that was asked for and answered between two readings of this clock's
    /// [`FollowingClock::steady`]. Returns how far it is ahead of the wall clock of the machine.
    pub fn follow(&self, common: At, asked: Span) -> Span {
        let answered = self.steady();
        let half = Span((answered.0 - asked.0) / 2);
        let now = common + half;

        let base = now.0.saturating_sub(answered.0).max(NO_BASE + 1);
        self.base.store(base, Ordering::Relaxed);
        self.first_reading.cancel();
        now - self.machine.now()
    }

    /// Cancelled once the clock was read.
    #[must_use]
    pub fn first_reading(&self) -> CancellationToken {
        self.first_reading.clone()
    }
}

impl Clock for FollowingClock {
    fn now(&self) -> At {
        match self.base.load(Ordering::Relaxed) {
            NO_BASE => self.machine.now(),
            base => At(base) + self.steady(),
        }
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
