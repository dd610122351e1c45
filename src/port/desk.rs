//! The missed-call desk: calls that are to be called back, and the people who do it.

use std::fmt;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::domain::text::PrivateText;
use crate::domain::time::At;

/// The work on a missed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeskStatus {
    Open,
    Assigned,
    Done,
}

impl DeskStatus {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeskStatus::Open => "open",
            DeskStatus::Assigned => "assigned",
            DeskStatus::Done => "done",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<DeskStatus> {
        [DeskStatus::Open, DeskStatus::Assigned, DeskStatus::Done]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// The call in which the caller was reached, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterCall {
    pub call_id: String,
    /// The extension that spoke, or speaks, with the caller.
    pub extension: Option<String>,
    pub started_at: At,
}

/// A missed call on the desk.
#[derive(Clone, PartialEq, Eq)]
pub struct DeskEntry {
    pub call_id: String,
    pub site: String,
    pub number: Option<PrivateText>,
    pub e164: Option<PrivateText>,
    pub name: Option<PrivateText>,
    /// The extensions that rang in vain, as JSON.
    pub extensions: String,
    pub started_at: At,
    pub missed_at: At,
    /// Unknown after a transfer that failed.
    pub waited_us: Option<i64>,
    pub status: DeskStatus,
    pub assigned_to: Option<String>,
    pub note: Option<PrivateText>,
    pub disposition: Option<String>,
    pub changed_at: Option<At>,
    pub changed_by: Option<String>,
    /// The first answered call with the number after it was missed.
    pub reached: Option<LaterCall>,
    /// Why the caller waits: the name of a
    /// [`CallBackCause`](crate::domain::call_back::CallBackCause).
    pub cause: String,
    /// A call to the number that is going on.
    pub calling: Option<LaterCall>,
}

impl fmt::Debug for DeskEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeskEntry")
            .field("call_id", &self.call_id)
            .field("site", &self.site)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A change of entries, of all of them or none.
#[derive(Clone)]
pub struct DeskChange {
    pub call_ids: Vec<String>,
    pub status: DeskStatus,
    pub assigned_to: Option<String>,
    /// `None` leaves the note as it is, an empty text removes it.
    pub note: Option<PrivateText>,
    /// `None` leaves the disposition as it is; an entry that is not done has none.
    pub disposition: Option<String>,
    pub by: String,
    pub now: At,
    /// The sites and numbers of the callers, without those who hide theirs.
    pub callers: Vec<(String, PrivateText)>,
    /// The instant of the list that the person saw; entries that another person has changed since are not
    /// changed.
    pub read_at: Option<At>,
    /// Changes also entries that another person has taken.
    pub takes_over: bool,
    /// A person who has taken a call since then has taken its caller, who may have called again.
    pub shown_since: At,
}

/// The stored state of a missed call, before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskState {
    pub call_id: String,
    pub site: String,
    /// The number of the caller, in its international form if it has one.
    pub number: Option<PrivateText>,
    pub status: DeskStatus,
    pub assigned_to: Option<String>,
    pub changed_at: Option<At>,
    pub changed_by: Option<String>,
}

/// That a person has changed entries of a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SiteChange {
    pub site: String,
    pub changed_at: At,
}

/// The entries that are asked for, the latest first.
#[derive(Clone, Debug)]
pub struct DeskPage {
    pub site: Option<String>,
    /// Entries of calls that were missed at this instant or later.
    pub since: At,
    /// Entries that come after this one: its instant and its call.
    pub before: Option<(At, String)>,
    pub stage: DeskStage,
    pub limit: u32,
}

/// The stage of the work on entries that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeskStage {
    /// Entries that are not done, and whose callers were not reached.
    Waiting,
    /// Those among them that a person has taken.
    Assigned,
    All,
}

/// Stored entries of the desk.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Entries that are not retracted. Some whose callers were reached may be among those that wait:
    /// that is found when they are read, and then marked.
    async fn entries(&self, page: &DeskPage) -> Result<Vec<DeskEntry>, LedgerError>;

    /// Takes back marks of calls missed since an instant whose callers were not reached after all,
    /// because a record was corrected. Returns their number.
    async fn verify_reached(&self, since: At) -> Result<u64, LedgerError>;

    /// The states of missed calls, without those that do not exist.
    async fn states(&self, call_ids: &[String]) -> Result<Vec<DeskState>, LedgerError>;

    /// The latest changes since an instant, at most `max`.
    async fn changes(&self, since: At, max: u32) -> Result<Vec<SiteChange>, LedgerError>;

    /// Changes entries, which exist. False when another person has taken one of their callers, or has
    /// changed one of them since it was read; nothing is changed then.
    async fn change(&self, change: &DeskChange) -> Result<bool, LedgerError>;
}
