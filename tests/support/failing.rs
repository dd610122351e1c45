//! Ledgers that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cordboard::adapter::sqlite::SqliteLedger;
use cordboard::domain::fact::{CallId, EventId, Site};
use cordboard::domain::time::At;
use cordboard::port::fanout::News;
use cordboard::port::ledger::{Changes, Ledger, LedgerError, Memory, Received, Standing};
use cordboard::port::letters::{Letter, Letters};
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

impl Letters for Failing {
    fn letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, Letter)>, LedgerError>> {
        self.ledger.letters(after, most)
    }

    fn forget<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.forget(digest)
    }
}

impl Ledger for Failing {
    fn take_over(&self, memory: Memory) -> BoxFuture<'_, Result<Standing, LedgerError>> {
        self.ledger.take_over(memory)
    }

    fn unknown<'a>(
        &'a self,
        facts: &'a [Received],
    ) -> BoxFuture<'a, Result<Vec<EventId>, LedgerError>> {
        if self.roll() == 0 {
            return Box::pin(std::future::ready(Err(LedgerError::Unavailable(
                "away".into(),
            ))));
        }
        self.asked.fetch_add(facts.len(), Ordering::Relaxed);
        self.ledger.unknown(facts)
    }

    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let is_poison = |received: &Received| {
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

    fn messages<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LedgerError>> {
        self.ledger.messages(site, from, to)
    }

    fn last_news(&self, most: u32) -> BoxFuture<'_, Result<Vec<News>, LedgerError>> {
        self.ledger.last_news(most)
    }

    fn news_after(&self, number: u64, most: u32) -> BoxFuture<'_, Result<Vec<News>, LedgerError>> {
        self.ledger.news_after(number, most)
    }

    fn sites(&self) -> BoxFuture<'_, Result<Vec<(Site, At)>, LedgerError>> {
        self.ledger.sites()
    }

    fn attempt<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<u32, LedgerError>> {
        self.ledger.attempt(message)
    }

    fn acquit<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.acquit(message)
    }

    fn facts_since(&self) -> BoxFuture<'_, Result<At, LedgerError>> {
        self.ledger.facts_since()
    }

    fn records<'a>(
        &'a self,
        site: &'a Site,
    ) -> BoxFuture<'a, Result<Vec<(String, String)>, LedgerError>> {
        self.ledger.records(site)
    }

    fn calls_begun<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<CallId>, LedgerError>> {
        self.ledger.calls_begun(site, from, to)
    }
}

/// Ends its process, here a task, when a certain fact is to be committed.
pub struct Mortal(pub Failing);

impl Letters for Mortal {
    fn letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, Letter)>, LedgerError>> {
        self.0.letters(after, most)
    }

    fn forget<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.forget(digest)
    }
}

impl Ledger for Mortal {
    fn take_over(&self, memory: Memory) -> BoxFuture<'_, Result<Standing, LedgerError>> {
        self.0.take_over(memory)
    }

    fn unknown<'a>(
        &'a self,
        facts: &'a [Received],
    ) -> BoxFuture<'a, Result<Vec<EventId>, LedgerError>> {
        self.0.unknown(facts)
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

    fn messages<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, LedgerError>> {
        self.0.messages(site, from, to)
    }

    fn last_news(&self, most: u32) -> BoxFuture<'_, Result<Vec<News>, LedgerError>> {
        self.0.last_news(most)
    }

    fn news_after(&self, number: u64, most: u32) -> BoxFuture<'_, Result<Vec<News>, LedgerError>> {
        self.0.news_after(number, most)
    }

    fn sites(&self) -> BoxFuture<'_, Result<Vec<(Site, At)>, LedgerError>> {
        self.0.sites()
    }

    fn attempt<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<u32, LedgerError>> {
        self.0.attempt(message)
    }

    fn acquit<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.0.acquit(message)
    }

    fn facts_since(&self) -> BoxFuture<'_, Result<At, LedgerError>> {
        self.0.facts_since()
    }

    fn records<'a>(
        &'a self,
        site: &'a Site,
    ) -> BoxFuture<'a, Result<Vec<(String, String)>, LedgerError>> {
        self.0.records(site)
    }

    fn calls_begun<'a>(
        &'a self,
        site: &'a Site,
        from: At,
        to: At,
    ) -> BoxFuture<'a, Result<Vec<CallId>, LedgerError>> {
        self.0.calls_begun(site, from, to)
    }
}
