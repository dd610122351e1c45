//! Names and lifetimes of the Redis keys. Other programs read them, so their names and meanings
//! never change. `docs/redis.md` describes each of them; a test below compares the two.

use crate::domain::fact::Site;
use crate::port::live::CacheKey;
use crate::port::states::StateName;

/// A ring without another report counts as over after this long.
pub(super) const RING_SECONDS: i64 = 300;
pub(super) const HOUR_SECONDS: i64 = 3_600;
/// Longer than any call: keys of a call expire even if its end is never published.
pub(super) const CALL_SECONDS: i64 = 4 * HOUR_SECONDS + RING_SECONDS;
/// How long the record of a closed call stays available.
pub(super) const CLOSED_CALL_SECONDS: i64 = 300;
pub(super) const TRANSFER_SECONDS: i64 = 120;
pub(super) const STREAM_SECONDS: i64 = 25 * HOUR_SECONDS;
pub(super) const STREAM_ENTRIES: u32 = 100_000;
/// Another gateway moves pending events if the one that did so has stopped.
pub(super) const STREAM_MOVER_SECONDS: i64 = 30;
/// Lifetime of the marker that all calls of a partition are published. Its owner renews it.
pub(super) const PARTITION_MARKER_SECONDS: i64 = 15;
/// Heartbeats arrive every minute; half a minute of grace.
pub(super) const SESSION_SECONDS: i64 = 90;
/// States of other programs' calls are found without the database for as long as calls last.
pub(super) const STATE_SECONDS: i64 = 4 * HOUR_SECONDS;
/// Lists change when a new phone reports.
const LIST_SECONDS: i64 = HOUR_SECONDS;
/// The agent of an extension is changed by hand.
const LOOKUP_SECONDS: i64 = 24 * HOUR_SECONDS;

/// Builds keys with a common prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys(pub String);

impl Keys {
    /// Returns the keys of a site. The default site has no name in its keys.
    pub(super) fn of_site(&self, site: &Site) -> Keys {
        if *site == Site::default() {
            self.clone()
        } else {
            Keys(format!("{}{}:", self.0, site.as_str()))
        }
    }

    fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// All calls of a partition are published while this marker exists.
    pub(super) fn partition_marker(&self, partition: &str) -> String {
        self.prefixed(&format!("calls:shown:{partition}"))
    }

    /// Open calls of a partition, by their beginning.
    pub(super) fn live_calls(&self, partition: &str) -> String {
        self.prefixed(&format!("calls:live:{partition}"))
    }

    /// Open calls of a site.
    pub(super) fn active_calls(&self) -> String {
        self.prefixed("active_calls")
    }

    /// The whole record of a call.
    pub(super) fn record(&self, call: &str) -> String {
        self.prefixed(&format!("calls:record:{call}"))
    }

    /// The open call of an outside number.
    pub(super) fn active(&self, remote: &str) -> String {
        self.prefixed(&format!("calls:active:{remote}"))
    }

    /// A phone has reported a call with this number.
    pub(super) fn device_reported(&self, device: &str, remote: &str) -> String {
        self.prefixed(&format!("calls:device_reported:{device}:{remote}"))
    }

    pub(super) fn ring(&self, call: &str) -> String {
        self.prefixed(&format!("calls:ring:{call}"))
    }

    pub(super) fn ring_remote(&self, remote: &str) -> String {
        self.prefixed(&format!("calls:ring_remote:{remote}"))
    }

    pub(super) fn direction(&self, call: &str) -> String {
        self.prefixed(&format!("call:direction:{call}"))
    }

    /// The call that a transfer came from.
    pub(super) fn parent(&self, call: &str) -> String {
        self.prefixed(&format!("calls:relationship:{call}_parent"))
    }

    /// The earlier call of a party that calls again.
    pub(super) fn repeat(&self, call: &str) -> String {
        self.prefixed(&format!("calls:relationship:{call}_repeat"))
    }

    /// The earlier call that is called back.
    pub(super) fn callback(&self, call: &str) -> String {
        self.prefixed(&format!("calls:relationship:{call}_callback"))
    }

    /// Due instants of pending missed decisions.
    pub(super) fn missed_schedule(&self) -> String {
        self.prefixed("calls:missed:schedule")
    }

    /// Calls with a pending missed decision, in their order.
    pub(super) fn missed_queue(&self) -> String {
        self.prefixed("calls:missed:queue")
    }

    /// Fingerprints of conversations that may continue at another phone.
    pub(super) fn transfers(&self) -> String {
        self.prefixed("calls:transfers")
    }

    /// The latest fingerprint of a number.
    pub(super) fn transfer(&self, remote: &str) -> String {
        self.prefixed(&format!("calls:transfer:{remote}"))
    }

    pub(super) fn transfer_context(&self, transfer: &str) -> String {
        self.prefixed(&format!("transfer:context:{transfer}"))
    }

    pub(super) fn transfer_by_call(&self, call: &str) -> String {
        self.prefixed(&format!("transfer:by_call_sid:{call}"))
    }

    /// The channel of a transfer's events.
    pub(super) fn transfer_events(&self, transfer: &str) -> String {
        self.prefixed(&format!("transfer:events:{transfer}"))
    }

    /// The event log of a site and a day in UTC.
    pub(super) fn stream(&self, site: &str, day: &str) -> String {
        self.prefixed(&format!("call-events:provider:{site}:{day}"))
    }

    /// The gateway that moves pending events at the moment.
    pub(super) fn stream_mover(&self) -> String {
        self.prefixed("call-events:mover")
    }

    /// The sites to whose logs programs have added events.
    pub(super) fn stream_sites(&self) -> String {
        self.prefixed("call-events:sites")
    }

    pub(super) fn session(&self, user: &str) -> String {
        self.prefixed(&format!("agents:session:{user}"))
    }

    pub(super) fn state(&self, state: &StateName) -> String {
        self.prefixed(&match state {
            StateName::Call(call) => format!("call:state:{call}"),
            StateName::Session(session) => format!("call:session:{session}"),
        })
    }

    /// Returns the key of a cached answer, and its lifetime in seconds.
    pub(super) fn cached(&self, answer: CacheKey<'_>) -> (String, i64) {
        let (key, ttl_seconds) = match answer {
            CacheKey::Devices { site } => (format!("dropdown:devices:{site}"), LIST_SECONDS),
            CacheKey::Extensions { site } => (format!("dropdown:extensions:{site}"), LIST_SECONDS),
            CacheKey::Extension { site, extension } => (
                format!("masterlookup:extension:{site}:{extension}"),
                LOOKUP_SECONDS,
            ),
            CacheKey::Agents { site } => (format!("dropdown:agents:{site}"), LIST_SECONDS),
            CacheKey::Agent { site, extension } => (
                format!("masterlookup:agent:{site}:{extension}"),
                LOOKUP_SECONDS,
            ),
            CacheKey::Departments { site } => {
                (format!("dropdown:departments:{site}"), LIST_SECONDS)
            }
            CacheKey::Department { site, number } => (
                format!("masterlookup:department:{site}:{number}"),
                LOOKUP_SECONDS,
            ),
            CacheKey::Caller { site, number } => {
                (format!("masterlookup:caller:{site}:{number}"), LIST_SECONDS)
            }
        };

        (self.prefixed(&key), ttl_seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    const SOURCE: &str = include_str!("keys.rs");
    const DOCUMENT: &str = include_str!("../../../docs/redis.md");

    /// Key patterns of this file: all string literals with a colon, except the format strings that
    /// only join a prefix.
    fn patterns() -> BTreeSet<&'static str> {
        let code = SOURCE.split("#[cfg(test)]").next().unwrap_or_default();

        code.split('"')
            .skip(1)
            .step_by(2)
            .filter(|literal| literal.contains(':') || *literal == "active_calls")
            .filter(|literal| !literal.starts_with("{}"))
            .collect()
    }

    #[test]
    fn the_document_describes_exactly_the_keys_of_this_file() {
        let documented: BTreeSet<&str> = DOCUMENT
            .lines()
            .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
            .collect();

        assert!(patterns().len() > 20, "the test must find the keys");
        assert_eq!(documented, patterns());
    }
}
