//! Request rates by name, far above any legal phone: they stop floods, never a busy day.
//!
//! Guarantees: memory holds at most two generations of [`GENERATION_NAMES_MAX`] names, whatever
//! names arrive. The cost of a request is constant on average, because each name is moved or
//! dropped at most once per generation. A name that was used within the last
//! [`GENERATION_NAMES_MAX`] distinct names keeps its count, so that a flood of random names never
//! evicts a busy one. An evicted name begins again with a full burst.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::time::{At, Span};

/// Names of one generation.
const GENERATION_NAMES_MAX: usize = 20_000;
/// One request, in the unit of [`Usage::used`]: a rate per second is then a rate per microsecond.
const REQUEST: i64 = 1_000_000;

/// A rate limit for each name: `burst` requests at once, and `per_second` after that.
#[derive(Debug)]
pub struct RateLimit<Name> {
    rate: Rate,
    generation_names_max: usize,
    /// Names used since the last rotation.
    young: HashMap<Name, Usage>,
    /// Names of the generation before, not used since. The next rotation drops them.
    old: HashMap<Name, Usage>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: i64,
    /// Millionths of a request.
    burst: i64,
}

/// The requests of one name that the rate has not drained yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    /// Millionths of a request, at the instant of `counted_at`.
    used: i64,
    counted_at: At,
}

impl<Name: Eq + Hash> RateLimit<Name> {
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> RateLimit<Name> {
        RateLimit {
            rate: Rate {
                per_second: i64::from(per_second),
                burst: i64::from(burst) * REQUEST,
            },
            generation_names_max: GENERATION_NAMES_MAX,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// Counts one request of this name. Returns whether it is within the limit.
    pub fn admit(&mut self, name: Name, now: At) -> bool {
        if let Some(usage) = self.young.get_mut(&name) {
            return usage.admit(self.rate, now);
        }

        let mut usage = self.old.remove(&name).unwrap_or(Usage {
            used: 0,
            counted_at: now,
        });
        let admitted = usage.admit(self.rate, now);
        if self.young.len() >= self.generation_names_max {
            self.rotate();
        }
        self.young.insert(name, usage);

        admitted
    }

    /// Drops the old generation and begins a young one in its memory.
    fn rotate(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
    }
}

impl Usage {
    fn admit(&mut self, rate: Rate, now: At) -> bool {
        self.used = drained(self.used, now - self.counted_at, rate.per_second);
        self.counted_at = now;
        if self.used + REQUEST > rate.burst {
            return false;
        }

        self.used += REQUEST;
        true
    }
}

fn drained(used: i64, passed: Span, per_second: i64) -> i64 {
    (used - passed.0.max(0).saturating_mul(per_second)).max(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
    fn a_busy_name_keeps_its_count_in_a_flood_of_random_names() {
        let mut limit = RateLimit::new(20, 60);
        let admitted = (0..3 * GENERATION_NAMES_MAX)
            .filter(|name| {
                limit.admit(*name + 1, At(0));
                limit.admit(0, At(0))
            })
            .count();

        assert_eq!(admitted, 60);
    }

    #[test]
    fn memory_is_flat_whatever_names_come() {
        let mut limit = RateLimit::new(20, 60);
        let mut flood = |names: std::ops::Range<usize>| {
            for name in names {
                limit.admit(name, At(0));
                assert!(limit.young.len() + limit.old.len() <= 2 * GENERATION_NAMES_MAX);
            }
            limit.young.capacity() + limit.old.capacity()
        };

        let capacity = flood(0..2 * GENERATION_NAMES_MAX);
        assert_eq!(flood(2 * GENERATION_NAMES_MAX..200_000), capacity);
    }

    proptest::proptest! {
        #[test]
        fn a_name_within_the_last_generation_of_names_keeps_its_count(
            names in proptest::collection::vec(0..20_u8, 0..300),
            generation in 1..8_usize,
        ) {
            let mut limit = RateLimit::new(1, 100);
            limit.generation_names_max = generation;

            for (index, name) in names.iter().enumerate() {
                limit.admit(*name, At(0));
                proptest::prop_assert!(limit.young.len() + limit.old.len() <= 2 * generation);

                let stored = limit.young.iter().chain(&limit.old);
                let used: HashMap<u8, i64> =
                    stored.map(|(name, usage)| (*name, usage.used / REQUEST)).collect();
                let recent = recent_names(&names[..=index], generation);
                for name in &recent {
                    let uses = uses_while_recent(&names[..=index], *name, generation);
                    proptest::prop_assert!(used.get(name).is_some_and(|used| *used >= uses));
                }
            }
        }
    }

    /// The last distinct names, at most `most` of them.
    fn recent_names(names: &[u8], most: usize) -> HashSet<u8> {
        let mut recent = HashSet::new();
        for name in names.iter().rev() {
            if recent.len() == most {
                break;
            }
            recent.insert(*name);
        }
        recent
    }

    /// The uses of a name since it was last outside the recent names.
    fn uses_while_recent(names: &[u8], name: u8, most: usize) -> i64 {
        let mut uses = 0;
        let mut others = HashSet::new();
        for used in names.iter().rev() {
            if *used == name {
                uses += 1;
                others.clear();
            } else {
                others.insert(*used);
            }
            if others.len() >= most {
                break;
            }
        }
        uses
    }
}
