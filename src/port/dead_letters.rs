//! Dead letters: messages that hold no fact, kept as they came until somebody looks at them.

use futures_util::future::BoxFuture;

use super::ledger::LedgerError;

/// A message that was set aside.
#[derive(Clone)]
pub struct DeadLetter {
    /// The name of the message: its digest.
    pub digest: String,
    pub reason: String,
    pub message: Vec<u8>,
}

/// The letters in the database.
pub trait DeadLetters: Send + Sync {
    /// The oldest first, at most so many, after those that were seen already.
    fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, DeadLetter)>, LedgerError>>;

    /// Forgets a letter.
    fn remove_dead_letter<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>>;
}
