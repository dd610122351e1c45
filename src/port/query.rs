//! Questions the interfaces ask of the truth. Records come back as the JSON text that was stored:
//! nothing is read and written again.

use async_trait::async_trait;

use super::ledger::LedgerError;
use crate::domain::private::PrivateText;

/// Which calls are wanted; every part that is set must hold.
#[derive(Clone, Default)]
pub struct CallFilter {
    pub site: Option<String>,
    /// Microseconds; calls that began at or after it.
    pub since: Option<i64>,
    /// Microseconds; calls that began before it.
    pub until: Option<i64>,
    /// Any party's number, as sent or in E.164.
    pub number: Option<String>,
    /// A participant.
    pub extension: Option<String>,
    pub direction: Option<String>,
    pub outcome: Option<String>,
    pub status: Option<String>,
    /// Only calls that are not over.
    pub live: bool,
    /// Where the last page ended.
    pub after: Option<(i64, String)>,
    pub limit: u32,
}

/// A stored record, and its place in the order of pages.
#[derive(Clone)]
pub struct StoredCall {
    pub started_at: i64,
    pub id: String,
    pub record: String,
}

/// How much there is of what operations watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Calls that are not over.
    pub live: u32,
    /// Unanswered calls whose phones are silent, and of which it is not decided yet whether
    /// somebody missed them.
    pub missed_pending: u32,
    /// Messages that hold no fact, kept as they came.
    pub dead: u32,
}

/// A missed call that was not answered after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedCall {
    pub call_id: String,
    pub site: String,
    pub number: Option<PrivateText>,
    pub e164: Option<PrivateText>,
    /// JSON: the extensions that rang.
    pub extensions: String,
    pub missed_at: i64,
    pub desk_status: String,
    pub assigned_to: Option<String>,
}

/// The calls of one site, one direction and one hour.
#[derive(Clone, Debug, PartialEq)]
pub struct HourStats {
    pub site: String,
    pub hour: i64,
    pub direction: String,
    pub calls: i64,
    pub answered: i64,
    pub missed: i64,
    pub ring_us: i64,
    pub talk_us: i64,
}

/// An extension, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownExtension {
    pub extension: String,
    pub first_report: i64,
    pub agent: Option<String>,
    pub name: Option<PrivateText>,
}

/// The reading side of the ledger.
#[async_trait]
pub trait Query: Send + Sync {
    /// The newest calls first.
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError>;
    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError>;
    /// The newest first.
    async fn missed(&self, limit: u32) -> Result<Vec<MissedCall>, LedgerError>;
    /// Statistics by hour of the calls that began in a stretch of time, to the minute.
    async fn stats(&self, since: i64, until: i64) -> Result<Vec<HourStats>, LedgerError>;
    /// The devices of a site and when each was seen last, the latest first.
    async fn devices(&self, site: &str) -> Result<Vec<(String, i64)>, LedgerError>;
    /// The extensions of a site and who uses them.
    async fn extensions(&self, site: &str) -> Result<Vec<KnownExtension>, LedgerError>;
    async fn counts(&self) -> Result<OperationCounts, LedgerError>;
}
