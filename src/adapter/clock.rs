//! The clocks of the machine: the only place that reads them.

use std::time::Instant;

use crate::domain::time::{At, Span};
use crate::port::clock::Clock;

#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn default() -> Self {
        SystemClock {
            began: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> At {
        At(jiff::Timestamp::now().as_microsecond())
    }

    fn steady(&self) -> Span {
        Span(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}
