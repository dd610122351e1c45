//! Ledgers that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::{CallId, EventId, Site};
use cordboard::domain::time::At;
use cordboard::port::dead_letters::{DeadLetter, DeadLetters};
use cordboard::port::ledger::{
    Changes, Ledger, LedgerError, Lookback, ReceivedFact, RecoveredState,
};
use cordboard::port::outbox::Notification;
use cordboard::simulate::Dice;
use futures_util::future::BoxFuture;

/// A ledger that fails as databases do.
pub struct Failing {
    pub ledger: Arc<SqliteLedger>,
    /// Of every so many commits one fails.
    pub one_in: u64,
    pub dice: Mutex<Dice>,
    /// Messages with this text in them are not taken.
    pub poison: &'static str,
    /// How many facts it was asked for.
    pub asked: Arc<AtomicUsize>,
}

impl Failing {
    /// One that never fails.
    pub fn on(ledger: &Arc<SqliteLedger>) -> Failing {
        let (ledger, dice) = (Arc::clone(ledger), Mutex::new(Dice::new(1)));
        Failing {
            ledger,
            one_in: u64::MAX,
            dice,
            poison: "nothing",
            asked: Arc::default(),
        }
    }

    fn roll(&self) -> u64 {
        self.dice.lock().unwrap().roll(self.one_in)
    }
}

impl DeadLetters for Failing {
    fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, DeadLetter)>, LedgerError>> {
        self.ledger.dead_letters(after, most)
    }

    fn remove_dead_letter<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.remove_dead_letter(digest)
    }
}

impl Ledger for Failing {
    fn take_over(&self, memory: Lookback) -> BoxFuture<'_, Result<RecoveredState, LedgerError>> {
        self.ledger.take_over(memory)
    }

    fn unknown_facts<'a>(
        &'a self,
        facts: &'a [ReceivedFact],
    ) -> BoxFuture<'a, Result<Vec<EventId>, LedgerError>> {
        if self.roll() == 0 {
            return Box::pin(std::future::ready(Err(LedgerError::Unavailable(
                "away".into(),
            ))));
        }
        self.asked.fetch_add(facts.len(), Ordering::Relaxed);
        self.ledger.unknown_facts(facts)
    }

    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let is_poison = |received: &ReceivedFact| {
                String::from_utf8_lossy(&received.message).contains(self.poison)
            };
            match self.roll() {
                _ if changes.facts.iter().any(is_poison) => {
                    Err(LedgerError::Rejected("no such thing".into()))
                }
                0 => Err(LedgerError::Unavailable("away".into())),
                1 => {
                    // It was written, and nobody heard of it.
                    self.ledger.commit(changes).await?;
                    Err(LedgerError::Unavailable("the answer was lost".into()))
                }
                _ => self.ledger.commit(changes).await,
            }
        })
    }

    fn fact_messages<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LedgerError>> {
        self.ledger.fact_messages(site, from, to)
    }

    fn recent_notifications(
        &self,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<Notification>, LedgerError>> {
        self.ledger.recent_notifications(most)
    }

    fn notifications_after(
        &self,
        number: u64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<Notification>, LedgerError>> {
        self.ledger.notifications_after(number, most)
    }

    fn sites(&self) -> BoxFuture<'_, Result<Vec<(Site, At)>, LedgerError>> {
        self.ledger.sites()
    }

    fn record_attempt<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<u32, LedgerError>> {
        self.ledger.record_attempt(message)
    }

    fn clear_attempts<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.clear_attempts(message)
    }

    fn facts_kept_since(&self) -> BoxFuture<'_, Result<At, LedgerError>> {
        self.ledger.facts_kept_since()
    }

    fn stored_records<'a>(
        &'a self,
        site: &'a Site,
    ) -> BoxFuture<'a, Result<Vec<(String, String)>, LedgerError>> {
        self.ledger.stored_records(site)
    }

    fn calls_started<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<CallId>, LedgerError>> {
        self.ledger.calls_started(site, from, to)
    }
}

/// Ends its process, here a task, when a certain fact is to be committed.
pub struct Mortal(pub Failing);

impl DeadLetters for Mortal {
    fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, DeadLetter)>, LedgerError>> {
        self.0.dead_letters(after, most)
    }

    fn remove_dead_letter<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.remove_dead_letter(digest)
    }
}

impl Ledger for Mortal {
    fn take_over(&self, memory: Lookback) -> BoxFuture<'_, Result<RecoveredState, LedgerError>> {
        self.0.take_over(memory)
    }

    fn unknown_facts<'a>(
        &'a self,
        facts: &'a [ReceivedFact],
    ) -> BoxFuture<'a, Result<Vec<EventId>, LedgerError>> {
        self.0.unknown_facts(facts)
    }

    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), LedgerError>> {
        assert!(
            !changes
                .facts
                .iter()
                .any(|received| received.fact.id == EventId(7)),
            "the end"
        );
        self.0.commit(changes)
    }

    fn fact_messages<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LedgerError>> {
        self.0.fact_messages(site, from, to)
    }

    fn recent_notifications(
        &self,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<Notification>, LedgerError>> {
        self.0.recent_notifications(most)
    }

    fn notifications_after(
        &self,
        number: u64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<Notification>, LedgerError>> {
        self.0.notifications_after(number, most)
    }

    fn sites(&self) -> BoxFuture<'_, Result<Vec<(Site, At)>, LedgerError>> {
        self.0.sites()
    }

    fn record_attempt<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<u32, LedgerError>> {
        self.0.record_attempt(message)
    }

    fn clear_attempts<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.clear_attempts(message)
    }

    fn facts_kept_since(&self) -> BoxFuture<'_, Result<At, LedgerError>> {
        self.0.facts_kept_since()
    }

    fn stored_records<'a>(
        &'a self,
        site: &'a Site,
    ) -> BoxFuture<'a, Result<Vec<(String, String)>, LedgerError>> {
        self.0.stored_records(site)
    }

    fn calls_started<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<CallId>, LedgerError>> {
        self.0.calls_started(site, from, to)
    }
}
