//! The clocks of the machine. No other file reads them.

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
