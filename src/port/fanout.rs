//! Telling the interfaces what changed, after it is true.

use std::fmt;
use std::sync::Arc;

use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;

/// What was committed, for whoever watches.
#[derive(Clone, PartialEq, Eq)]
pub struct News {
    /// One more than the news before it, also over restarts: a watcher who comes back names the last one it saw.
    pub number: u64,
    pub kind: NoticeKind,
    pub call: CallId,
    /// What watchers are told, as JSON.
    pub data: Arc<str>,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("number", &self.number).field("kind", &self.kind).field("call", &self.call).finish_non_exhaustive()
    }
}

/// Never blocks, never fails: a watcher that cannot follow catches up by itself.
pub trait Fanout: Send + Sync {
    fn tell(&self, news: Vec<News>);

    /// News up to this number have been passed on for good; those after it are told again after a crash.
    fn relayed(&self) -> u64;
}
