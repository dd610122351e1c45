//! Rows with instants that are not believed, taken out of the state when a worker takes over.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PartitionAddress;
use crate::adapter::sql::{self, StoredTime};
use crate::domain::fact::{EventId, Site};
use crate::domain::time::At;
use crate::port::ledger::{Absurd, BelievedInstants, LedgerError};

const CORRECT_TIME: &str = "-- correct_time
    UPDATE partition_owner
    SET watermark = $3,
        ticks = $4::json
    WHERE generation = $1
        AND part = $2";

const DELETE_ABSURD_FACTS: &str = "-- delete_absurd_facts
    DELETE FROM call_events
    WHERE site = ANY($1)
        AND (received_at < $2 OR received_at > $3)
    RETURNING envelope";

const INSERT_DEAD_EVENTS: &str = "-- insert_dead_events
    INSERT INTO dead_events (digest, reason, message)
    SELECT digest, $2, message
    FROM unnest($1::text[], $3::bytea[]) AS t (digest, message)
    ON CONFLICT DO NOTHING";

const SELECT_ABSURD_CALLS: &str = "-- select_absurd_calls
    SELECT site, call_id, started_at
    FROM call_logs
    WHERE site = ANY($1)
        AND (started_at < $2 OR started_at > $3)
    UNION
    SELECT site, call_id, started_at
    FROM call_outcomes
    WHERE site = ANY($1)
        AND ended_at > $3";

/// Corrects the watermark and the ticks, moves facts to the dead letters, and finds the calls.
pub(super) async fn heal(
    transaction: &mut PgConnection,
    partition: PartitionAddress,
    sites: &[String],
    time: &mut StoredTime,
    believed: BelievedInstants,
) -> Result<Absurd, LedgerError> {
    let watermark = time.correct(believed);
    if watermark.is_some() {
        sqlx::query(CORRECT_TIME)
            .bind(partition.generation.cast_signed())
            .bind(partition.number.cast_signed())
            .bind(time.watermark)
            .bind(sql::ticks_text(&time.ticks))
            .execute(&mut *transaction)
            .await?;
    }

    let facts = move_facts(transaction, sites, believed).await?;
    let calls: Vec<(String, Uuid, i64)> = sqlx::query_as(SELECT_ABSURD_CALLS)
        .bind(sites)
        .bind(believed.first.0)
        .bind(believed.last.0)
        .fetch_all(transaction)
        .await?;
    let parse = |(site, call, started_at): (String, Uuid, i64)| {
        Some((Site::parse(&site)?, EventId(call.as_u128()), At(started_at)))
    };

    Ok(Absurd {
        watermark,
        facts,
        calls: calls.into_iter().filter_map(parse).collect(),
    })
}

/// Returns the number of moved facts.
async fn move_facts(
    transaction: &mut PgConnection,
    sites: &[String],
    believed: BelievedInstants,
) -> Result<u64, LedgerError> {
    let envelopes: Vec<String> = sqlx::query_scalar(DELETE_ABSURD_FACTS)
        .bind(sites)
        .bind(believed.first.0)
        .bind(believed.last.0)
        .fetch_all(&mut *transaction)
        .await?;
    if envelopes.is_empty() {
        return Ok(0);
    }

    let messages: Vec<&[u8]> = envelopes.iter().map(String::as_bytes).collect();
    let digests: Vec<String> = messages
        .iter()
        .map(|message| sql::digest(message))
        .collect();
    sqlx::query(INSERT_DEAD_EVENTS)
        .bind(digests)
        .bind(sql::ABSURD_INSTANT)
        .bind(messages)
        .execute(transaction)
        .await?;

    Ok(envelopes.len() as u64)
}
