//! Telling the interfaces what changed, after it is true.

use crate::domain::notice::Notice;
use crate::domain::record::CallRecord;

/// What was committed, for whoever watches.
#[derive(Clone, Debug)]
pub struct News {
    pub notice: Notice,
    /// The call as it stands; `None` when it turned out to be none.
    pub record: Option<CallRecord>,
}

/// Never blocks, never fails: a watcher that cannot follow catches up by itself.
pub trait Fanout: Send + Sync {
    fn tell(&self, news: Vec<News>);
}
