//! The names of the keys. Other programs read them: they never change their meaning.

use crate::domain::fact::Site;
use crate::port::live::{CacheKey, StateKey};

/// A ring without a sign for so long is none.
pub(super) const RING_SECONDS: i64 = 300;
pub(super) const HOUR_SECONDS: i64 = 3_600;
/// No call is longer; what is shown of one goes by itself if nobody takes it away.
pub(super) const CALL_SECONDS: i64 = 4 * HOUR_SECONDS + RING_SECONDS;
/// How long a finished call can still be looked up here.
pub(super) const OVER_SECONDS: i64 = 300;
pub(super) const TRANSFER_SECONDS: i64 = 120;
pub(super) const STREAM_SECONDS: i64 = 25 * HOUR_SECONDS;
pub(super) const STREAM_ENTRIES: u32 = 100_000;
/// What the owner of a partition shows says that it is there, and everything of it.
pub(super) const OWNER_SECONDS: i64 = 15;
/// Heartbeats come every minute; half a minute of grace.
pub(super) const SESSION_SECONDS: i64 = 90;

/// States that other programs registered are found without the database for as long as calls last.
pub(super) const STATE_SECONDS: i64 = 4 * HOUR_SECONDS;
/// Lists change when a new phone reports.
const LIST_SECONDS: i64 = HOUR_SECONDS;
/// The agent of an extension changes by hand.
const LOOKUP_SECONDS: i64 = 24 * HOUR_SECONDS;

/// Keys with their prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys(pub String);

impl Keys {
    /// The keys of a site: those of any but the default one carry its name.
    pub(super) fn of(&self, site: &Site) -> Keys {
        if *site == Site::default() {
            self.clone()
        } else {
            Keys(format!("{}{}:", self.0, site.as_str()))
        }
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.0)
    }

    pub(super) fn active(&self, remote: &str) -> String {
        self.key(&format!("calls:active:{remote}"))
    }

    pub(super) fn reported(&self, device: &str, remote: &str) -> String {
        self.key(&format!("calls:device_reported:{device}:{remote}"))
    }

    pub(super) fn ring(&self, call: &str) -> String {
        self.key(&format!("calls:ring:{call}"))
    }

    pub(super) fn ring_remote(&self, remote: &str) -> String {
        self.key(&format!("calls:ring_remote:{remote}"))
    }

    pub(super) fn direction(&self, call: &str) -> String {
        self.key(&format!("call:direction:{call}"))
    }

    pub(super) fn transfers(&self) -> String {
        self.key("calls:transfers")
    }

    /// The fingerprint of a number, found without a search.
    pub(super) fn transfer(&self, remote: &str) -> String {
        self.key(&format!("calls:transfer:{remote}"))
    }

    pub(super) fn parent(&self, call: &str) -> String {
        self.key(&format!("calls:relationship:{call}_parent"))
    }

    pub(super) fn missed_schedule(&self) -> String {
        self.key("calls:missed:schedule")
    }

    pub(super) fn missed_queue(&self) -> String {
        self.key("calls:missed:queue")
    }

    pub(super) fn transfer_context(&self, transfer: &str) -> String {
        self.key(&format!("transfer:context:{transfer}"))
    }

    pub(super) fn transfer_by_call(&self, call: &str) -> String {
        self.key(&format!("transfer:by_call_sid:{call}"))
    }

    pub(super) fn transfer_events(&self, transfer: &str) -> String {
        self.key(&format!("transfer:events:{transfer}"))
    }

    /// The log of a day, by UTC.
    pub(super) fn stream(&self, site: &str, day: &str) -> String {
        self.key(&format!("call-events:provider:{site}:{day}"))
    }

    pub(super) fn session(&self, user: &str) -> String {
        self.key(&format!("agents:session:{user}"))
    }

    pub(super) fn state(&self, of: StateKey<'_>) -> String {
        self.key(&match of {
            StateKey::Call(call) => format!("call:state:{call}"),
            StateKey::Session(session) => format!("call:session:{session}"),
        })
    }

    /// The key of a cached answer, and how long it is kept.
    pub(super) fn cached(&self, answer: CacheKey<'_>) -> (String, i64) {
        let (key, seconds) = match answer {
            CacheKey::Devices { site } => (format!("dropdown:devices:{site}"), LIST_SECONDS),
            CacheKey::Extensions { site } => (format!("dropdown:extensions:{site}"), LIST_SECONDS),
            CacheKey::Extension { site, extension } => (
                format!("masterlookup:extension:{site}:{extension}"),
                LOOKUP_SECONDS,
            ),
        };

        (self.key(&key), seconds)
    }

    /// Calls of a partition that are not over, by their beginning.
    pub(super) fn live(&self, part: &str) -> String {
        self.key(&format!("calls:live:{part}"))
    }

    /// The whole record of a call.
    pub(super) fn record(&self, call: &str) -> String {
        self.key(&format!("calls:record:{call}"))
    }

    /// Whose partition is shown here, and completely.
    pub(super) fn owner(&self, part: &str) -> String {
        self.key(&format!("calls:shown:{part}"))
    }
}
