//! Recovery of the worker's state when a process takes the partition over.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};

use super::database::PARTITION;
use super::heal::heal;
use super::statements;
use crate::adapter::sql::{self, StoredTime};
use crate::domain::device::Extension;
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, Lookback, RecoveredState};

/// Makes `owner` the only writer and reads the state that the last owner committed.
pub(super) async fn take_over(
    writer: &mut SqliteConnection,
    owner: &str,
    lookback: Lookback,
) -> Result<RecoveredState, LedgerError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;

    let (watermark, ticks): (i64, String) = sqlx::query_as(statements::TAKE_OVER_PARTITION)
        .bind(PARTITION)
        .bind(owner)
        .bind(At::START.0)
        .fetch_one(&mut *transaction)
        .await?;
    let mut time = StoredTime {
        watermark,
        ticks: sql::parse_ticks(&ticks)?,
    };
    let absurd = heal(&mut transaction, &mut time, lookback.believed).await?;
    let open_calls: Vec<(String, i64)> = sqlx::query(statements::SELECT_OPEN_CALLS)
        .map(|row: SqliteRow| (row.get(0), row.get(1)))
        .fetch_all(&mut *transaction)
        .await?;
    let messages =
        relevant_messages(&mut transaction, time.watermark, &open_calls, lookback).await?;
    let extensions = extensions(&mut transaction).await?;
    let last_notification: i64 = sqlx::query_scalar(statements::SELECT_LAST_NOTICE)
        .fetch_one(&mut *transaction)
        .await?;
    let last_fact_at: Option<i64> = sqlx::query_scalar(statements::SELECT_LAST_FACT)
        .fetch_one(&mut *transaction)
        .await?;

    transaction.commit().await?;

    Ok(RecoveredState {
        ticks: time.ticks,
        watermark: (time.watermark != At::START.0).then_some(At(time.watermark)),
        last_fact_at: last_fact_at.map(At),
        messages,
        open_calls: open_calls
            .iter()
            .filter_map(|(id, _)| sql::parse_call_id(id).ok())
            .collect(),
        extensions,
        last_notification: last_notification.cast_unsigned(),
        // All watchers live in this process, so every stored notification counts as published.
        published_up_to: last_notification.cast_unsigned(),
        absurd,
    })
}

/// Reads the messages of open calls, and of closed calls that new ones may be linked to. Only whole
/// calls are read: a call cannot be identified from some of its facts.
async fn relevant_messages(
    transaction: &mut SqliteConnection,
    watermark: i64,
    open_calls: &[(String, i64)],
    lookback: Lookback,
) -> Result<Vec<Vec<u8>>, LedgerError> {
    let first_open = open_calls.iter().map(|(_, started_at)| *started_at).min();
    let links_since = first_open
        .unwrap_or(i64::MAX)
        .min(watermark.max(0))
        .saturating_sub(lookback.links.0);

    let first_call: Option<i64> = sqlx::query_scalar(statements::SELECT_FIRST_RELEVANT_CALL)
        .bind(links_since.saturating_sub(lookback.calls.0))
        .bind(links_since)
        .fetch_one(&mut *transaction)
        .await?;
    let Some(first_call) = first_call else {
        return Ok(Vec::new());
    };

    let envelopes: Vec<String> = sqlx::query_scalar(statements::SELECT_ENVELOPES_SINCE)
        .bind(first_call.saturating_sub(sql::BEFORE_OPEN_CALLS_US))
        .bind(lookback.believed.last.0)
        .fetch_all(&mut *transaction)
        .await?;
    Ok(envelopes.into_iter().map(String::into_bytes).collect())
}

async fn extensions(
    transaction: &mut SqliteConnection,
) -> Result<Vec<(Site, Extension, At)>, LedgerError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(statements::SELECT_ALL_EXTENSIONS)
        .fetch_all(transaction)
        .await?;

    Ok(rows
        .into_iter()
        .filter_map(|(site, extension, first_report)| {
            Some((
                Site::parse(&site)?,
                Extension::parse(&extension)?,
                At(first_report),
            ))
        })
        .collect())
}
