//! Attempts to sign in: after some wrong passwords of one name, further ones are refused for a while,
//! whether right or not.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::time::{At, Span};

const FAILURES_MAX: u32 = 10;
const WINDOW: Span = Span::seconds(15 * 60);
/// Names remembered, each of them one that an account may have.
const NAMES_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: At,
}

impl Attempts {
    /// Counts an attempt before its password is checked, so that attempts at the same time count too.
    /// False when there were too many.
    pub(super) fn begin(&self, name: &str, now: At) -> bool {
        let mut names = self.0.lock();
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            make_room(&mut names, now);
        }

        let attempts = names.entry(name.to_owned()).or_insert(Failures {
            count: 0,
            since: now,
        });
        if now - attempts.since >= WINDOW {
            *attempts = Failures {
                count: 0,
                since: now,
            };
        }
        attempts.count = attempts.count.saturating_add(1);

        attempts.count <= FAILURES_MAX
    }

    /// The password was right.
    pub(super) fn succeeded(&self, name: &str) {
        self.0.lock().remove(name);
    }

    /// Takes an attempt back that was not made.
    pub(super) fn withdraw(&self, name: &str) {
        if let Some(attempts) = self.0.lock().get_mut(name) {
            attempts.count = attempts.count.saturating_sub(1);
        }
    }
}

/// Forgets old names, else the one with the fewest attempts: invented names displace no name that is
/// attacked.
fn make_room(names: &mut HashMap<String, Failures>, now: At) {
    names.retain(|_, attempts| now - attempts.since < WINDOW);
    if names.len() < NAMES_MAX {
        return;
    }

    let least = names
        .iter()
        .min_by_key(|(_, attempts)| (attempts.count, attempts.since))
        .map(|(name, _)| name.clone());
    if let Some(least) = least {
        names.remove(&least);
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
            assert!(attempts.begin("katrin", begin));
        }
        assert!(!attempts.begin("katrin", begin));
        assert!(attempts.begin("omar", begin));
        assert!(attempts.begin("katrin", begin + WINDOW));

        attempts.succeeded("katrin");
        for _ in 0..FAILURES_MAX {
            assert!(attempts.begin("katrin", begin + WINDOW));
        }
        attempts.withdraw("katrin");
        assert!(attempts.begin("katrin", begin + WINDOW));
        assert!(!attempts.begin("katrin", begin + WINDOW));
    }

    #[test]
    fn invented_names_take_bounded_memory_and_displace_no_name_that_is_attacked() {
        let attempts = Attempts::default();
        for _ in 0..=FAILURES_MAX {
            attempts.begin("katrin", At(0));
        }
        for number in 0..NAMES_MAX + 10 {
            attempts.begin(&number.to_string(), At(1));
        }

        assert_eq!(attempts.0.lock().len(), NAMES_MAX);
        assert!(!attempts.begin("katrin", At(2)));
    }
}
