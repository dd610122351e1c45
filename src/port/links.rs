//! Links between calls that people make and remove. Those of a record follow from facts.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// The last change of a person to one link of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    pub call_id: String,
    pub linked_call_id: String,
    /// The link was removed; otherwise it was made.
    pub is_removed: bool,
    pub changed_by: String,
    pub changed_at: At,
}

/// The stored changes.
#[async_trait]
pub trait Links: Send + Sync {
    /// The changes to the links of a call, the earliest first.
    async fn link_changes(&self, call_id: &str) -> Result<Vec<LinkChange>, LedgerError>;

    /// Stores a change in place of the one before. False when the call has as many as it may have.
    async fn change_link(&self, change: &LinkChange) -> Result<bool, LedgerError>;
}
