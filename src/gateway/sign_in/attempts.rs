//! Failed passwords: after some of one name, further ones are refused for a while, whether right
//! or not.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::time::{At, Span};

const FAILURES_MAX: u32 = 10;
const WINDOW: Span = Span::seconds(15 * 60);
/// Names remembered. Beyond it the oldest are forgotten: an attacker who invents names learns
/// nothing about an account of which he knows the name.
const NAMES_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: At,
}

impl Attempts {
    pub(super) fn is_blocked(&self, name: &str, now: At) -> bool {
        self.0
            .lock()
            .get(name)
            .is_some_and(|failures| failures.count >= FAILURES_MAX && now - failures.since < WINDOW)
    }

    pub(super) fn failed(&self, name: &str, now: At) {
        let mut names = self.0.lock();
        if names.len() >= NAMES_MAX {
            names.retain(|_, failures| now - failures.since < WINDOW);
        }
        if names.len() >= NAMES_MAX
            && let Some(oldest) = names
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(name, _)| name.clone())
        {
            names.remove(&oldest);
        }

        let failures = names.entry(name.to_owned()).or_insert(Failures {
            count: 0,
            since: now,
        });
        if now - failures.since >= WINDOW {
            *failures = Failures {
                count: 0,
                since: now,
            };
        }
        failures.count += 1;
    }

    pub(super) fn succeeded(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_blocked_after_ten_failures_for_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let begin = At(0);

        for _ in 0..FAILURES_MAX {
            assert!(!attempts.is_blocked("katrin", begin));
            attempts.failed("katrin", begin);
        }
        assert!(attempts.is_blocked("katrin", begin));
        assert!(!attempts.is_blocked("omar", begin));
        assert!(!attempts.is_blocked("katrin", begin + WINDOW));

        attempts.failed("katrin", begin + WINDOW);
        assert!(!attempts.is_blocked("katrin", begin + WINDOW));
    }

    #[test]
    fn invented_names_take_bounded_memory() {
        let attempts = Attempts::default();
        for number in 0..NAMES_MAX + 10 {
            attempts.failed(&number.to_string(), At(0));
        }

        assert_eq!(attempts.0.lock().len(), NAMES_MAX);
    }
}
