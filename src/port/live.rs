//! The live view: open calls where other programs read them quickly. It is written after the ledger
//! and may be lost at any time; look-ups are only slower then. No operation fails or takes long: an
//! entry that cannot be written is left out.

use async_trait::async_trait;

use super::changes::Changes;
use super::states::{CallState, StateName};
use super::transfers::RegisteredTransfer;
use crate::domain::record::CallRecord;
use crate::domain::time::At;

/// The live view for the worker of one partition.
#[async_trait]
pub trait LiveView: Send + Sync {
    /// Writes committed changes. Returns false when the view lacks earlier entries: all open calls
    /// are to be written again. An unreachable view returns true; its gap is reported by the next
    /// write that reaches it.
    async fn publish(&self, changes: &Changes) -> bool;

    /// Writes all open calls.
    async fn republish(&self, calls: &[CallRecord]);
}

/// Look-ups in the live view. `None` means that it does not know: the ledger does.
#[async_trait]
pub trait LiveDirectory: Send + Sync {
    /// The records of all calls that are not over.
    async fn open_calls(&self) -> Option<Vec<String>>;

    /// The record of a call that is open, or ended a moment ago.
    async fn call(&self, id: &str) -> Option<String>;

    /// A state that another program registered, as JSON.
    async fn state(&self, name: &StateName) -> Option<String>;

    /// Writes the state of a call as JSON, and adds the call to the open calls of its site or removes
    /// it, unless there is a state that was changed later. Returns whether the view answered.
    async fn set_call(&self, state: &CallState, json: &str) -> bool;

    /// Writes the call of a session, as JSON. Returns whether the view answered.
    async fn set_session(&self, session: &str, json: &str) -> bool;

    /// Returns whether the view answered.
    async fn forget_state(&self, name: &StateName) -> bool;

    /// Writes the context of a registered transfer, and the index by its call.
    async fn set_transfer(&self, transfer: &RegisteredTransfer);

    /// Deletes both.
    async fn clear_transfer(&self, transfer: &RegisteredTransfer);

    /// Passes an event of a transfer on to those who listen; `json` is the event.
    async fn publish_transfer_event(&self, transfer: &RegisteredTransfer, json: &str);

    /// A cached answer, as JSON.
    async fn cached(&self, answer: CacheKey<'_>) -> Option<String>;

    async fn cache(&self, answer: CacheKey<'_>, json: &str);

    async fn forget(&self, answer: CacheKey<'_>);
}

/// Answers that change rarely and are asked for often.
#[derive(Clone, Copy)]
pub enum CacheKey<'k> {
    Devices {
        site: &'k str,
    },
    Extensions {
        site: &'k str,
    },
    Extension {
        site: &'k str,
        extension: &'k str,
    },
    /// The people of a site.
    Agents {
        site: &'k str,
    },
    Agent {
        site: &'k str,
        extension: &'k str,
    },
    /// The helplines of a site.
    Departments {
        site: &'k str,
    },
    Department {
        site: &'k str,
        number: &'k str,
    },
    /// The contacts of another program with a number.
    Caller {
        site: &'k str,
        number: &'k str,
    },
}

/// Sessions of agents.
#[async_trait]
pub trait Presence: Send + Sync {
    async fn heartbeat(&self, user: &str, socket: &str, now: At);

    async fn leave(&self, user: &str, socket: &str);
}

/// A process without a live view.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLiveView;

#[async_trait]
impl LiveView for NoLiveView {
    async fn publish(&self, _: &Changes) -> bool {
        true
    }

    async fn republish(&self, _: &[CallRecord]) {}
}
