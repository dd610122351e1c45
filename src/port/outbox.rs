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
/// in the ledger, and are enqueued as a backlog when there is some.
pub trait Outbox: Send + Sync {
    fn enqueue(&self, notifications: Vec<Notification>);

    /// Notifications up to this number are published for good; later ones are published again
    /// after a crash.
    fn published_up_to(&self) -> u64;

    /// The number after which the backlog begins, when there is a backlog and room for it. After a
    /// start the backlog holds the notifications of which it is not known that they were published.
    fn resume_after(&self) -> Option<u64> {
        None
    }

    /// Enqueues notifications of the backlog. `last` is the number of the latest notification in
    /// the ledger.
    fn enqueue_backlog(&self, _notifications: Vec<Notification>, _last: u64) {}
}

/// Stored notifications, for gateways and for processes that start again.
#[async_trait]
pub trait NotificationLog: Send + Sync {
    /// The latest notifications of all partitions, each with its partition, at most `max`, the
    /// oldest first.
    async fn recent(&self, max: u32) -> Result<Vec<(u32, Notification)>, LedgerError>;
}
