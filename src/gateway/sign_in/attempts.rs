//! Attempts to sign in: after some wrong passwords for one name, or from one address, further ones are
//! refused for a while, whether right or not.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

use crate::domain::time::{At, Span};

/// Wrong passwords for one name.
pub(super) const OF_NAME_MAX: u32 = 10;
/// Wrong passwords from one address: a whole office may share it.
pub(super) const OF_ADDRESS_MAX: u32 = 100;
const WINDOW: Span = Span::seconds(15 * 60);
/// Names remembered, each of them one that an account may have; or addresses.
const NAMES_MAX: usize = 10_000;

/// The attempts of names, or of addresses.
pub(super) struct Attempts {
    failures_max: u32,
    names: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    since: At,
}

impl Attempts {
    pub(super) fn new(failures_max: u32) -> Attempts {
        Attempts {
            failures_max,
            names: Mutex::default(),
        }
    }

    /// Counts an attempt before its password is checked, so that attempts at the same time count too.
    /// False when there were too many.
    pub(super) fn begin(&self, name: &str, now: At) -> bool {
        let mut names = self.names.lock();
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

        attempts.count <= self.failures_max
    }

    /// The password was right.
    pub(super) fn succeeded(&self, name: &str) {
        self.names.lock().remove(name);
    }

    /// Takes an attempt back that was not made.
    pub(super) fn withdraw(&self, name: &str) {
        if let Some(attempts) = self.names.lock().get_mut(name) {
            attempts.count = attempts.count.saturating_sub(1);
        }
    }
}

/// The name of an address: a customer of a provider has a whole network of IPv6.
pub(super) fn name_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
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
        let attempts = Attempts::new(OF_NAME_MAX);
        let begin = At(0);

        for _ in 0..OF_NAME_MAX {
            assert!(attempts.begin("katrin", begin));
        }
        assert!(!attempts.begin("katrin", begin));
        assert!(attempts.begin("omar", begin));
        assert!(attempts.begin("katrin", begin + WINDOW));

        attempts.succeeded("katrin");
        for _ in 0..OF_NAME_MAX {
            assert!(attempts.begin("katrin", begin + WINDOW));
        }
        attempts.withdraw("katrin");
        assert!(attempts.begin("katrin", begin + WINDOW));
        assert!(!attempts.begin("katrin", begin + WINDOW));
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_together() {
        let name = |text: &str| name_of(text.parse().unwrap());

        assert_eq!(name("2001:db8:1:2::1"), name("2001:db8:1:2:ffff::7"));
        assert_ne!(name("2001:db8:1:2::1"), name("2001:db8:1:3::1"));
        assert_eq!(name("::ffff:192.0.2.7"), "192.0.2.7");
        assert_ne!(name("192.0.2.7"), name("192.0.2.8"));
    }

    #[test]
    fn invented_names_take_bounded_memory_and_displace_no_name_that_is_attacked() {
        let attempts = Attempts::new(OF_NAME_MAX);
        for _ in 0..=OF_NAME_MAX {
            attempts.begin("katrin", At(0));
        }
        for number in 0..NAMES_MAX + 10 {
            attempts.begin(&number.to_string(), At(1));
        }

        assert_eq!(attempts.names.lock().len(), NAMES_MAX);
        assert!(!attempts.begin("katrin", At(2)));
    }
}
