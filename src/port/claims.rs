//! Claims of ringing calls: exactly one agent owns a call.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::time::At;

/// A claim that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub call_id: String,
    pub user: String,
    pub expires_at: At,
}

/// Stored claims.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Claims a call unless another claim of it counts. Returns whether the claim was won; of
    /// several at the same time, one is.
    async fn claim(&self, claim: &Claim, now: At) -> Result<bool, LedgerError>;

    /// Gives a claim back.
    async fn release(&self, call_id: &str, user: &str) -> Result<(), LedgerError>;

    /// All claims that count.
    async fn claims(&self, now: At) -> Result<Vec<Claim>, LedgerError>;

    /// The claim of a call, if one counts.
    async fn claim_of(&self, call_id: &str, now: At) -> Result<Option<Claim>, LedgerError>;
}
