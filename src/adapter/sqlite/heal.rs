//! Rows with instants that are not believed, taken out of the state when a process takes over.

use sqlx::SqliteConnection;

use super::database::PARTITION;
use super::{rows, statements};
use crate::adapter::sql::{self, StoredTime};
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::{Absurd, BelievedInstants, LedgerError, RejectedMessage};

/// Corrects the watermark and the ticks, moves facts to the dead letters, and finds the calls.
pub(super) async fn heal(
    transaction: &mut SqliteConnection,
    time: &mut StoredTime,
    believed: BelievedInstants,
) -> Result<Absurd, LedgerError> {
    let mut absurd = Absurd {
        watermark: time.correct(believed),
        ..Absurd::default()
    };
    if absurd.watermark.is_some() {
        sqlx::query(statements::CORRECT_TIME)
            .bind(PARTITION)
            .bind(time.watermark)
            .bind(sql::ticks_text(&time.ticks))
            .execute(&mut *transaction)
            .await?;
    }

    let sites: Vec<String> = sqlx::query_scalar(statements::SELECT_SITES)
        .fetch_all(&mut *transaction)
        .await?;
    for name in sites {
        absurd.facts += move_facts(transaction, &name, believed).await?;
        let Some(site) = Site::parse(&name) else {
            continue;
        };

        // Calls that only ended at such an instant are searched without an index.
        let select = if absurd.watermark.is_some() || absurd.facts > 0 {
            statements::SELECT_ABSURD_CALLS
        } else {
            statements::SELECT_CALLS_WITH_ABSURD_START
        };
        let calls: Vec<(String, i64)> = sqlx::query_as(select)
            .bind(&name)
            .bind(believed.first.0)
            .bind(believed.last.0)
            .fetch_all(&mut *transaction)
            .await?;
        for (call, started_at) in calls {
            let call = sql::parse_call_id(&call)?;
            absurd.calls.push((site.clone(), call, At(started_at)));
        }
    }

    Ok(absurd)
}

/// Returns the number of moved facts.
async fn move_facts(
    transaction: &mut SqliteConnection,
    site: &str,
    believed: BelievedInstants,
) -> Result<u64, LedgerError> {
    let envelopes: Vec<String> = sqlx::query_scalar(statements::DELETE_ABSURD_FACTS)
        .bind(site)
        .bind(believed.first.0)
        .bind(believed.last.0)
        .fetch_all(&mut *transaction)
        .await?;
    if envelopes.is_empty() {
        return Ok(0);
    }

    let rejected = envelopes.into_iter().map(|envelope| RejectedMessage {
        message: envelope.into_bytes(),
        reason: sql::ABSURD_INSTANT.to_owned(),
    });
    let letters: Vec<_> = rejected.map(|message| rows::dead_event(&message)).collect();
    sqlx::query(statements::INSERT_DEAD_EVENTS)
        .bind(rows::json_array(&letters))
        .execute(transaction)
        .await?;

    Ok(letters.len() as u64)
}
