//! Notifications of committed changes, for people and programs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;
use crate::port::error::LedgerError;

/// A committed change of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// One more than the notification before it, also over restarts: a watcher that comes back
    /// names the last number it has seen.
    pub number: u64,
    pub kind: NoticeKind,
    pub call: CallId,
    /// The document for watchers, as JSON.
    pub data: Arc<str>,
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("number", &self.number)
            .field("kind", &self.kind)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// The outbox of one partition. It neither blocks nor fails: notifications that find no room stay
/// in the ledger, and are enqueued when there is some.
pub trait Outbox: Send + Sync {
    fn enqueue(&self, notifications: Vec<Notification>);

    /// Notifications up to this number are published for good; later ones are published again
    /// after a crash.
    fn published_up_to(&self) -> u64;

    /// The number of the last enqueued notification, when later ones wait in the ledger and there is
    /// room. After a start, those wait there that were perhaps not published.
    fn unqueued_after(&self) -> Option<u64> {
        None
    }

    /// Enqueues notifications from the ledger. `last` is the number of the latest notification
    /// there.
    fn enqueue_unqueued(&self, _notifications: Vec<Notification>, _last: u64) {}
}

/// Stored notifications, for gateways and for processes that start again.
#[async_trait]
pub trait NotificationLog: Send + Sync {
    /// The latest notifications of all partitions, each with its partition, at most `max`, the
    /// oldest first.
    async fn recent(&self, max: u32) -> Result<Vec<(u32, Notification)>, LedgerError>;

    /// The number of the last notification of each partition that has one.
    async fn last_numbers(&self) -> Result<Vec<(u32, u64)>, LedgerError>;
}
