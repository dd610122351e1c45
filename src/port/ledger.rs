//! The truth: facts for good, and the records made from them, written together or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::domain::device::Extension;
use crate::domain::fact::{CallId, EventId, Fact, Site};
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};
use crate::port::dead_letters::DeadLetters;
use crate::port::outbox::Notification;
use crate::wire::call_json;
use crate::wire::message::IngressId;

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try the same again later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Somebody else owns the partition now: stop, and forget everything held in memory.
    #[error("another worker has taken over")]
    Fenced,
    /// Sites are spread over the partitions in another way than this process was told.
    #[error("{0}")]
    LayoutMismatch(String),
    /// Trying again will not help.
    #[error("the database holds what cannot be read: {0}")]
    Corrupt(String),
    /// Some of what was to be written can never be: find it, set it aside, and write the rest.
    #[error("the database does not take this: {0}")]
    Rejected(String),
}

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

/// A call as it stands now, with its text as everybody shows it: made once, wherever it is written
/// and told.
#[derive(Clone)]
pub struct CallUpdate {
    pub record: CallRecord,
    /// Nothing can change it any more.
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

    /// The calls of a delta, each time it occurs.
    pub fn from_delta(
        changed: Vec<CallRecord>,
        finished: Vec<CallRecord>,
    ) -> impl Iterator<Item = CallUpdate> {
        let changed = changed
            .into_iter()
            .map(|record| CallUpdate::new(record, false));
        changed.chain(
            finished
                .into_iter()
                .map(|record| CallUpdate::new(record, true)),
        )
    }

    /// The record as JSON.
    pub fn json(&self) -> &str {
        self.json
            .get_or_init(|| call_json::text(&self.record).into())
    }
}

/// What one batch changes; all of it, or nothing.
#[derive(Clone, Default)]
pub struct Changes {
    pub facts: Vec<ReceivedFact>,
    /// None of the facts is in the ledger, as somebody knows who has seen the end of every commit
    /// before this one.
    pub facts_are_new: bool,
    pub rejected: Vec<RejectedMessage>,
    pub calls: Vec<CallUpdate>,
    /// Calls that turned out to be none.
    pub withdrawn_calls: Vec<CallId>,
    /// What watchers will be told when this is committed; kept for those who are away.
    pub notifications: Vec<Notification>,
    pub watermark: Option<At>,
    /// The last promise of each ingress.
    pub ticks: BTreeMap<IngressId, At>,
    /// News up to this number have reached every program that listens.
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
}

/// Where the worker left off.
#[derive(Clone, Default)]
pub struct RecoveredState {
    pub watermark: Option<At>,
    /// When the last fact that is stored was received.
    pub last_fact_at: Option<At>,
    /// The last promise of each ingress.
    pub ticks: BTreeMap<IngressId, At>,
    /// The messages of the facts from which the calls that are not final, and those that the next
    /// ones may be linked to, can be folded again, in their order.
    pub messages: Vec<Vec<u8>>,
    /// The calls that are not final.
    pub open_calls: Vec<CallId>,
    /// The extensions devices have reported, and when first.
    pub extensions: Vec<(Site, Extension, At)>,
    /// The number of the last news.
    pub last_notification: u64,
    /// News up to this number have reached every program that listens.
    pub published_up_to: u64,
}

/// How far back what is over still matters.
#[derive(Clone, Copy, Debug)]
pub struct Lookback {
    /// Calls that ended less than this before a call may have to do with it.
    pub links: Span,
    /// No call is longer.
    pub calls: Span,
}

/// The writing side; one owner at a time.
#[async_trait]
pub trait Ledger: DeadLetters {
    /// Whether a site belongs to the partition.
    fn owns_site(&self, _site: &Site) -> bool {
        true
    }

    /// Takes the partition over and tells where the last owner left off.
    async fn take_over(&self, memory: Lookback) -> Result<RecoveredState, LedgerError>;

    /// Which of these facts are not in the ledger yet.
    async fn unknown_facts(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError>;

    /// Writes a batch. Doing it twice is doing it once.
    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError>;

    /// The messages of a site's facts received in a stretch of time, in their order.
    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<Vec<u8>>, LedgerError>;

    /// The news after a number, at most so many, in their order.
    async fn notifications_after(
        &self,
        number: u64,
        most: u32,
    ) -> Result<Vec<Notification>, LedgerError>;

    /// Writes down that a message is about to be handled, because it may end whoever does. Returns
    /// how often that has been written.
    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError>;

    /// It was handled, and nothing ended.
    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError>;

    /// The ids of a site's calls that began in a stretch of time.
    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError>;
}

/// What `rebuild` compares: the stored records of every site, and how far back facts reach.
#[async_trait]
pub trait RecordAudit: Send + Sync {
    /// The sites there are, and up to where time has passed for each.
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError>;

    /// From this instant on all facts are kept.
    async fn facts_kept_since(&self) -> Result<At, LedgerError>;

    /// The records of a site as they are stored, in the order of their ids.
    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError>;
}
