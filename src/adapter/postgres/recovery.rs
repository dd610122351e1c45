//! Take-over of a partition: claims it for a new owner, and reads the state that the last owner
//! left.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PartitionAddress;
use super::heal::heal;
use crate::adapter::sql::{self, StoredTime};
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, Lookback, RecoveredState};

const CLAIM_PARTITION: &str = "-- claim_partition
    INSERT INTO partition_owner AS stored (generation, part, epoch, owner, watermark)
    VALUES ($1, $2, 1, $3, $4)
    ON CONFLICT (generation, part) DO UPDATE
    SET epoch = stored.epoch + 1,
        owner = excluded.owner
    RETURNING epoch, commit_no, watermark, ticks::text, relayed";

const SELECT_SITES: &str = "-- select_sites
    SELECT site
    FROM sites";

const SELECT_OPEN_CALLS: &str = "-- select_open_calls
    SELECT our_call
    FROM live_states
    WHERE site = ANY($1)
        AND is_open";

/// Selects the start of each site's first call that is not final, or that later calls may be linked
/// to. Calls are always read back whole: a few facts of a call do not identify it.
const SELECT_FIRST_STARTS: &str = "-- select_first_starts
    SELECT
        site,
        least(
            first_open,
            (
                SELECT min(started_at)
                FROM call_outcomes AS closed
                WHERE closed.site = own.site
                    AND ended_at >= least(first_open, $2) - $3
            )
        ) AS first_start
    FROM (
        SELECT
            site,
            (
                SELECT min(open.started_at)
                FROM live_states
                JOIN call_logs AS open ON open.call_id = our_call
                WHERE live_states.site = t.site
                    AND is_open
            ) AS first_open
        FROM unnest($1::text[]) AS t (site)
    ) AS own";

const SELECT_MESSAGES: &str = "-- select_messages
    SELECT envelope
    FROM unnest($1::text[], $2::bigint[]) AS t (site, since)
    JOIN call_events
        ON call_events.site = t.site
        AND received_at >= t.since
        AND received_at <= $3
    ORDER BY received_at, event_id";

const SELECT_LAST_FACT: &str = "-- select_last_fact
    SELECT max(last.received_at)
    FROM unnest($1::text[]) AS own (site)
    CROSS JOIN LATERAL (
        SELECT received_at
        FROM call_events
        WHERE call_events.site = own.site
        ORDER BY received_at DESC
        LIMIT 1
    ) AS last";

const SELECT_EXTENSIONS: &str = "-- select_extensions
    SELECT site, extension, first_report
    FROM extensions
    WHERE site = ANY($1)
    ORDER BY site, extension";

const SELECT_LAST_NOTIFICATION: &str = "-- select_last_notification
    SELECT coalesce(max(number), 0)
    FROM notices
    WHERE generation = $1
        AND part = $2";

/// A partition with its new owner.
pub(super) struct TakenOver {
    pub epoch: i64,
    /// The number of the last statement.
    pub commit_no: i64,
    pub state: RecoveredState,
}

/// The row of a partition in `partition_owner`.
struct Claim {
    epoch: i64,
    commit_no: i64,
    watermark: i64,
    ticks: String,
    relayed: i64,
}

/// Claims the partition and reads its state, in one transaction.
pub(super) async fn take_over(
    writer: &mut PgConnection,
    partition: PartitionAddress,
    owner: Uuid,
    lookback: Lookback,
) -> Result<TakenOver, LedgerError> {
    let mut transaction = writer.begin().await?;
    super::layout::check_layout(&mut transaction, partition).await?;
    let claim = claim_partition(&mut transaction, partition, owner).await?;

    // Reading back may take longer than any write: after a long outage many calls are open.
    sqlx::query("SET LOCAL statement_timeout = 0")
        .execute(&mut *transaction)
        .await?;
    let sites = select_sites(&mut transaction, partition).await?;
    let mut time = StoredTime {
        watermark: claim.watermark,
        ticks: sql::parse_ticks(&claim.ticks)?,
    };
    let believed = lookback.believed;
    let absurd = heal(&mut transaction, partition, &sites, &mut time, believed).await?;
    let open_calls = select_open_calls(&mut transaction, &sites).await?;
    let messages = select_messages(&mut transaction, &sites, time.watermark, lookback).await?;
    let last_fact_at: Option<i64> = sqlx::query_scalar(SELECT_LAST_FACT)
        .bind(&sites)
        .fetch_one(&mut *transaction)
        .await?;
    let extensions = select_extensions(&mut transaction, &sites).await?;
    let last_notification: i64 = sqlx::query_scalar(SELECT_LAST_NOTIFICATION)
        .bind(partition.generation.cast_signed())
        .bind(partition.number.cast_signed())
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;

    let state = RecoveredState {
        watermark: (time.watermark != At::START.0).then_some(At(time.watermark)),
        last_fact_at: last_fact_at.map(At),
        ticks: time.ticks,
        messages,
        open_calls,
        extensions,
        last_notification: last_notification.cast_unsigned(),
        published_up_to: claim.relayed.cast_unsigned(),
        absurd,
    };

    Ok(TakenOver {
        epoch: claim.epoch,
        commit_no: claim.commit_no,
        state,
    })
}

/// Names the new owner in the next epoch. A commit of the former owner that is under way is awaited
/// by the row's lock.
async fn claim_partition(
    transaction: &mut PgConnection,
    partition: PartitionAddress,
    owner: Uuid,
) -> Result<Claim, sqlx::Error> {
    let (epoch, commit_no, watermark, ticks, relayed) = sqlx::query_as(CLAIM_PARTITION)
        .bind(partition.generation.cast_signed())
        .bind(partition.number.cast_signed())
        .bind(owner)
        .bind(At::START.0)
        .fetch_one(transaction)
        .await?;

    Ok(Claim {
        epoch,
        commit_no,
        watermark,
        ticks,
        relayed,
    })
}

/// Reads the sites of the partition.
async fn select_sites(
    transaction: &mut PgConnection,
    partition: PartitionAddress,
) -> Result<Vec<String>, sqlx::Error> {
    let all: Vec<String> = sqlx::query_scalar(SELECT_SITES)
        .fetch_all(transaction)
        .await?;

    Ok(all
        .into_iter()
        .filter(|name| Site::parse(name).is_some_and(|site| partition.contains(&site)))
        .collect())
}

async fn select_open_calls(
    transaction: &mut PgConnection,
    sites: &[String],
) -> Result<Vec<CallId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(SELECT_OPEN_CALLS)
        .bind(sites)
        .fetch_all(transaction)
        .await?;

    Ok(ids.iter().map(|id| EventId(id.as_u128())).collect())
}

/// Reads the messages of all facts since shortly before each site's first call that still matters.
async fn select_messages(
    transaction: &mut PgConnection,
    sites: &[String],
    watermark: i64,
    lookback: Lookback,
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let first_starts: Vec<(String, Option<i64>)> = sqlx::query_as(SELECT_FIRST_STARTS)
        .bind(sites)
        .bind(watermark.max(0))
        .bind(lookback.links.0)
        .fetch_all(&mut *transaction)
        .await?;
    let (sites, since): (Vec<String>, Vec<i64>) = first_starts
        .into_iter()
        .filter_map(|(site, start)| Some((site, start?.saturating_sub(sql::BEFORE_OPEN_CALLS_US))))
        .unzip();

    let messages: Vec<String> = sqlx::query_scalar(SELECT_MESSAGES)
        .bind(&sites)
        .bind(&since)
        .bind(lookback.believed.last.0)
        .fetch_all(transaction)
        .await?;

    Ok(messages.into_iter().map(String::into_bytes).collect())
}

async fn select_extensions(
    transaction: &mut PgConnection,
    sites: &[String],
) -> Result<Vec<(Site, Extension, At)>, sqlx::Error> {
    let stored: Vec<(String, String, i64)> = sqlx::query_as(SELECT_EXTENSIONS)
        .bind(sites)
        .fetch_all(transaction)
        .await?;
    let parse = |(site, extension, first_report): (String, String, i64)| {
        Some((
            Site::parse(&site)?,
            Extension::parse(&extension)?,
            At(first_report),
        ))
    };

    Ok(stored.into_iter().filter_map(parse).collect())
}
