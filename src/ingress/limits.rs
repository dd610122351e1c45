//! Limits far above any legal phone: they stop floods, never a busy day.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::time::{At, Span};

/// Names whose rate is remembered at once. When there are more, those that have been quiet are
/// forgotten.
const NAMES_MAX: usize = 20_000;

/// A rate for each name: so many at once, so many per second after that.
#[derive(Debug)]
pub struct RateLimit<Name> {
    per_second: i64,
    burst: i64,
    /// How much each name has used, in millionths of a request, and when that was counted.
    used: HashMap<Name, (i64, At)>,
}

const ONE: i64 = 1_000_000;

impl<Name: Eq + Hash> RateLimit<Name> {
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> RateLimit<Name> {
        RateLimit {
            per_second: i64::from(per_second),
            burst: i64::from(burst) * ONE,
            used: HashMap::new(),
        }
    }

    /// Counts one request of this name. Says whether it is within the limit.
    pub fn admit(&mut self, name: Name, now: At) -> bool {
        if self.used.len() >= NAMES_MAX {
            self.forget_quiet(now);
        }
        let per_second = self.per_second;
        let (used, counted) = self.used.entry(name).or_insert((0, now));
        *used = drained(*used, now - *counted, per_second);
        *counted = now;
        if *used + ONE > self.burst {
            return false;
        }
        *used += ONE;
        true
    }

    fn forget_quiet(&mut self, now: At) {
        let per_second = self.per_second;
        self.used
            .retain(|_, (used, counted)| drained(*used, now - *counted, per_second) > 0);
        if self.used.len() >= NAMES_MAX {
            self.used.clear();
        }
    }
}

fn drained(used: i64, passed: Span, per_second: i64) -> i64 {
    (used - passed.0.max(0).saturating_mul(per_second)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut limit = RateLimit::new(20, 60);
        let at = |millis: i64| At(0) + Span::millis(millis);
        assert_eq!((0..100).filter(|_| limit.admit("a", at(0))).count(), 60);
        assert_eq!((0..100).filter(|_| limit.admit("a", at(1_000))).count(), 20);
        assert!(limit.admit("b", at(1_000)), "others are not held back");
        assert_eq!(
            (0..100).filter(|_| limit.admit("a", at(60_000))).count(),
            60
        );
    }

    #[test]
    fn memory_is_bounded_whatever_names_come() {
        let mut limit = RateLimit::new(20, 60);
        for name in 0..3 * NAMES_MAX {
            limit.admit(name, At(0));
        }
        assert!(limit.used.len() <= NAMES_MAX);
    }
}
