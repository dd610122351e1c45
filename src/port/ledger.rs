//! The truth: facts, which are never changed, and the records made from them. A batch is written
//! as a whole or not at all, by one owner of its partition at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use super::changes::{CallUpdate, Changes, ReceivedFact, RejectedMessage};
use super::dead_letters::DeadLetters;
pub use super::error::LedgerError;
use super::outbox::Notification;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::{At, Span};
use crate::wire::message::IngressId;

/// The state in which the last owner left the partition.
#[derive(Clone, Default)]
pub struct RecoveredState {
    pub watermark: Option<At>,
    /// The instant of the latest stored fact.
    pub last_fact_at: Option<At>,
    /// The last tick of each ingress.
    pub ticks: BTreeMap<IngressId, At>,
    /// The messages of the facts of all calls that are not final, and of those that later calls may
    /// be linked to, in their order. These calls are complete. Other calls of the same time may be
    /// included in part; the worker ignores them as fragments.
    pub messages: Vec<Vec<u8>>,
    /// The calls that are not final.
    pub open_calls: Vec<CallId>,
    /// Reported extensions, each with its first report.
    pub extensions: Vec<(Site, Extension, At)>,
    /// The number of the latest notification.
    pub last_notification: u64,
    /// Notifications up to this number are published.
    pub published_up_to: u64,
    pub absurd: Absurd,
}

/// How far back closed calls are read on take-over.
#[derive(Clone, Copy, Debug)]
pub struct Lookback {
    /// The longest time between the end of one call and the start of a call that is linked to it.
    pub links: Span,
    /// The longest call.
    pub calls: Span,
    /// Rows with other instants are taken out of the state, and reported.
    pub believed: BelievedInstants,
}

/// The first and the last instant that is believed.
#[derive(Clone, Copy, Debug)]
pub struct BelievedInstants {
    pub first: At,
    pub last: At,
}

impl BelievedInstants {
    pub const ALL: BelievedInstants = BelievedInstants {
        first: At::START,
        last: At::END,
    };

    #[must_use]
    pub fn contains(self, at: At) -> bool {
        (self.first..=self.last).contains(&at)
    }
}

/// Stored state that is not believed. The take-over has set back the watermark and the ticks; facts
/// stay as they are.
#[derive(Clone, Default)]
pub struct Absurd {
    /// The stored watermark, where it was ahead.
    pub watermark: Option<At>,
    /// Facts ahead of the clock, which are not read until it has reached them.
    pub facts: Vec<FactsAhead>,
    /// Calls that began at an instant that no clock shows. The owner withdraws them.
    pub calls: Vec<CallId>,
}

/// Facts of a site that are ahead of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsAhead {
    pub site: Site,
    pub first: At,
    pub last: At,
    pub count: u64,
}

/// Instants that some clock may show: from 2000 to 2200. Which of two clocks is right cannot be
/// known from what they stamped; that none shows another instant is certain.
pub const POSSIBLE: BelievedInstants = BelievedInstants {
    first: At(946_684_800_000_000),
    last: At(7_258_118_400_000_000),
};

impl Absurd {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watermark.is_none() && self.facts.is_empty() && self.calls.is_empty()
    }
}

/// The longest history that is read at once: what is read stands in memory.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimit {
    pub messages: u32,
    pub bytes: usize,
}

impl HistoryLimit {
    pub const NONE: HistoryLimit = HistoryLimit {
        messages: u32::MAX,
        bytes: usize::MAX,
    };
}

/// Stored facts, to fold them again or to explain a record.
#[async_trait]
pub trait FactHistory: Send + Sync {
    /// The messages of a site's facts that were received in a period, in their order. `None` if they
    /// exceed the limit.
    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
        limit: HistoryLimit,
    ) -> Result<Option<Vec<Vec<u8>>>, LedgerError>;
}

/// The ledger for the worker of one partition.
#[async_trait]
pub trait Ledger: DeadLetters + FactHistory {
    /// Whether a site belongs to the partition.
    fn owns_site(&self, _site: &Site) -> bool {
        true
    }

    /// Takes the partition over: from now on the former owner commits nothing.
    async fn take_over(&self, lookback: Lookback) -> Result<RecoveredState, LedgerError>;

    /// The ids of those facts that are not stored yet.
    async fn facts_not_stored(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError>;

    /// The messages under which facts are stored, by their ids.
    async fn stored_messages(
        &self,
        facts: &[ReceivedFact],
    ) -> Result<Vec<(EventId, Vec<u8>)>, LedgerError>;

    /// Those of the ids that stored calls have, of any site.
    async fn ids_of_calls(&self, ids: &[EventId]) -> Result<Vec<EventId>, LedgerError>;

    /// Stores a batch. Storing it again changes nothing.
    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError>;

    /// Facts received since this instant are complete; earlier ones may be deleted.
    async fn facts_kept_since(&self) -> Result<At, LedgerError>;

    /// The notifications after a number, at most `max`, in their order.
    async fn notifications_after(
        &self,
        number: u64,
        max: u32,
    ) -> Result<Vec<Notification>, LedgerError>;

    /// Stores that processing of a message begins, because it may end the process. Returns the
    /// number of attempts so far.
    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError>;

    /// The message was processed.
    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError>;

    /// The ids of a site's calls that started in a period.
    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError>;

    /// Closes the owner's connection, after the last commit.
    async fn close(&self) {}
}

/// The ledger for `rebuild`, which compares stored records with their facts.
#[async_trait]
pub trait RecordAudit: Send + Sync {
    /// All sites, each with its watermark.
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError>;

    /// Ids and records of a site's calls as they are stored, by id.
    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError>;
}
