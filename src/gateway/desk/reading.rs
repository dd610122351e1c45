//! The missed calls of a list or of statistics, read from the database piece by piece.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::At;
use crate::port::desk::{Desk, DeskEntry, DeskPage, DeskStage};
use crate::port::error::LedgerError;

/// Missed calls that are read at once. All of the first ones are joined to their callers.
const CALLS_AT_ONCE: u32 = 1_000;
/// Missed calls that are read for one list: those of callers who call very often.
pub(super) const CALLS_MAX: u32 = 20_000;
/// No further ones are read for it after this time.
const TIME_MAX: Duration = Duration::from_secs(2);
/// The first id in the order of both databases.
const FIRST_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Missed calls, the latest first.
pub(super) struct MissedCalls<'d> {
    desk: &'d dyn Desk,
    page: DeskPage,
    until: Instant,
    read: u32,
    is_complete: bool,
}

impl MissedCalls<'_> {
    pub(super) fn since(
        desk: &dyn Desk,
        site: Option<String>,
        since: At,
        stage: DeskStage,
    ) -> MissedCalls<'_> {
        MissedCalls {
            desk,
            page: DeskPage {
                site,
                since,
                before: None,
                stage,
                limit: CALLS_AT_ONCE,
            },
            until: Instant::now() + TIME_MAX,
            read: 0,
            is_complete: false,
        }
    }

    /// Only calls that were missed before an instant.
    pub(super) fn before(mut self, until: At) -> Self {
        self.page.before = Some((until, FIRST_ID.to_owned()));

        self
    }

    /// Whether all of them were read, and there were not too many.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The next ones; `None` behind the last, or when too many were read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<DeskEntry>>, LedgerError> {
        if self.is_complete || self.read >= CALLS_MAX || Instant::now() >= self.until {
            return Ok(None);
        }

        let entries = self.desk.entries(&self.page).await?;
        self.is_complete = entries.len() < CALLS_AT_ONCE as usize;
        self.page.before = entries
            .last()
            .map(|entry| (entry.missed_at, entry.call_id.clone()));
        self.read += CALLS_AT_ONCE;

        Ok(Some(entries))
    }
}
