//! What both databases keep in the same way: which records of a batch count, how statistics are
//! cut, what rows mean when they are read.

use std::collections::{BTreeMap, HashSet};

use sha2::Digest;

use crate::domain::fact::{CallId, EventId};
use crate::domain::notice::NoticeKind;
use crate::domain::record::{CallRecord, Outcome};
use crate::domain::time::At;
use crate::port::ledger::{CallUpdate, Changes, LedgerError};
use crate::port::outbox::Notification;
use crate::wire::message::IngressId;

/// Statistics are kept by the minute of the call's beginning, and shown by the hour.
pub(super) const MINUTE_US: i64 = 60_000_000;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
/// News kept for watchers who are away.
pub(super) const NEWS_KEPT: i64 = 10_000;
/// Facts from before the first open call that may have something to do with it.
pub(super) const BEFORE_OPEN_CALLS_US: i64 = 180_000_000;

/// What a database says, named by what the caller does next.
impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> LedgerError {
        use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode};
        if let Some(database) = error.as_database_error() {
            if let Some(error) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                return super::postgres::classify(error);
            }
            if let Some(error) = database.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                return super::sqlite::classify(error);
            }
        }
        match error {
            Decode(_) | ColumnDecode { .. } | ColumnNotFound(_) => {
                LedgerError::Corrupt(error.to_string())
            }
            _ => LedgerError::Unavailable(error.to_string()),
        }
    }
}

/// A migration, and whether the database has it.
#[derive(Clone, Debug)]
pub struct MigrationStatus {
    pub version: i64,
    pub description: String,
    pub applied: bool,
}

/// A call may have changed and finished within the batch: the last word counts.
pub(super) fn latest_per_call(changes: &Changes) -> Vec<&CallUpdate> {
    let mut seen = HashSet::new();
    changes
        .calls
        .iter()
        .rev()
        .filter(|call| seen.insert(call.record.id))
        .collect()
}

/// The minute in which a call that began then is counted.
pub(super) fn minute_of(started_us: i64) -> i64 {
    started_us - started_us.rem_euclid(MINUTE_US)
}

/// Who answered, as the log shows it.
pub(super) fn answered_by(record: &CallRecord) -> Option<String> {
    let owner = record.answered_by.as_ref()?;
    Some(
        owner
            .extension
            .as_ref()
            .map_or_else(|| owner.device.to_string(), ToString::to_string),
    )
}

pub(super) fn is_missed(record: &CallRecord) -> bool {
    record.outcome == Some(Outcome::Missed)
}

/// The extensions that rang, as JSON.
pub(super) fn missed_extensions(record: &CallRecord) -> String {
    let extensions: Vec<&str> = record
        .missed_extensions
        .iter()
        .map(crate::domain::device::Extension::as_str)
        .collect();
    serde_json::to_string(&extensions).unwrap_or_default()
}

pub(super) fn missed_at(record: &CallRecord) -> At {
    record.ended_at.unwrap_or(record.started_at)
}

pub(super) fn call_id(text: &str) -> Result<CallId, LedgerError> {
    EventId::parse(text).ok_or_else(|| LedgerError::Corrupt(format!("{text:?} is no call id")))
}

pub(super) fn notification(
    number: i64,
    kind: &str,
    call: CallId,
    data: &str,
) -> Result<Notification, LedgerError> {
    let unknown = || LedgerError::Corrupt(format!("{kind:?} is no kind of news"));
    Ok(Notification {
        number: number.cast_unsigned(),
        kind: NoticeKind::named(kind).ok_or_else(unknown)?,
        call,
        data: data.into(),
    })
}

/// The last promise of each ingress, as JSON.
pub(super) fn ticks_text(ticks: &BTreeMap<IngressId, At>) -> String {
    let plain: BTreeMap<String, i64> = ticks
        .iter()
        .map(|(ingress, at)| (ingress.to_string(), at.0))
        .collect();
    serde_json::to_string(&plain).unwrap_or_default()
}

pub(super) fn parse_ticks(text: &str) -> Result<BTreeMap<IngressId, At>, LedgerError> {
    let plain: BTreeMap<String, i64> =
        serde_json::from_str(text).map_err(|error| LedgerError::Corrupt(error.to_string()))?;
    Ok(plain
        .into_iter()
        .filter_map(|(ingress, at)| Some((IngressId::parse(&ingress)?, At(at))))
        .collect())
}

/// The name under which a message is set aside: the same message is set aside once.
#[must_use]
pub fn digest(message: &[u8]) -> String {
    hex(&sha2::Sha256::digest(message))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
