//! The writing side: one transaction per batch, guarded by the owner of the partition.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};

use super::{SqliteLedger, rows};
use crate::adapter::sql;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{
    Changes, Ledger, LedgerError, Lookback, ReceivedFact, RecordAudit, RecoveredState,
};
use crate::port::outbox::{Notification, NotificationLog};

/// The one partition there is without a broker.
const PART: i64 = 0;

const INSERT_EVENTS: &str = "INSERT OR IGNORE INTO call_events (event_id, site, received_at, event, device, extension, remote, remote_e164, call_ref, envelope)
 SELECT value->>'event_id', value->>'site', value->>'received_at', value->>'event', value->>'device', value->>'extension', value->>'remote', value->>'remote_e164', value->>'call_ref', value->>'envelope' FROM json_each(?1)";
const INSERT_SITES: &str = "INSERT OR IGNORE INTO sites (site, first_seen) SELECT value->>'site', min(value->>'received_at') FROM json_each(?1) GROUP BY 1";
const UPSERT_DEVICES: &str = "INSERT INTO devices (site, device, last_seen) SELECT value->>'site', value->>'device', max(value->>'received_at') FROM json_each(?1) WHERE true GROUP BY 1, 2
 ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)";
const UPSERT_EXTENSIONS: &str = "INSERT INTO extensions (site, extension, first_report) SELECT value->>'site', value->>'extension', min(value->>'received_at') FROM json_each(?1) WHERE value->>'extension' IS NOT NULL GROUP BY 1, 2
 ON CONFLICT DO UPDATE SET first_report = min(first_report, excluded.first_report)";
const INSERT_DEAD: &str = "INSERT OR IGNORE INTO dead_events (digest, reason, message) SELECT value->>'digest', value->>'reason', unhex(value->>'message') FROM json_each(?1)";
const INSERT_NEWS: &str = "INSERT OR REPLACE INTO notices (number, kind, call_id, data) SELECT value->>'number', value->>'kind', value->>'call_id', value->>'data' FROM json_each(?1)";
const UPSERT_CALLS: &str = "INSERT INTO call_logs (call_id, site, direction, status, outcome, from_number, from_e164, to_number, to_e164, answered_by, started_at, answered_at, ended_at, ring_us, talk_us, total_us, is_final, record)
 SELECT value->>'call_id', value->>'site', value->>'direction', value->>'status', value->>'outcome', value->>'from_number', value->>'from_e164', value->>'to_number', value->>'to_e164', value->>'answered_by', value->>'started_at', value->>'answered_at', value->>'ended_at', value->>'ring_us', value->>'talk_us', value->>'total_us', value->>'is_final', value->>'record' FROM json_each(?1) WHERE true
 ON CONFLICT DO UPDATE SET direction = excluded.direction, status = excluded.status, outcome = excluded.outcome, from_number = excluded.from_number, from_e164 = excluded.from_e164, to_number = excluded.to_number, to_e164 = excluded.to_e164, answered_by = excluded.answered_by, started_at = excluded.started_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at, ring_us = excluded.ring_us, talk_us = excluded.talk_us, total_us = excluded.total_us, is_final = excluded.is_final, record = excluded.record";
const INSERT_PARTICIPANTS: &str = "INSERT INTO call_participants (call_id, place, extension, device, role, rang_at, answered_at, left_at, outcome)
 SELECT value->>'call_id', value->>'place', value->>'extension', value->>'device', value->>'role', value->>'rang_at', value->>'answered_at', value->>'left_at', value->>'outcome' FROM json_each(?1)";
const INSERT_LINKS: &str = "INSERT OR REPLACE INTO call_links (call_id, linked_call_id, kind, confidence, reason)
 SELECT value->>'call_id', value->>'linked_call_id', value->>'kind', value->>'confidence', value->>'reason' FROM json_each(?1)";
const UPSERT_STATES: &str = "INSERT INTO call_states (call_id, session_id, provider, site, direction, status, from_number, to_number, call_metadata, created_at, updated_at, ended_at)
 SELECT value->>'call_id', NULL, 'grandstream', value->>'site', value->>'direction', value->>'status', value->>'from_number', value->>'to_number', value->>'record', value->>'started_at', ?2, value->>'ended_at' FROM json_each(?1)
 WHERE value->>'is_final' = 0 OR EXISTS (SELECT 1 FROM call_states WHERE call_id = value->>'call_id')
 ON CONFLICT DO UPDATE SET direction = excluded.direction, status = excluded.status, from_number = excluded.from_number, to_number = excluded.to_number, call_metadata = excluded.call_metadata, updated_at = excluded.updated_at, ended_at = excluded.ended_at";
const UPSERT_MISSED: &str = "INSERT INTO missed_call_logs (call_id, site, from_number, from_e164, extensions, missed_at)
 SELECT value->>'call_id', value->>'site', value->>'from_number', value->>'from_e164', value->>'extensions', value->>'missed_at' FROM json_each(?1) WHERE true
 ON CONFLICT DO UPDATE SET extensions = excluded.extensions, missed_at = excluded.missed_at, retracted = 0";
/// A missed call whose call is written again without being missed was answered after all.
const RETRACT_MISSED: &str = "UPDATE missed_call_logs SET retracted = 1
 WHERE call_id IN (SELECT value FROM json_each(?1)) AND NOT EXISTS (SELECT 1 FROM call_logs WHERE call_logs.call_id = missed_call_logs.call_id AND outcome = 'missed')";
/// Statistics of a minute are what its logs say. A minute, because every commit counts the calls of
/// those it touched.
const DELETE_STATS: &str = "DELETE FROM call_stats WHERE (site, minute) IN (SELECT value->>'site', value->>'minute' FROM json_each(?1))";
const INSERT_STATS: &str = "INSERT INTO call_stats (site, minute, direction, calls, answered, missed, ring_us, talk_us)
 SELECT touched.value->>'site', touched.value->>'minute', direction, count(*), count(*) FILTER (WHERE outcome = 'answered'), count(*) FILTER (WHERE outcome = 'missed'), coalesce(sum(ring_us), 0), sum(talk_us)
 FROM json_each(?1) AS touched JOIN call_logs ON call_logs.site = touched.value->>'site' AND started_at >= touched.value->>'minute' AND started_at < (touched.value->>'minute') + ?2
 WHERE outcome IS NOT NULL GROUP BY 1, 2, 3";

#[async_trait]
impl Ledger for SqliteLedger {
    async fn take_over(&self, memory: Lookback) -> Result<RecoveredState, LedgerError> {
        let mut writer = self.writer.lease().await?;
        let standing = take_over(&mut writer, &self.owner, memory).await?;
        writer.give_back();
        Ok(standing)
    }

    async fn unknown_facts(&self, facts: &[ReceivedFact]) -> Result<Vec<EventId>, LedgerError> {
        let ids: Vec<EventId> = facts.iter().map(|received| received.fact.id).collect();
        let known: Vec<String> = sqlx::query_scalar(
            "SELECT event_id FROM call_events WHERE event_id IN (SELECT value FROM json_each(?1))",
        )
        .bind(rows::ids(&ids))
        .fetch_all(&self.readers)
        .await?;
        let known: std::collections::HashSet<String> = known.into_iter().collect();
        Ok(ids
            .into_iter()
            .filter(|id| !known.contains(&id.to_string()))
            .collect())
    }

    async fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        if !owns(&mut transaction, &self.owner, changes).await? {
            return Err(LedgerError::Fenced);
        }
        write(&mut transaction, changes).await?;
        transaction.commit().await?;
        writer.give_back();
        Ok(())
    }

    async fn fact_messages(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let sql = "SELECT envelope FROM call_events WHERE site = ?1 AND received_at >= ?2 AND received_at <= ?3 ORDER BY received_at, event_id";
        let texts: Vec<String> = sqlx::query_scalar(sql)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0)
            .fetch_all(&self.readers)
            .await?;
        Ok(texts.into_iter().map(String::into_bytes).collect())
    }

    async fn notifications_after(
        &self,
        number: u64,
        most: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        let sql = "SELECT number, kind, call_id, data FROM notices WHERE number > ?1 ORDER BY number LIMIT ?2";
        let stored: Vec<(i64, String, String, String)> = sqlx::query_as(sql)
            .bind(number.cast_signed())
            .bind(most)
            .fetch_all(&self.readers)
            .await?;
        stored.into_iter().map(news).collect()
    }

    async fn record_attempt(&self, message: &[u8]) -> Result<u32, LedgerError> {
        let sql = "INSERT INTO suspects (digest, attempts) VALUES (?1, 1) ON CONFLICT DO UPDATE SET attempts = attempts + 1 RETURNING attempts";
        let mut writer = self.writer.lease().await?;
        let attempts: u32 = sqlx::query_scalar(sql)
            .bind(sql::digest(message))
            .fetch_one(&mut *writer)
            .await?;
        writer.give_back();
        Ok(attempts)
    }

    async fn clear_attempts(&self, message: &[u8]) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;
        sqlx::query("DELETE FROM suspects WHERE digest = ?1")
            .bind(sql::digest(message))
            .execute(&mut *writer)
            .await?;
        writer.give_back();
        Ok(())
    }

    async fn calls_started(
        &self,
        site: &Site,
        from: At,
        to: At,
    ) -> Result<Vec<CallId>, LedgerError> {
        let sql = "SELECT call_id FROM call_logs WHERE site = ?1 AND started_at >= ?2 AND started_at <= ?3";
        let texts: Vec<String> = sqlx::query_scalar(sql)
            .bind(site.as_str())
            .bind(from.0)
            .bind(to.0)
            .fetch_all(&self.readers)
            .await?;
        texts.iter().map(|text| sql::call_id(text)).collect()
    }
}

#[async_trait]
impl RecordAudit for SqliteLedger {
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError> {
        let names: Vec<String> = sqlx::query_scalar("SELECT site FROM sites ORDER BY site")
            .fetch_all(&self.readers)
            .await?;
        let watermark: Option<i64> =
            sqlx::query_scalar("SELECT watermark FROM partition_owner WHERE part = ?1")
                .bind(PART)
                .fetch_optional(&self.readers)
                .await?;
        let watermark = At(watermark.unwrap_or(At::START.0));
        Ok(names
            .iter()
            .filter_map(|name| Some((Site::parse(name)?, watermark)))
            .collect())
    }

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        Ok(At::START)
    }

    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError> {
        let sql = "SELECT call_id, record FROM call_logs WHERE site = ?1 ORDER BY call_id";
        let stored = sqlx::query(sql)
            .bind(site.as_str())
            .map(|row: sqlx::sqlite::SqliteRow| (row.get(0), row.get(1)))
            .fetch_all(&self.readers)
            .await;
        Ok(stored?)
    }
}

#[async_trait]
impl NotificationLog for SqliteLedger {
    async fn recent(&self, most: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
        let sql = "SELECT number, kind, call_id, data FROM notices ORDER BY number DESC LIMIT ?1";
        let stored: Vec<(i64, String, String, String)> = sqlx::query_as(sql)
            .bind(most)
            .fetch_all(&self.readers)
            .await?;
        stored
            .into_iter()
            .rev()
            .map(|row| Ok((0, news(row)?)))
            .collect()
    }
}

async fn take_over(
    writer: &mut SqliteConnection,
    owner: &str,
    memory: Lookback,
) -> Result<RecoveredState, LedgerError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let sql = "INSERT INTO partition_owner (part, epoch, owner, watermark) VALUES (?1, 1, ?2, ?3)
        ON CONFLICT DO UPDATE SET epoch = epoch + 1, owner = excluded.owner RETURNING watermark, ticks";
    let (watermark, ticks): (i64, String) = sqlx::query_as(sql)
        .bind(PART)
        .bind(owner)
        .bind(At::START.0)
        .fetch_one(&mut *transaction)
        .await?;
    let open: Vec<(String, i64)> =
        sqlx::query("SELECT call_id, started_at FROM call_logs WHERE is_final = 0")
            .map(|row: sqlx::sqlite::SqliteRow| (row.get(0), row.get(1)))
            .fetch_all(&mut *transaction)
            .await?;
    // Whole calls only: of one that is read in part nobody could say which it is.
    let base = open
        .iter()
        .map(|(_, started)| *started)
        .min()
        .unwrap_or(i64::MAX)
        .min(watermark.max(0))
        - memory.links.0;
    let sql = "SELECT min(started_at) FROM call_logs WHERE is_final = 0 OR (started_at >= ?1 AND ended_at >= ?2)";
    let first: Option<i64> = sqlx::query_scalar(sql)
        .bind(base - memory.calls.0)
        .bind(base)
        .fetch_one(&mut *transaction)
        .await?;
    let since = first.map(|first| first - sql::BEFORE_OPEN_CALLS_US);
    let messages: Vec<String> = match since {
        None => Vec::new(),
        Some(since) => {
            let sql = "SELECT envelope FROM call_events WHERE received_at >= ?1 ORDER BY received_at, event_id";
            sqlx::query_scalar(sql)
                .bind(since)
                .fetch_all(&mut *transaction)
                .await?
        }
    };
    let extensions: Vec<(String, String, i64)> =
        sqlx::query("SELECT site, extension, first_report FROM extensions")
            .map(|row: sqlx::sqlite::SqliteRow| (row.get(0), row.get(1), row.get(2)))
            .fetch_all(&mut *transaction)
            .await?;
    let told: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM notices")
        .fetch_one(&mut *transaction)
        .await?;
    let sql = "SELECT max((SELECT max(received_at) FROM call_events WHERE call_events.site = sites.site)) FROM sites";
    let stored_until: Option<i64> = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    let known = |(site, extension, first): (String, String, i64)| {
        Some((
            Site::parse(&site)?,
            Extension::parse(&extension)?,
            At(first),
        ))
    };
    Ok(RecoveredState {
        ticks: sql::parse_ticks(&ticks)?,
        watermark: (watermark != At::START.0).then_some(At(watermark)),
        last_fact_at: stored_until.map(At),
        messages: messages.into_iter().map(String::into_bytes).collect(),
        open_calls: open
            .iter()
            .filter_map(|(text, _)| sql::call_id(text).ok())
            .collect(),
        extensions: extensions.into_iter().filter_map(known).collect(),
        last_notification: told.cast_unsigned(),
        // Nobody outside this process listens.
        published_up_to: told.cast_unsigned(),
    })
}

/// The fence: only the last owner writes. Moves the watermark on the way.
async fn owns(
    transaction: &mut SqliteConnection,
    owner: &str,
    changes: &Changes,
) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE partition_owner SET watermark = max(watermark, ?3), ticks = CASE ?4 WHEN '{}' THEN ticks ELSE ?4 END WHERE part = ?1 AND owner = ?2";
    let (watermark, ticks) = (
        changes.watermark.unwrap_or(At::START),
        sql::ticks_text(&changes.ticks),
    );
    let done = sqlx::query(sql)
        .bind(PART)
        .bind(owner)
        .bind(watermark.0)
        .bind(ticks)
        .execute(transaction)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn write(transaction: &mut SqliteConnection, changes: &Changes) -> Result<(), sqlx::Error> {
    if !changes.facts.is_empty() {
        let events = rows::array(&changes.facts.iter().map(rows::event).collect::<Vec<_>>());
        for sql in [
            INSERT_EVENTS,
            INSERT_SITES,
            UPSERT_DEVICES,
            UPSERT_EXTENSIONS,
        ] {
            run(transaction, sql, &events).await?;
        }
    }
    if !changes.rejected.is_empty() {
        let dead = rows::array(&changes.rejected.iter().map(rows::dead).collect::<Vec<_>>());
        run(transaction, INSERT_DEAD, &dead).await?;
    }
    if !changes.calls.is_empty() || !changes.withdrawn_calls.is_empty() {
        write_calls(transaction, changes).await?;
    }
    if let Some(last) = changes.notifications.last() {
        run(
            transaction,
            INSERT_NEWS,
            &rows::array(
                &changes
                    .notifications
                    .iter()
                    .map(rows::news)
                    .collect::<Vec<_>>(),
            ),
        )
        .await?;
        let forgotten = last.number.cast_signed() - sql::NEWS_KEPT;
        sqlx::query("DELETE FROM notices WHERE number <= ?1")
            .bind(forgotten)
            .execute(transaction)
            .await?;
    }
    Ok(())
}

fn news(
    (number, kind, call, data): (i64, String, String, String),
) -> Result<Notification, LedgerError> {
    sql::notification(number, &kind, sql::call_id(&call)?, &data)
}

async fn write_calls(
    transaction: &mut SqliteConnection,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let last = sql::latest_per_call(changes);
    let mut all: Vec<CallId> = last.iter().map(|call| call.record.id).collect();
    let mut minutes = touched_minutes(transaction, &changes.withdrawn_calls, &all).await?;
    all.extend(&changes.withdrawn_calls);
    let ids = rows::ids(&all);
    run(
        transaction,
        "DELETE FROM call_participants WHERE call_id IN (SELECT value FROM json_each(?1))",
        &ids,
    )
    .await?;
    run(
        transaction,
        "DELETE FROM call_links WHERE by_hand = 0 AND call_id IN (SELECT value FROM json_each(?1))",
        &ids,
    )
    .await?;
    // A call that another program has joined to a session of its own stays for it to be found.
    let over: Vec<CallId> = last
        .iter()
        .filter(|call| call.is_final)
        .map(|call| call.record.id)
        .chain(changes.withdrawn_calls.iter().copied())
        .collect();
    run(
        transaction,
        "DELETE FROM call_states WHERE session_id IS NULL AND call_id IN (SELECT value FROM json_each(?1))",
        &rows::ids(&over),
    )
    .await?;
    run(
        transaction,
        "DELETE FROM call_logs WHERE call_id IN (SELECT value FROM json_each(?1))",
        &rows::ids(&changes.withdrawn_calls),
    )
    .await?;

    let calls = rows::array(&last.iter().map(|call| rows::call(call)).collect::<Vec<_>>());
    run(transaction, UPSERT_CALLS, &calls).await?;
    let updated = changes.watermark.unwrap_or(At::START).0;
    sqlx::query(UPSERT_STATES)
        .bind(&calls)
        .bind(updated)
        .execute(&mut *transaction)
        .await?;
    let participants: Vec<Value> = last
        .iter()
        .flat_map(|call| rows::participants(&call.record))
        .collect();
    run(
        transaction,
        INSERT_PARTICIPANTS,
        &rows::array(&participants),
    )
    .await?;
    let links: Vec<Value> = last
        .iter()
        .flat_map(|call| rows::links(&call.record))
        .collect();
    if !links.is_empty() {
        run(transaction, INSERT_LINKS, &rows::array(&links)).await?;
    }
    let missed: Vec<Value> = last
        .iter()
        .filter_map(|call| rows::missed(&call.record))
        .collect();
    if !missed.is_empty() {
        run(transaction, UPSERT_MISSED, &rows::array(&missed)).await?;
    }
    run(transaction, RETRACT_MISSED, &ids).await?;

    minutes.extend(
        last.iter()
            .map(|call| minute_of(call.record.site.as_str(), call.record.started_at.0)),
    );
    minutes.sort_by_key(ToString::to_string);
    minutes.dedup();
    let minutes = rows::array(&minutes);
    run(transaction, DELETE_STATS, &minutes).await?;
    sqlx::query(INSERT_STATS)
        .bind(&minutes)
        .bind(sql::MINUTE_US)
        .execute(&mut *transaction)
        .await?;
    Ok(())
}

/// The minutes in which calls that are written again were counted before.
async fn touched_minutes(
    transaction: &mut SqliteConnection,
    withdrawn: &[CallId],
    changed: &[CallId],
) -> Result<Vec<Value>, sqlx::Error> {
    let both: Vec<CallId> = withdrawn.iter().chain(changed).copied().collect();
    let sql =
        "SELECT site, started_at FROM call_logs WHERE call_id IN (SELECT value FROM json_each(?1))";
    let rows: Vec<(String, i64)> = sqlx::query(sql)
        .bind(rows::ids(&both))
        .map(|row: sqlx::sqlite::SqliteRow| (row.get(0), row.get(1)))
        .fetch_all(transaction)
        .await?;
    Ok(rows
        .iter()
        .map(|(site, started)| minute_of(site, *started))
        .collect())
}

fn minute_of(site: &str, started_us: i64) -> Value {
    serde_json::json!({ "site": site, "minute": sql::minute_of(started_us) })
}

async fn run(
    transaction: &mut SqliteConnection,
    sql: &'static str,
    rows: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(sql)
        .bind(rows)
        .execute(transaction)
        .await
        .map(|_| ())
}
