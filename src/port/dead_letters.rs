//! Dead letters: messages that hold no fact, kept as they came until somebody looks at them.

use async_trait::async_trait;

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
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The oldest first, at most so many, after those that were seen already.
    async fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError>;

    /// Forgets a letter.
    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError>;
}
