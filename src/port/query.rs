//! Queries of the interfaces. Records come back as the JSON text that is stored, without another
//! round of decoding.

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::text::PrivateText;

/// A filter of calls; every field that is set must match.
#[derive(Clone, Default)]
pub struct CallFilter {
    pub site: Option<String>,
    /// Microseconds; calls that began at or after it.
    pub since: Option<i64>,
    /// Microseconds; calls that began before it.
    pub until: Option<i64>,
    /// The number of either party, as sent or in E.164.
    pub number: Option<String>,
    /// A part of a number, a name or the answering extension.
    pub text: Option<String>,
    /// Parties with a name that has `text` as a part: their calls match too.
    pub named: Vec<NamedParty>,
    /// The extension of a participant.
    pub extension: Option<String>,
    /// The call as one of its phones names it.
    pub call_ref: Option<String>,
    pub direction: Option<String>,
    pub outcome: Option<String>,
    pub status: Option<String>,
    /// Only calls that are not over.
    pub live: bool,
    /// The end of the page before.
    pub after: Option<(i64, String)>,
    pub limit: u32,
}

impl CallFilter {
    /// The calls of a site that are not over, or of all sites.
    #[must_use]
    pub fn of_live(site: Option<String>, limit: u32) -> CallFilter {
        CallFilter {
            live: true,
            site,
            limit,
            ..CallFilter::default()
        }
    }
}

/// A number or an extension of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedParty {
    pub site: String,
    pub number: String,
}

/// A stored record, with its position in the order of pages.
#[derive(Clone)]
pub struct StoredCall {
    pub started_at: i64,
    pub id: String,
    pub record: String,
}

/// Counts for operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Calls that are not over.
    pub live: u32,
    /// Unanswered calls whose phones are silent, and whose missed decision is not due yet.
    pub missed_pending: u32,
    /// Dead letters.
    pub dead: u32,
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

/// An extension and its agent.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedExtension {
    pub extension: String,
    pub first_report: i64,
    pub agent: Option<String>,
    pub name: Option<PrivateText>,
}

/// A phone, as it described itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedDevice {
    pub device: String,
    /// To the minute.
    pub last_seen: i64,
    /// The account that it named last.
    pub extension: Option<String>,
    pub model: Option<PrivateText>,
    pub firmware: Option<PrivateText>,
    /// The instant since when it takes no calls.
    pub dnd_since: Option<i64>,
}

/// An extension whose phones take no calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentExtension {
    pub site: String,
    pub extension: String,
    pub since: i64,
}

/// The ledger for the interfaces.
#[async_trait]
pub trait Query: Send + Sync {
    /// Calls that match, the newest first.
    async fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, LedgerError>;
    async fn call(&self, id: &str) -> Result<Option<String>, LedgerError>;
    /// Hourly statistics of calls that began in a period; its limits count to the minute. Hours begin as
    /// the period does, if that is a quarter of an hour.
    async fn stats(
        &self,
        site: Option<&str>,
        since: i64,
        until: i64,
    ) -> Result<Vec<HourStats>, LedgerError>;
    /// The sites that have reported anything, by name.
    async fn sites(&self) -> Result<Vec<String>, LedgerError>;
    /// The devices of a site, the one with the latest report first.
    async fn devices(&self, site: &str) -> Result<Vec<ReportedDevice>, LedgerError>;
    /// The extensions of a site, or of all sites, whose phones take no calls, and since when. An
    /// extension takes calls while another phone of it has reported since.
    async fn do_not_disturb(&self, site: Option<&str>)
    -> Result<Vec<SilentExtension>, LedgerError>;
    /// The extensions of a site and their agents.
    async fn extensions(&self, site: &str) -> Result<Vec<ReportedExtension>, LedgerError>;
    async fn counts(&self) -> Result<OperationCounts, LedgerError>;
}
