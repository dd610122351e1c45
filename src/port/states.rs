//! States of calls for other programs: of calls that phones reported, and of calls that programs
//! registered themselves.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::text::PrivateText;
use crate::domain::time::At;

/// The provider of calls that phones report. Their state follows from facts alone.
pub const PHONE_PROVIDER: &str = "grandstream";

/// Maximum length of the metadata of a call that programs registered, as the database writes it.
pub const MERGED_BYTES_MAX: u32 = 128 * 1024;
/// Maximum length of the metadata in a list of calls; later calls are left out.
pub const LIST_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// One row of the view `call_states`.
#[derive(Clone, PartialEq, Eq)]
pub struct CallState {
    pub call_id: String,
    /// Another program's name for its conversation with this call.
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

/// Why a state is not changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("no call has this id")]
    NotFound,
    #[error("the state of this call follows from the reports of its phones")]
    OwnedByPhones,
    #[error("the call has ended")]
    Ended,
    #[error("the metadata of the call would have more than {MERGED_BYTES_MAX} bytes")]
    Full,
}

/// A key of the live view that leads to a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// The state of a call.
    Call(String),
    /// The call of a session.
    Session(String),
}

/// A key that could not be written, and how often it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutdatedState {
    pub name: StateName,
    pub times: i64,
}

/// Stored states.
#[async_trait]
pub trait StateLedger: OutdatedStates {
    /// Stores a new state. A stored call keeps its state, also a final call of phones, and gets the
    /// session where one is given; the metadata of a call that programs registered gets the members
    /// of the new one, unless they are too long together.
    async fn register(&self, state: &CallState) -> Result<Registration, LedgerError>;

    /// Changes the state of a call that is live and not reported by phones, unless its metadata gets
    /// too long. Returns the stored state and whether it was changed; `None` when no call has this
    /// id.
    async fn update(&self, change: &StateChange) -> Result<Option<(CallState, bool)>, LedgerError>;

    async fn by_id(&self, call_id: &str) -> Result<Option<CallState>, LedgerError>;

    /// Sites and ends of the calls that are known among these.
    async fn places(&self, call_ids: &[String]) -> Result<Vec<CallPlace>, LedgerError>;

    /// The latest call of a session.
    async fn by_session(&self, session_id: &str) -> Result<Option<CallState>, LedgerError>;

    /// Live calls, at most `max` and with metadata of at most [`LIST_BYTES_MAX`], the oldest first.
    async fn active(&self, max: u32) -> Result<Vec<CallState>, LedgerError>;

    /// Calls of other programs that ended at an instant or later, at most `max`, the latest first.
    async fn ended_since(&self, at: At, max: u32) -> Result<Vec<CallState>, LedgerError>;

    /// Closes calls of other programs that began before an instant and have no end. Returns them.
    async fn close_older(&self, before: At, now: At) -> Result<Vec<CallState>, LedgerError>;

    /// Parts a session from its call, by one of the two. The states stay. Returns the calls with
    /// the sessions that they had; nothing when there is no such call or session.
    async fn unregister(&self, what: Registered<'_>) -> Result<Vec<Joined>, LedgerError>;
}

/// States that the live view has otherwise.
#[async_trait]
pub trait OutdatedStates: Send + Sync {
    /// Notes a key that could not be written to the live view, for all gateways.
    async fn note_outdated(&self, name: &StateName) -> Result<(), LedgerError>;

    /// Keys that could not be written, at most `max`.
    async fn outdated(&self, max: u32) -> Result<Vec<OutdatedState>, LedgerError>;

    /// A key has been written since it was read here. It stays if it was noted once more meanwhile.
    async fn forget_outdated(&self, outdated: &OutdatedState) -> Result<(), LedgerError>;
}

impl StateName {
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            StateName::Call(call) => ("call", call),
            StateName::Session(session) => ("session", session),
        }
    }

    #[must_use]
    pub fn from_parts(kind: &str, name: String) -> StateName {
        if kind == "session" {
            StateName::Session(name)
        } else {
            StateName::Call(name)
        }
    }
}

/// The site of a call, and whether it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPlace {
    pub call_id: String,
    pub site: String,
    pub is_over: bool,
}

/// What a registration did.
pub struct Registration {
    pub state: CallState,
    /// The session that the call had before.
    pub session_before: Option<String>,
    /// The call was stored or changed. False also for a final call of phones without a session.
    pub is_stored: bool,
}

/// A call or a session, by its name.
#[derive(Clone, Copy)]
pub enum Registered<'n> {
    Call(&'n str),
    Session(&'n str),
}

/// A call and its session.
pub struct Joined {
    pub call_id: String,
    pub session_id: Option<String>,
}

impl From<(String, Option<String>)> for Joined {
    fn from((call_id, session_id): (String, Option<String>)) -> Joined {
        Joined {
            call_id,
            session_id,
        }
    }
}

/// A change of state by another program.
pub struct StateChange {
    pub call_id: String,
    pub status: String,
    /// A JSON object whose members are added to the stored metadata.
    pub metadata: Option<String>,
    pub now: At,
    /// The call ends with this change.
    pub ends: bool,
}
