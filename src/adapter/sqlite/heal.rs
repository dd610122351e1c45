//! Stored time that is not believed, set back when a process takes over, and what else is ahead.

use sqlx::SqliteConnection;

use super::database::PARTITION;
use super::statements;
use crate::adapter::sql::{self, StoredTime};
use crate::port::ledger::{Absurd, BelievedInstants, LedgerError, POSSIBLE};

/// Sets back the watermark and the ticks, and finds facts that are ahead and calls at impossible
/// instants.
pub(super) async fn heal(
    transaction: &mut SqliteConnection,
    time: &mut StoredTime,
    believed: BelievedInstants,
) -> Result<Absurd, LedgerError> {
    let watermark = time.correct(believed);
    if watermark.is_some() {
        sqlx::query(statements::CORRECT_TIME)
            .bind(PARTITION)
            .bind(time.watermark)
            .bind(sql::ticks_text(&time.ticks))
            .execute(&mut *transaction)
            .await?;
    }

    let facts: Vec<(String, i64, i64, i64)> = sqlx::query_as(statements::SELECT_FACTS_AHEAD)
        .bind(believed.last.0)
        .fetch_all(&mut *transaction)
        .await?;
    let calls: Vec<String> = sqlx::query_scalar(statements::SELECT_IMPOSSIBLE_CALLS)
        .bind(POSSIBLE.first.0)
        .bind(POSSIBLE.last.0)
        .fetch_all(transaction)
        .await?;

    Ok(Absurd {
        watermark,
        facts: facts.into_iter().filter_map(sql::facts_ahead).collect(),
        calls: calls
            .iter()
            .filter_map(|call| sql::parse_call_id(call).ok())
            .collect(),
    })
}
