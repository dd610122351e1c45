//! The daily event log of each site: what happened in calls, of phones and of other programs, for
//! 25 hours. It is written beside the truth; an event that it lacks breaks nothing.

use async_trait::async_trait;

use crate::domain::text::PrivateText;
use crate::domain::time::At;

/// The log of events whose site is not known yet.
pub const PENDING: &str = "pending";

/// One entry.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    pub event_type: String,
    pub call_id: String,
    /// The site, or [`PENDING`].
    pub log: String,
    pub at: At,
    /// JSON: the record of the call, or the data of another program.
    pub data: PrivateText,
}

/// An entry with its place in a log.
pub struct StoredEvent {
    pub id: String,
    pub event: LoggedEvent,
}

/// The part of a log that is read.
#[derive(Clone, Copy)]
pub struct Stretch<'s> {
    pub log: &'s str,
    pub since: At,
    /// The days up to this instant are read.
    pub now: At,
    /// Only the entries of this call.
    pub call: Option<&'s str>,
    /// The newest entries, at most so many, and of so many bytes of data together.
    pub max: usize,
    pub bytes_max: usize,
}

/// The log of one day.
pub struct DayLog {
    pub key: String,
    pub entries: u64,
    /// Seconds until it is deleted; `None` without an end.
    pub expires_in: Option<u64>,
}

/// Stored logs. `None` means that they cannot be reached.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends events in their order, each to its log.
    async fn append(&self, events: &[LoggedEvent]) -> Option<()>;

    /// Entries of a log, the oldest first.
    async fn read(&self, stretch: Stretch<'_>) -> Option<Vec<StoredEvent>>;

    /// Pending entries after one, at most `max`, in the order in which they were appended. The days
    /// from `since` to `now` are read.
    async fn pending(
        &self,
        after: Option<&str>,
        since: At,
        now: At,
        max: usize,
    ) -> Option<Vec<StoredEvent>>;

    /// Sites to whose logs programs have added events.
    async fn sites(&self) -> Option<Vec<String>>;

    /// Moves a pending entry to the log of its site, once.
    async fn assign(&self, pending: &StoredEvent, site: &str) -> Option<()>;

    /// Whether this process may move pending entries now; only one of all may.
    async fn may_assign(&self) -> bool;

    /// The log of the day of an instant; `None` also where there is none.
    async fn day(&self, log: &str, at: At) -> Option<DayLog>;

    /// Appends an event to a log, reads it back and removes the log. Returns what was read.
    async fn try_out(&self, event: &LoggedEvent) -> Option<Option<StoredEvent>>;
}
