//! A ledger that fails as databases do, or that ends its worker in the middle of a commit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::{CallId, EventId, Site};
use cordboard::domain::time::At;
use cordboard::port::dead_letters::{DeadLetter, DeadLetters};
use cordboard::port::ledger::{
    Changes, FactHistory, HistoryLimit, Ledger, LedgerError, Lookback, ReceivedFact, RecoveredState,
};
use cordboard::port::outbox::Notification;
use cordboard::simulate::Dice;

/// A ledger whose statements fail at random, before or after they took effect.
pub struct Failing {
    pub ledger: Arc<SqliteLedger>,
    /// One of so many statements fails.
    pub one_in: u64,
    pub dice: Mutex<Dice>,
    /// Batches with this text in a message are rejected.
    pub poison: &'static str,
    /// The commit of this fact ends the task of its worker, as a crash ends a process.
    pub deadly: Option<EventId>,
    /// So many commits with facts are rejected, whatever they hold: stored state fails.
    pub broken: Arc<AtomicUsize>,
    /// The number of facts that were looked up.
    pub asked: Arc<AtomicUsize>,
}

impl Failing {
    /// A ledger that never fails.
    pub fn on(ledger: &Arc<SqliteLedger>) -> Failing {
        Failing {
            ledger: Arc::clone(ledger),
            one_in: u64::MAX,
            dice: Mutex::new(Dice::new(1)),
            poison: "nothing",
            deadly: None,
            broken: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn roll(&self) -> u64 {
        self.dice.lock().unwrap().roll(self.one_in)
    }
}

#[async_trait]
impl DeadLetters for Failing {
    async fn dead_letters(
        &self,
        after: i64,
        rows_max: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError> {
        self.ledger.dead_letters(after, rows_max).await
    }

    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError> {
        self.ledger.remove_dead_letter(digest).await
    }
}

#[async_trait]
impl FactHistory for Failing {
    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
        limit: HistoryLimit,
    ) -> Result<Option<Vec<Vec<u8>>>, LedgerError> {
        self.ledger.fact_messages(site, from, to, limit).await
    }
}

#[async_trait]
impl Ledger for Failing {
    async fn take_over(&self, lookback: Lookback) -> Result<RecoveredState, LedgerError> {
        self.ledger.take_over(lookback).await
    }

    async fn facts_not_stored(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError> {
        if self.roll() == 0 {
            return Err(LedgerError::Unavailable("away".into()));
        }

        self.asked.fetch_add(facts.len(), Ordering::Relaxed);

        self.ledger.facts_not_stored(facts).await
    }

    async fn stored_messages(
        &self,
        facts: &[ReceivedFact],
    ) -> Result<Vec<(EventId, Vec<u8>)>, LedgerError> {
        self.ledger.stored_messages(facts).await
    }

    async fn ids_of_calls(&self, ids: &[EventId]) -> Result<Vec<EventId>, LedgerError> {
        self.ledger.ids_of_calls(ids).await
    }

    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        let is_poison = |received: &ReceivedFact| {
            String::from_utf8_lossy(&received.message).contains(self.poison)
        };

        let is_deadly = |received: &ReceivedFact| Some(received.fact.id) == self.deadly;
        assert!(!changes.facts.iter().any(is_deadly), "the end");

        let is_broken = !changes.facts.is_empty()
            && self
                .broken
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
        if is_broken {
            return Err(LedgerError::Rejected("bigint out of range".into()));
        }

        match self.roll() {
            _ if changes.facts.iter().any(is_poison) => {
                Err(LedgerError::Rejected("no such thing".into()))
            }
            0 => Err(LedgerError::Unavailable("away".into())),
            1 => {
                // The batch is stored, and its worker does not learn that.
                self.ledger.commit(changes).await?;

                Err(LedgerError::Unavailable("the answer was lost".into()))
            }
            _ => self.ledger.commit(changes).await,
        }
    }

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        self.ledger.facts_kept_since().await
    }

    async fn notifications_after(
        &self,
        number: u64,
        rows_max: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        self.ledger.notifications_after(number, rows_max).await
    }

    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError> {
        self.ledger.record_attempt(message).await
    }

    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError> {
        self.ledger.clear_attempts(message).await
    }

    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError> {
        self.ledger.calls_started(site, from, to).await
    }
}
