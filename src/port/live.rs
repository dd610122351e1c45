//! The live view: what is going on right now, where other programs read it quickly. It is written
//! after the ledger and may be lost at any time; nothing is wrong then, only colder. None of it
//! ever fails or takes long: what cannot be shown is not shown.

use futures_util::future::BoxFuture;

use super::ledger::Changes;
use crate::domain::record::CallRecord;
use crate::domain::time::At;

/// What a worker shows of its partition.
pub trait LiveView: Send + Sync {
    /// Shows what was committed. Returns whether what was shown before is still there; if not, it
    /// is to be shown again.
    fn publish<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, bool>;

    /// Shows all calls that are open.
    fn republish<'a>(&'a self, calls: &'a [CallRecord]) -> BoxFuture<'a, ()>;
}

/// What can be looked up there. `None` is no answer: ask the ledger.
pub trait LiveDirectory: Send + Sync {
    /// The records of all calls that are not over.
    fn open_calls(&self) -> BoxFuture<'_, Option<Vec<String>>>;

    /// The record of a call that is going on, or was a moment ago.
    fn call<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Option<String>>;

    /// What is shown beside the calls under a key.
    fn shown<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<String>>;

    fn show<'a>(&'a self, key: &'a str, value: &'a str, seconds: u32) -> BoxFuture<'a, ()>;

    /// What was kept for a while under a key.
    fn cached<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<String>>;

    fn cache<'a>(&'a self, key: &'a str, value: &'a str, seconds: u32) -> BoxFuture<'a, ()>;
}

/// Who is there.
pub trait Presence: Send + Sync {
    fn heartbeat<'a>(&'a self, user: &'a str, socket: &'a str, now: At) -> BoxFuture<'a, ()>;

    fn leave<'a>(&'a self, user: &'a str, socket: &'a str) -> BoxFuture<'a, ()>;
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLiveView;

impl LiveView for NoLiveView {
    fn publish<'a>(&'a self, _: &'a Changes) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn republish<'a>(&'a self, _: &'a [CallRecord]) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
