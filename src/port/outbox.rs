//! Telling the interfaces what changed, after it is true.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;
use crate::port::ledger::LedgerError;

/// What was committed, for whoever watches.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// One more than the news before it, also over restarts: a watcher who comes back names the
    /// last one it saw.
    pub number: u64,
    pub kind: NoticeKind,
    pub call: CallId,
    /// What watchers are told, as JSON.
    pub data: Arc<str>,
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News")
            .field("number", &self.number)
            .field("kind", &self.kind)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// Never blocks, never fails: a watcher that cannot follow catches up by itself.
pub trait Outbox: Send + Sync {
    fn enqueue(&self, news: Vec<Notification>);

    /// News up to this number have been passed on for good; those after it are told again after a
    /// crash.
    fn published_up_to(&self) -> u64;

    /// After which number news are to be told that could not be: they found no room, or it is not
    /// known that they were told before this process began. They are in the ledger; whoever tells
    /// them does it now, as there is room.
    fn resume_after(&self) -> Option<u64> {
        None
    }

    /// Tells what was missing. `last` is the number of the last news there are.
    fn enqueue_backlog(&self, _news: Vec<Notification>, _last: u64) {}
}

/// Stored notifications, for gateways and for processes that start again.
#[async_trait]
pub trait NotificationLog: Send + Sync {
    /// The latest notifications of all partitions, each with its partition, at most `most`, the
    /// oldest first.
    async fn recent(&self, most: u32) -> Result<Vec<(u32, Notification)>, LedgerError>;
}
