//! Questions the interfaces ask of the truth. Records come back as the JSON text that was stored: nothing is read and written again.

use futures_util::future::BoxFuture;

use super::ledger::LedgerError;

/// Which calls are wanted; every part that is set must hold.
#[derive(Clone, Debug, Default)]
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
#[derive(Clone, Debug)]
pub struct StoredCall {
    pub started_at: i64,
    pub id: String,
    pub record: String,
}

/// The reading side of the ledger.
pub trait Query: Send + Sync {
    /// The newest calls first.
    fn calls<'a>(&'a self, filter: &'a CallFilter) -> BoxFuture<'a, Result<Vec<StoredCall>, LedgerError>>;
    fn call<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, LedgerError>>;
    /// Missed calls that were not answered after all, the newest first, as JSON objects.
    fn missed(&self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, LedgerError>>;
    /// Statistics by hour and direction in a stretch of time, as JSON objects.
    fn stats(&self, since: i64, until: i64) -> BoxFuture<'_, Result<Vec<String>, LedgerError>>;
}
