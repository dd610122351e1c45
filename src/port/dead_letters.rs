//! Dead letters: messages that hold no fact, stored as they came for operations to look at.

use async_trait::async_trait;

use super::error::LedgerError;

/// A message that was set aside, and why.
#[derive(Clone)]
pub struct DeadLetter {
    /// The digest of the message, which names it.
    pub digest: String,
    pub reason: String,
    pub message: Vec<u8>,
}

/// Dead letters in the database.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead letters after a position, at most `max`, the oldest first.
    async fn dead_letters(
        &self,
        after: i64,
        max: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError>;

    /// Removes a dead letter.
    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError>;
}
