//! Rules that both databases share: which records of a batch are stored, how statistics are
//! grouped, and how stored values are encoded and parsed. Imports neither database's adapter.

pub(super) mod accounts;
pub(super) mod claims;
pub(super) mod contacts;
pub(super) mod desk;
pub(super) mod devices;
pub(super) mod directory;
mod errors;
pub(super) mod links;
mod migrations;
pub(super) mod outdated_states;
pub(super) mod reached;
pub(super) mod repeats;
pub(super) mod site_rules;
pub(super) mod transfers;
pub(super) mod webhook_statements;
pub(super) mod webhooks;
pub(super) mod windows;

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use futures_util::{Stream, TryStreamExt};
use sha2::Digest;

use crate::domain::device::Extension;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::notice::NoticeKind;
use crate::domain::record::CallRecord;
use crate::domain::time::At;
use crate::port::ledger::{BelievedInstants, FactsAhead, HistoryLimit, LedgerError};
use crate::port::outbox::Notification;
use crate::wire::message::IngressId;

pub(super) use migrations::{MigrationFiles, embed_migrations, migrator, parse_version, status};
pub use migrations::{MigrationStatus, TableStatus};

/// Statistics are stored by the minute of the call's beginning, and reported by the hour.
pub(super) const MINUTE_US: i64 = 60_000_000;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;

/// The begin of the hours of statistics within those of UTC: that of the period, if a time zone has
/// such ones.
pub(super) fn begin_of_hours(since: i64) -> i64 {
    if since % (15 * MINUTE_US) == 0 {
        since.rem_euclid(HOUR_US)
    } else {
        0
    }
}
/// Notifications stored for watchers that reconnect.
pub(super) const NOTIFICATIONS_STORED: i64 = 10_000;
/// So many more are stored while they have not become deliveries and a webhook works.
pub(super) const NOTIFICATIONS_STORED_UNSENT: i64 = 40_000;
/// Facts from this long before the first open call may belong to it.
pub(super) const BEFORE_OPEN_CALLS_US: i64 = 180_000_000;

/// The messages of a query; `None` as soon as they exceed the limit.
pub(super) async fn within_limit(
    mut rows: impl Stream<Item = Result<String, sqlx::Error>> + Unpin,
    limit: HistoryLimit,
) -> Result<Option<Vec<Vec<u8>>>, sqlx::Error> {
    let mut messages = Vec::new();
    let mut bytes = 0;

    while let Some(message) = rows.try_next().await? {
        bytes += message.len();
        if messages.len() >= limit.messages as usize || bytes > limit.bytes {
            return Ok(None);
        }
        messages.push(message.into_bytes());
    }

    Ok(Some(messages))
}

/// The stored time of a partition.
pub(super) struct StoredTime {
    pub watermark: i64,
    pub ticks: BTreeMap<IngressId, At>,
}

impl StoredTime {
    /// Sets back a watermark and drops ticks that are ahead. Returns the watermark that it was, if
    /// one of them was ahead.
    pub(super) fn correct(&mut self, believed: BelievedInstants) -> Option<At> {
        let ticks = self.ticks.len();
        self.ticks.retain(|_, at| *at <= believed.last);

        let watermark = self.watermark;
        self.watermark = watermark.min(believed.last.0);

        (ticks != self.ticks.len() || watermark != self.watermark).then_some(At(watermark))
    }
}

/// The pattern of `LIKE` for a text anywhere in a column.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for char in text.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');

    pattern
}

/// Returns the minute whose statistics count a call that began at `started_us`.
pub(super) fn minute_of(started_us: i64) -> i64 {
    started_us.saturating_sub(started_us.rem_euclid(MINUTE_US))
}

/// Returns the extension that answered, or the device where it has none.
pub(super) fn answered_by(record: &CallRecord) -> Option<String> {
    let owner = record.answered_by.as_ref()?;

    Some(
        owner
            .extension
            .as_ref()
            .map_or_else(|| owner.device.to_string(), ToString::to_string),
    )
}

/// Returns the extensions that rang in vain, as JSON.
pub(super) fn missed_extensions(record: &CallRecord) -> String {
    let extensions: Vec<&str> = record
        .unreached_extensions()
        .into_iter()
        .map(Extension::as_str)
        .collect();

    serde_json::to_string(&extensions).unwrap_or_default()
}

pub(super) fn missed_at(record: &CallRecord) -> At {
    record.ended_at.unwrap_or(record.started_at)
}

/// Builds the period of a site's facts that are ahead from its columns.
pub(super) fn facts_ahead(
    (site, first, last, count): (String, i64, i64, i64),
) -> Option<FactsAhead> {
    Some(FactsAhead {
        site: Site::parse(&site)?,
        first: At(first),
        last: At(last),
        count: count.cast_unsigned(),
    })
}

/// Parses a stored call id.
pub(super) fn parse_call_id(text: &str) -> Result<CallId, LedgerError> {
    EventId::parse(text)
        .ok_or_else(|| LedgerError::Corrupt(format!("{text:?} is no call id").into()))
}

/// Builds a notification from its stored columns.
pub(super) fn notification(
    number: i64,
    kind: &str,
    call: CallId,
    data: &str,
) -> Result<Notification, LedgerError> {
    let unknown = || LedgerError::Corrupt(format!("{kind:?} is no kind of notification").into());

    Ok(Notification {
        number: number.cast_unsigned(),
        kind: NoticeKind::from_name(kind).ok_or_else(unknown)?,
        call,
        data: data.into(),
    })
}

/// Encodes the last promise of each ingress as JSON.
pub(super) fn ticks_text(ticks: &BTreeMap<IngressId, At>) -> String {
    let plain: BTreeMap<String, i64> = ticks
        .iter()
        .map(|(ingress, at)| (ingress.to_string(), at.0))
        .collect();

    serde_json::to_string(&plain).unwrap_or_default()
}

/// Parses the last promise of each ingress.
pub(super) fn parse_ticks(text: &str) -> Result<BTreeMap<IngressId, At>, LedgerError> {
    let plain: BTreeMap<String, i64> =
        serde_json::from_str(text).map_err(|error| LedgerError::Corrupt(error.into()))?;

    Ok(plain
        .into_iter()
        .filter_map(|(ingress, at)| Some((IngressId::parse(&ingress)?, At(at))))
        .collect())
}

/// Returns the name of a dead letter: the SHA-256 digest of its message, in hexadecimal. The same
/// message is stored once.
#[must_use]
pub fn digest(message: &[u8]) -> String {
    HEXLOWER.encode(&sha2::Sha256::digest(message))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_history_above_its_limit_is_not_read_to_its_end() {
        let rows = || stream::iter(["aaaa", "bb", "c"].map(|row| Ok(row.to_owned())));
        let limit = |messages, bytes| HistoryLimit { messages, bytes };

        for (limit, is_read) in [
            (HistoryLimit::NONE, true),
            (limit(3, 7), true),
            (limit(2, 7), false),
            (limit(3, 6), false),
        ] {
            let read = within_limit(rows(), limit).await.expect("rows");
            assert_eq!(
                read.map(|read| read.len()),
                is_read.then_some(3),
                "{limit:?}"
            );
        }
    }
}
