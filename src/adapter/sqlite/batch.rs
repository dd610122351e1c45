//! Writes of one batch, within the transaction of its commit.

use std::collections::HashSet;

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::database::PARTITION;
use super::{rows, statements};
use crate::adapter::sql;
use crate::adapter::sql::devices;
use crate::domain::fact::CallId;
use crate::domain::time::At;
use crate::port::ledger::{CallUpdate, Changes, ReceivedFact};
use crate::port::outbox::Notification;

/// Checks that `owner` is the last owner, and advances the watermark. Returns false when another
/// process has taken the partition over.
pub(super) async fn pass_fence(
    transaction: &mut SqliteConnection,
    owner: &str,
    changes: &Changes,
) -> Result<bool, sqlx::Error> {
    let watermark = changes.watermark.unwrap_or(At::START);
    let updated = sqlx::query(statements::PASS_FENCE)
        .bind(PARTITION)
        .bind(owner)
        .bind(watermark.0)
        .bind(sql::ticks_text(&changes.ticks))
        .execute(transaction)
        .await?;

    Ok(updated.rows_affected() == 1)
}

/// Writes all changes of a batch.
pub(super) async fn write_batch(
    transaction: &mut SqliteConnection,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    if !changes.facts.is_empty() {
        write_facts(transaction, &changes.facts).await?;
    }

    if !changes.rejected.is_empty() {
        let dead: Vec<Value> = changes.rejected.iter().map(rows::dead_event).collect();
        execute(
            transaction,
            statements::INSERT_DEAD_EVENTS,
            &rows::json_array(&dead),
        )
        .await?;
    }

    if !changes.calls.is_empty() || !changes.withdrawn_calls.is_empty() {
        write_calls(transaction, changes).await?;
    }

    if let Some(last) = changes.notifications.last() {
        write_notifications(transaction, &changes.notifications, last.number).await?;
    }

    Ok(())
}

async fn write_facts(
    transaction: &mut SqliteConnection,
    facts: &[ReceivedFact],
) -> Result<(), sqlx::Error> {
    let events: Vec<Value> = facts.iter().map(rows::call_event).collect();
    let events = rows::json_array(&events);

    for statement in [
        statements::INSERT_CALL_EVENTS,
        statements::INSERT_SITES,
        statements::UPSERT_EXTENSIONS,
    ] {
        execute(transaction, statement, &events).await?;
    }

    let devices = devices::rows_of(facts.iter().map(|received| &received.fact));
    let devices: Vec<Value> = devices.iter().map(rows::device).collect();
    execute(
        transaction,
        statements::UPSERT_DEVICES,
        &rows::json_array(&devices),
    )
    .await
}

async fn write_notifications(
    transaction: &mut SqliteConnection,
    notifications: &[Notification],
    last_number: u64,
) -> Result<(), sqlx::Error> {
    let notices: Vec<Value> = notifications.iter().map(rows::notification).collect();
    execute(
        transaction,
        statements::INSERT_NOTICES,
        &rows::json_array(&notices),
    )
    .await?;

    sqlx::query(statements::DELETE_OLD_NOTICES)
        .bind(last_number.cast_signed() - sql::NOTIFICATIONS_STORED)
        .bind(sql::NOTIFICATIONS_STORED_UNSENT)
        .execute(transaction)
        .await?;
    Ok(())
}

async fn write_calls(
    transaction: &mut SqliteConnection,
    changes: &Changes,
) -> Result<(), sqlx::Error> {
    let updates = changes.latest_calls();
    let withdrawn = &changes.withdrawn_calls;
    let mut ids: Vec<CallId> = updates.iter().map(|call| call.record.id).collect();
    ids.extend(withdrawn);

    let mut minutes = stored_minutes(transaction, &ids).await?;
    minutes.extend(
        updates
            .iter()
            .map(|call| rows::stats_minute(call.record.site.as_str(), call.record.started_at.0)),
    );

    delete_stale_rows(transaction, &updates, withdrawn, &ids).await?;
    upsert_calls(transaction, &updates, changes.watermark).await?;
    insert_details(transaction, &updates).await?;
    write_missed_calls(transaction, &updates, &ids).await?;
    recount_stats(transaction, minutes).await
}

/// Returns the minutes whose statistics count the stored versions of calls.
async fn stored_minutes(
    transaction: &mut SqliteConnection,
    calls: &[CallId],
) -> Result<Vec<Value>, sqlx::Error> {
    let starts: Vec<(String, i64)> = sqlx::query(statements::SELECT_CALL_STARTS)
        .bind(rows::id_array(calls))
        .map(|row: SqliteRow| (row.get(0), row.get(1)))
        .fetch_all(transaction)
        .await?;

    Ok(starts
        .iter()
        .map(|(site, started_at)| rows::stats_minute(site, *started_at))
        .collect())
}

/// Deletes the rows that the batch replaces, the states of closed calls, and withdrawn calls.
async fn delete_stale_rows(
    transaction: &mut SqliteConnection,
    updates: &[&CallUpdate],
    withdrawn: &[CallId],
    all: &[CallId],
) -> Result<(), sqlx::Error> {
    let all = rows::id_array(all);
    execute(transaction, statements::DELETE_CALL_PARTICIPANTS, &all).await?;
    execute(transaction, statements::DELETE_CALL_LINKS, &all).await?;

    let closed: Vec<CallId> = updates
        .iter()
        .filter(|call| call.is_final)
        .map(|call| call.record.id)
        .chain(withdrawn.iter().copied())
        .collect();
    execute(
        transaction,
        statements::DELETE_CALL_STATES,
        &rows::id_array(&closed),
    )
    .await?;

    execute(
        transaction,
        statements::DELETE_CALL_LOGS,
        &rows::id_array(withdrawn),
    )
    .await
}

/// Upserts the logs and the states of calls.
async fn upsert_calls(
    transaction: &mut SqliteConnection,
    updates: &[&CallUpdate],
    watermark: Option<At>,
) -> Result<(), sqlx::Error> {
    let calls: Vec<Value> = updates.iter().map(|call| rows::call_log(call)).collect();
    let calls = rows::json_array(&calls);
    execute(transaction, statements::UPSERT_CALL_LOGS, &calls).await?;

    let updated_at = watermark.unwrap_or(At::START);
    sqlx::query(statements::UPSERT_CALL_STATES)
        .bind(&calls)
        .bind(updated_at.0)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Inserts the participants and links of calls.
async fn insert_details(
    transaction: &mut SqliteConnection,
    updates: &[&CallUpdate],
) -> Result<(), sqlx::Error> {
    let participants: Vec<Value> = updates
        .iter()
        .flat_map(|call| rows::participants(&call.record))
        .collect();
    execute(
        transaction,
        statements::INSERT_CALL_PARTICIPANTS,
        &rows::json_array(&participants),
    )
    .await?;

    let links: Vec<Value> = updates
        .iter()
        .flat_map(|call| rows::links(&call.record))
        .collect();
    if !links.is_empty() {
        execute(
            transaction,
            statements::INSERT_CALL_LINKS,
            &rows::json_array(&links),
        )
        .await?;
    }
    Ok(())
}

/// Upserts missed calls, and retracts those that are missed no longer.
async fn write_missed_calls(
    transaction: &mut SqliteConnection,
    updates: &[&CallUpdate],
    all: &[CallId],
) -> Result<(), sqlx::Error> {
    let mut missed = Vec::new();
    let mut ids = HashSet::new();
    for record in updates.iter().map(|call| &call.record) {
        if let Some(row) = rows::missed_call(record) {
            missed.push(row);
            ids.insert(record.id);
        }
    }
    let others: Vec<CallId> = all.iter().copied().filter(|id| !ids.contains(id)).collect();
    if !missed.is_empty() {
        execute(
            transaction,
            statements::UPSERT_MISSED_CALL_LOGS,
            &rows::json_array(&missed),
        )
        .await?;
    }

    execute(
        transaction,
        statements::RETRACT_MISSED_CALL_LOGS,
        &rows::id_array(&others),
    )
    .await
}

/// Counts the statistics of changed minutes again from the stored calls.
async fn recount_stats(
    transaction: &mut SqliteConnection,
    mut minutes: Vec<Value>,
) -> Result<(), sqlx::Error> {
    minutes.sort_by_key(ToString::to_string);
    minutes.dedup();
    let minutes = rows::json_array(&minutes);

    execute(transaction, statements::DELETE_CALL_STATS, &minutes).await?;
    sqlx::query(statements::INSERT_CALL_STATS)
        .bind(&minutes)
        .bind(sql::MINUTE_US)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Executes a statement with an array of rows or ids as its only parameter.
async fn execute(
    transaction: &mut SqliteConnection,
    statement: &'static str,
    rows: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(rows)
        .execute(transaction)
        .await
        .map(|_| ())
}
