//! The window of believable instants: from years before the receiver's clock to a small step ahead
//! of it. An instant outside comes from a clock that is wrong, or from a forger; a rule that
//! followed it would let years pass in a second.

use std::fmt;

use super::time::{At, Span};

/// No bound.
const UNBOUNDED: Span = Span(i64::MAX);

/// The bounds of the window, relative to the receiver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    pub past_max: Span,
    pub ahead_max: Span,
}

/// Why an instant is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideWindow {
    Past(Span),
    Ahead(Span),
}

impl TimeWindow {
    /// Every instant is believed, for histories that are read without a clock.
    pub const ALL: TimeWindow = TimeWindow {
        past_max: UNBOUNDED,
        ahead_max: UNBOUNDED,
    };

    /// Checks an instant against the receiver's clock.
    ///
    /// # Errors
    /// When the instant is outside the window.
    pub fn check(self, at: At, now: At) -> Result<(), OutsideWindow> {
        if at > self.last(now) {
            Err(OutsideWindow::Ahead(at - now))
        } else if at < self.first(now) {
            Err(OutsideWindow::Past(now - at))
        } else {
            Ok(())
        }
    }

    /// The first instant of the window.
    #[must_use]
    pub fn first(self, now: At) -> At {
        match self.past_max {
            UNBOUNDED => At::START,
            past_max => now - past_max,
        }
    }

    /// The last instant of the window.
    #[must_use]
    pub fn last(self, now: At) -> At {
        match self.ahead_max {
            UNBOUNDED => At::END,
            ahead_max => now + ahead_max,
        }
    }
}

impl fmt::Display for OutsideWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (span, place) = match self {
            OutsideWindow::Past(span) => (span, "before"),
            OutsideWindow::Ahead(span) => (span, "ahead of"),
        };
        let seconds = span.0 / 1_000_000;

        write!(
            f,
            "its instant is {seconds} s {place} the clock of this machine"
        )
    }
}

impl std::error::Error for OutsideWindow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instants_between_the_bounds_are_believed() {
        let window = TimeWindow {
            past_max: Span::seconds(100),
            ahead_max: Span::seconds(5),
        };
        let now = At(1_000_000_000);

        assert_eq!(window.check(now, now), Ok(()));
        assert_eq!(window.check(now + Span::seconds(5), now), Ok(()));
        assert_eq!(window.check(now - Span::seconds(100), now), Ok(()));
        let ahead = window.check(now + Span(5_000_001), now);
        assert_eq!(ahead, Err(OutsideWindow::Ahead(Span(5_000_001))));
        let past = window.check(now - Span(100_000_001), now);
        assert_eq!(past, Err(OutsideWindow::Past(Span(100_000_001))));
    }

    #[test]
    fn extreme_instants_neither_overflow_nor_pass() {
        let window = TimeWindow {
            past_max: Span::seconds(100),
            ahead_max: Span::seconds(5),
        };

        for at in [At::START, At(i64::MIN + 1), At(i64::MAX - 3), At::END] {
            assert!(window.check(at, At(0)).is_err(), "{at:?}");
            assert!(TimeWindow::ALL.check(at, At(0)).is_ok(), "{at:?}");
        }
    }
}
