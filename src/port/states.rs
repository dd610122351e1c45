//! The states of calls as other programs know them: those that phones reported, and those that
//! other programs registered themselves.

use async_trait::async_trait;

use super::ledger::LedgerError;
use crate::domain::private::PrivateText;
use crate::domain::time::At;

/// Who tells of a call. Calls of phones are made from facts: nobody else changes their state.
pub const PHONE_PROVIDER: &str = "grandstream";

/// One row of `call_states`.
#[derive(Clone, PartialEq, Eq)]
pub struct CallState {
    pub call_id: String,
    /// What another program calls the conversation it holds with this call.
    pub session_id: Option<String>,
    pub provider: String,
    pub site: String,
    pub direction: String,
    pub status: String,
    pub from_number: Option<PrivateText>,
    pub to_number: Option<PrivateText>,
    /// JSON.
    pub metadata: String,
    pub created_at: At,
    pub updated_at: At,
    pub ended_at: Option<At>,
}

/// Why a state was not changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("there is no such call")]
    NotFound,
    #[error("the phones tell the state of this call")]
    OwnedByPhones,
    #[error("the call is over")]
    Ended,
}

/// The states as they are stored.
#[async_trait]
pub trait StateLedger: Send + Sync {
    /// Writes a new state. A call that is known already keeps what it has; only its session is
    /// joined to it, where one is given.
    async fn register(&self, state: &CallState) -> Result<CallState, LedgerError>;

    /// Changes the state of a call that is going on and not ours. Returns it as it is then, and
    /// whether it was changed; `None` when there is no such call.
    async fn update(&self, change: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError>;

    async fn by_id(&self, call_id: &str) -> Result<Option<CallState>, LedgerError>;

    /// The last call of a session.
    async fn by_session(&self, session_id: &str) -> Result<Option<CallState>, LedgerError>;

    /// Calls that are going on, the oldest first, at most so many.
    async fn active(&self, most: u32) -> Result<Vec<CallState>, LedgerError>;

    /// Closes calls of other programs that began before an instant and were never ended. Returns
    /// how many there were.
    async fn close_older(&self, before: At, now: At) -> Result<u64, LedgerError>;
}

/// What another program says of a call.
pub struct StateChange {
    pub call_id: String,
    pub status: String,
    /// JSON, instead of what is there.
    pub metadata: Option<String>,
    pub now: At,
    /// With this the call is over.
    pub ends: bool,
}
