//! Where the last owner of a partition left off.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Partition;
use crate::adapter::sql;
use crate::domain::device::Extension;
use crate::domain::fact::{EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, Lookback, RecoveredState};

/// When the first call of each site began that is not final, or that the next ones may be linked
/// to. Whole calls only: of one that is read in part nobody could say which it is.
const FIRST_THAT_MATTERS: &str = "SELECT site, least(first_open, (SELECT min(started_at) FROM call_outcomes AS over WHERE over.site = mine.site AND ended_at >= least(first_open, $2) - $3)) AS first
 FROM (SELECT site, (SELECT min(open.started_at) FROM call_states JOIN call_logs AS open ON open.call_id = our_call WHERE call_states.site = t.site AND is_open) AS first_open
    FROM unnest($1::text[]) AS t (site)) AS mine";
const LAST_FACT: &str = "SELECT max(last.received_at) FROM unnest($1::text[]) AS mine (site)
 CROSS JOIN LATERAL (SELECT received_at FROM call_events WHERE call_events.site = mine.site ORDER BY received_at DESC LIMIT 1) AS last";
const TAKE_OVER: &str = "INSERT INTO partition_owner AS known (generation, part, epoch, owner, watermark) VALUES ($1, $2, 1, $3, $4)
 ON CONFLICT (generation, part) DO UPDATE SET epoch = known.epoch + 1, owner = excluded.owner RETURNING epoch, commit_no, watermark, ticks::text, relayed";

/// Takes the partition over, and says in which epoch, and after which statement.
pub(super) async fn take_over(
    writer: &mut PgConnection,
    part: Partition,
    owner: Uuid,
    memory: Lookback,
) -> Result<(i64, i64, RecoveredState), LedgerError> {
    let mut transaction = writer.begin().await?;
    super::layout::check(&mut transaction, part).await?;
    let (generation, number) = (part.generation.cast_signed(), part.number.cast_signed());
    let taken: (i64, i64, i64, String, i64) = sqlx::query_as(TAKE_OVER)
        .bind(generation)
        .bind(number)
        .bind(owner)
        .bind(At::START.0)
        .fetch_one(&mut *transaction)
        .await?;
    let (epoch, commit_no, watermark, ticks, relayed) = taken;
    // Reading back may take longer than any write: what is open after a long outage is a lot.
    sqlx::query("SET LOCAL statement_timeout = 0")
        .execute(&mut *transaction)
        .await?;
    let names: Vec<String> = sqlx::query_scalar("SELECT site FROM sites")
        .fetch_all(&mut *transaction)
        .await?;
    let mine: Vec<String> = names
        .into_iter()
        .filter(|name| Site::parse(name).is_some_and(|site| part.contains(&site)))
        .collect();
    let open: Vec<Uuid> =
        sqlx::query_scalar("SELECT our_call FROM call_states WHERE site = ANY($1) AND is_open")
            .bind(&mine)
            .fetch_all(&mut *transaction)
            .await?;
    let first: Vec<(String, Option<i64>)> = sqlx::query_as(FIRST_THAT_MATTERS)
        .bind(&mine)
        .bind(watermark.max(0))
        .bind(memory.links.0)
        .fetch_all(&mut *transaction)
        .await?;
    let (sites, froms): (Vec<String>, Vec<i64>) = first
        .into_iter()
        .filter_map(|(site, first)| Some((site, first? - sql::BEFORE_OPEN_CALLS_US)))
        .unzip();
    let messages: Vec<String> = sqlx::query_scalar(
        "SELECT envelope FROM unnest($1::text[], $2::bigint[]) AS t (site, since) JOIN call_events ON call_events.site = t.site AND received_at >= t.since
         ORDER BY received_at, event_id",
    )
    .bind(&sites)
    .bind(&froms)
    .fetch_all(&mut *transaction)
    .await?;
    let stored_until: Option<i64> = sqlx::query_scalar(LAST_FACT)
        .bind(&mine)
        .fetch_one(&mut *transaction)
        .await?;
    let extensions: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT site, extension, first_report FROM extensions WHERE site = ANY($1) ORDER BY site, extension")
            .bind(&mine)
            .fetch_all(&mut *transaction)
            .await?;
    let told: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(number), 0) FROM notices WHERE generation = $1 AND part = $2",
    )
    .bind(generation)
    .bind(number)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let known = |(site, extension, first): (String, String, i64)| {
        Some((
            Site::parse(&site)?,
            Extension::parse(&extension)?,
            At(first),
        ))
    };
    let standing = RecoveredState {
        watermark: (watermark != At::START.0).then_some(At(watermark)),
        last_fact_at: stored_until.map(At),
        ticks: sql::parse_ticks(&ticks)?,
        messages: messages.into_iter().map(String::into_bytes).collect(),
        open_calls: open.iter().map(|id| EventId(id.as_u128())).collect(),
        extensions: extensions.into_iter().filter_map(known).collect(),
        last_notification: told.cast_unsigned(),
        published_up_to: relayed.cast_unsigned(),
    };
    Ok((epoch, commit_no, standing))
}
