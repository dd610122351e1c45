//! Instants and spans of event time, in microseconds. The core reads no clock: every instant
//! arrives with a fact or a watermark. All arithmetic saturates.

use std::ops::{Add, Sub};

/// An instant: microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(pub i64);

/// A length of time in microseconds; negative when the end precedes the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl At {
    /// After every instant: the watermark of a finished input.
    pub const END: At = At(i64::MAX);
    /// Before every instant.
    pub const START: At = At(i64::MIN);
}

impl Span {
    pub const ZERO: Span = Span(0);

    #[must_use]
    pub const fn millis(millis: i64) -> Span {
        Span(millis.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn seconds(seconds: i64) -> Span {
        Span(seconds.saturating_mul(1_000_000))
    }

    #[must_use]
    pub fn abs(self) -> Span {
        Span(self.0.saturating_abs())
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for At {
    type Output = Span;

    fn sub(self, earlier: At) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for At {
    type Output = At;

    fn add(self, span: Span) -> At {
        At(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for At {
    type Output = At;

    fn sub(self, span: Span) -> At {
        At(self.0.saturating_sub(span.0))
    }
}
