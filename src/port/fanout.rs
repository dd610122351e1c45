//! Telling the interfaces what changed, after it is true.

use std::fmt;
use std::sync::Arc;

use crate::domain::fact::CallId;
use crate::domain::notice::NoticeKind;

/// What was committed, for whoever watches.
#[derive(Clone, PartialEq, Eq)]
pub struct News {
    /// One more than the news before it, also over restarts: a watcher who comes back names the
    /// last one it saw.
    pub number: u64,
    pub kind: NoticeKind,
    pub call: CallId,
    /// What watchers are told, as JSON.
    pub data: Arc<str>,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News")
            .field("number", &self.number)
            .field("kind", &self.kind)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// Never blocks, never fails: a watcher that cannot follow catches up by itself.
pub trait Fanout: Send + Sync {
    fn tell(&self, news: Vec<News>);

    /// News up to this number have been passed on for good; those after it are told again after a
    /// crash.
    fn relayed(&self) -> u64;

    /// After which number news are to be told that could not be: they found no room, or it is not
    /// known that they were told before this process began. They are in the ledger; whoever tells
    /// them does it now, as there is room.
    fn missing(&self) -> Option<u64> {
        None
    }

    /// Tells what was missing. `last` is the number of the last news there are.
    fn tell_missing(&self, _news: Vec<News>, _last: u64) {}
}
