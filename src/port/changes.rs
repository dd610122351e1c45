//! The changes of one batch: facts, records and notifications that are committed together.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::outbox::Notification;
use crate::domain::fact::{CallId, Fact};
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::wire::call_json;
use crate::wire::message::IngressId;

/// A fact with the message it came in.
#[derive(Clone)]
pub struct ReceivedFact {
    pub fact: Fact,
    pub message: Vec<u8>,
}

/// A message that holds no fact.
#[derive(Clone)]
pub struct RejectedMessage {
    pub message: Vec<u8>,
    pub reason: String,
}

/// The current record of a call. Its JSON is made once for all tables, keys and notifications.
#[derive(Clone)]
pub struct CallUpdate {
    pub record: CallRecord,
    /// No later fact can change it.
    pub is_final: bool,
    json: OnceLock<Arc<str>>,
}

impl CallUpdate {
    #[must_use]
    pub fn new(record: CallRecord, is_final: bool) -> CallUpdate {
        CallUpdate {
            record,
            is_final,
            json: OnceLock::new(),
        }
    }

    /// The calls of a delta. A call that changed and finished occurs twice, the final record last.
    pub fn from_delta(
        changed: Vec<CallRecord>,
        finished: Vec<CallRecord>,
    ) -> impl Iterator<Item = CallUpdate> {
        let changed = changed.into_iter();
        let finished = finished.into_iter();

        changed
            .map(|record| CallUpdate::new(record, false))
            .chain(finished.map(|record| CallUpdate::new(record, true)))
    }

    /// The record as JSON.
    pub fn json(&self) -> &str {
        self.json
            .get_or_init(|| call_json::text(&self.record).into())
    }
}

/// The changes of one batch.
#[derive(Clone, Default)]
pub struct Changes {
    pub facts: Vec<ReceivedFact>,
    /// The owner has checked that none of `facts` is in the ledger. An adapter may skip its own
    /// check on the connection of the last commit.
    pub facts_are_new: bool,
    pub rejected: Vec<RejectedMessage>,
    pub calls: Vec<CallUpdate>,
    /// Announced calls that became parts of others.
    pub withdrawn_calls: Vec<CallId>,
    /// Notifications of this batch, stored for watchers that are away.
    pub notifications: Vec<Notification>,
    /// The watermark by which these changes were decided.
    pub watermark: Option<At>,
    /// The last tick of each ingress.
    pub ticks: BTreeMap<IngressId, At>,
    /// Notifications up to this number are published.
    pub published_up_to: u64,
}

impl Changes {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.rejected.is_empty()
            && self.calls.is_empty()
            && self.withdrawn_calls.is_empty()
    }

    /// The last update of each call: a call may change and finish within one batch.
    #[must_use]
    pub fn latest_calls(&self) -> Vec<&CallUpdate> {
        let mut ids = HashSet::new();

        self.calls
            .iter()
            .rev()
            .filter(|call| ids.insert(call.record.id))
            .collect()
    }
}
