//! The live view: what is going on right now, where other programs read it quickly. It is written
//! after the ledger and may be lost at any time; nothing is wrong then, only colder. None of it
//! ever fails or takes long: what cannot be shown is not shown.

use async_trait::async_trait;

use super::ledger::Changes;
use crate::domain::record::CallRecord;
use crate::domain::time::At;

/// What a worker shows of its partition.
#[async_trait]
pub trait LiveView: Send + Sync {
    /// Shows what was committed. Returns whether what was shown before is still there; if not, it
    /// is to be shown again.
    async fn publish(&self, changes: &Changes) -> bool;

    /// Shows all calls that are open.
    async fn republish(&self, calls: &[CallRecord]);
}

/// What can be looked up there. `None` is no answer: ask the ledger.
#[async_trait]
pub trait LiveDirectory: Send + Sync {
    /// The records of all calls that are not over.
    async fn open_calls(&self) -> Option<Vec<String>>;

    /// The record of a call that is going on, or was a moment ago.
    async fn call(&self, id: &str) -> Option<String>;

    /// What is shown beside the calls under a key.
    async fn shown(&self, key: &str) -> Option<String>;

    async fn show(&self, key: &str, value: &str, seconds: u32);

    /// What was kept for a while under a key.
    async fn cached(&self, key: &str) -> Option<String>;

    async fn cache(&self, key: &str, value: &str, seconds: u32);
}

/// Who is there.
#[async_trait]
pub trait Presence: Send + Sync {
    async fn heartbeat(&self, user: &str, socket: &str, now: At);

    async fn leave(&self, user: &str, socket: &str);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLiveView;

#[async_trait]
impl LiveView for NoLiveView {
    async fn publish(&self, _: &Changes) -> bool {
        true
    }

    async fn republish(&self, _: &[CallRecord]) {
        ()
    }
}
