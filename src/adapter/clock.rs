//! The clock of the machine: the only place that reads it.

use crate::domain::time::At;
use crate::port::clock::Clock;

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> At {
        At(jiff::Timestamp::now().as_microsecond())
    }
}
