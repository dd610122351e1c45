//! Stored time that is not believed, set back when a worker takes over, and what else is ahead.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PartitionAddress;
use crate::adapter::sql::{self, StoredTime};
use crate::domain::fact::EventId;
use crate::port::ledger::{Absurd, BelievedInstants, LedgerError, POSSIBLE};

const CORRECT_TIME: &str = "-- correct_time
    UPDATE partition_owner
    SET watermark = $3,
        ticks = $4::json
    WHERE generation = $1
        AND part = $2";

const SELECT_FACTS_AHEAD: &str = "-- select_facts_ahead
    SELECT
        site,
        min(received_at),
        max(received_at),
        count(*)
    FROM call_events
    WHERE site = ANY($1)
        AND received_at > $2
    GROUP BY site";

const SELECT_IMPOSSIBLE_CALLS: &str = "-- select_impossible_calls
    SELECT call_id
    FROM call_logs
    WHERE site = ANY($1)
        AND (started_at < $2 OR started_at > $3)";

/// Sets back the watermark and the ticks, and finds facts that are ahead and calls at impossible
/// instants.
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

    let facts: Vec<(String, i64, i64, i64)> = sqlx::query_as(SELECT_FACTS_AHEAD)
        .bind(sites)
        .bind(believed.last.0)
        .fetch_all(&mut *transaction)
        .await?;
    let calls: Vec<Uuid> = sqlx::query_scalar(SELECT_IMPOSSIBLE_CALLS)
        .bind(sites)
        .bind(POSSIBLE.first.0)
        .bind(POSSIBLE.last.0)
        .fetch_all(transaction)
        .await?;

    Ok(Absurd {
        watermark,
        facts: facts.into_iter().filter_map(sql::facts_ahead).collect(),
        calls: calls.iter().map(|call| EventId(call.as_u128())).collect(),
    })
}
