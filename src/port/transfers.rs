//! Transfers that other programs register, and wait for.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// A registered transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredTransfer {
    pub id: String,
    pub call_id: String,
    pub site: String,
    /// The context, as JSON.
    pub context: String,
    pub initiated_at: At,
    /// A transfer that nothing decides until then has failed.
    pub expires_at: At,
    /// The last instant that the record of the call had when the transfer was registered: later facts
    /// decide it. It is one of the ingress, whose clock may differ from that of the other instants.
    pub facts_after: At,
    /// The event that decided it, as JSON.
    pub result: Option<String>,
}

/// Stored transfers. Of a call one is under way at most.
#[async_trait]
pub trait Transfers: Send + Sync {
    /// Stores a transfer. Returns the id of the one of its call that is under way already, or of the
    /// one with its id, and stores nothing then.
    async fn begin(&self, transfer: &RegisteredTransfer) -> Result<Option<String>, LedgerError>;

    async fn transfer(&self, id: &str) -> Result<Option<RegisteredTransfer>, LedgerError>;

    /// The transfer of a call that is under way.
    async fn transfer_of_call(
        &self,
        call_id: &str,
    ) -> Result<Option<RegisteredTransfer>, LedgerError>;

    /// Transfers that are under way, at most `max`, the oldest first.
    async fn transfers_under_way(&self, max: u32) -> Result<Vec<RegisteredTransfer>, LedgerError>;

    /// Decides a transfer that is under way. Of several events the first counts; returns whether
    /// this one did.
    async fn decide(&self, id: &str, result: &str, now: At) -> Result<bool, LedgerError>;

    /// Forgets transfers that were decided before an instant.
    async fn forget_transfers(&self, before: At) -> Result<(), LedgerError>;
}
