//! Opening the journal of the data folder.

use std::time::Duration;

use super::ledger::create_data_folder;
use super::{SetupError, is_in_memory, is_open_to_others};
use crate::adapter::journal::{self, Journal, JournalScan};
use crate::config::Settings;
use crate::domain::time::{At, Span};
use crate::wire::message::Message;

/// Receipts precede the clock by at most this while nothing is wrong.
const RECEIPT_AHEAD_MAX: Span = Span::seconds(1);

/// The open journal, and what it holds.
pub struct OpenJournal {
    pub journal: Journal,
    pub found: JournalScan,
    /// The receipt of its latest event.
    pub last_receipt: At,
}

/// Opens the journal, creates it where there is none, and reports damages.
pub fn open_journal(settings: &Settings, now: At) -> Result<OpenJournal, SetupError> {
    create_data_folder(settings)?;
    let limits = journal::Limits {
        segment_bytes: settings.journal.segment_bytes,
        total_bytes: settings.journal.total_bytes_max,
        retention: Duration::from_hours(settings.journal.kept_hours.into()),
    };
    let (journal, found) = Journal::open(&settings.data_dir.join("journal"), limits)?;

    if is_open_to_others(&settings.data_dir) {
        tracing::warn!(
            folder = %settings.data_dir.display(),
            "every user of this machine can read the data folder, with its numbers and secrets; \
             `chmod o-rwx` it"
        );
    }
    if is_in_memory(&settings.data_dir) {
        tracing::warn!(
            folder = %settings.data_dir.display(),
            "the data folder is in memory: its events are lost when the machine stops. Set \
             `data_dir` to a folder on a disk"
        );
    }
    report_damages(&found);
    if settings.journal.refuse_damaged && !found.damages.is_empty() {
        return Err(SetupError::Damaged {
            stretches: found.damages.len(),
        });
    }

    let oldest_waiting = receipt(found.first_unreleased.as_deref()).unwrap_or(now);
    journal.flow_counters().set_oldest_waiting(oldest_waiting);
    let last_receipt = last_receipt(&found).unwrap_or(At(0));
    report_clock(last_receipt, now);

    Ok(OpenJournal {
        journal,
        found,
        last_receipt,
    })
}

/// The receipt of the latest event in a journal.
#[must_use]
pub fn last_receipt(found: &JournalScan) -> Option<At> {
    receipt(found.last_payload.as_deref())
}

/// Whether the clock is behind the receipts of earlier events.
#[must_use]
pub fn is_clock_behind(last_receipt: At, now: At) -> bool {
    last_receipt > now + RECEIPT_AHEAD_MAX
}

fn receipt(message: Option<&[u8]>) -> Option<At> {
    let message = Message::decode(message?).ok()?;

    Some(message.at())
}

fn report_damages(found: &JournalScan) {
    for damage in &found.damages {
        tracing::error!(
            segment = %damage.segment.display(),
            offset = damage.offset,
            bytes = damage.bytes,
            "part of the journal cannot be read; its segment was copied to `corrupt`, the rest of \
             it is used"
        );
        metrics::counter!("cordboard_journal_damaged_bytes_total").increment(damage.bytes);
    }

    if found.torn_bytes > 0 {
        tracing::warn!(
            bytes = found.torn_bytes,
            "the end of the journal was cut off where an append was interrupted"
        );
    }
}

fn report_clock(last_receipt: At, now: At) {
    if !is_clock_behind(last_receipt, now) {
        return;
    }

    tracing::error!(
        seconds = (last_receipt - now).0 / 1_000_000,
        "the clock of this machine is behind the receipts of earlier events: it was ahead once, or \
         is wrong now. Receipts continue from the latest, a little slower than time, until the \
         clock has caught up"
    );
}
