//! The maintenance of PostgreSQL's fact tables.

use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::adapter::postgres::PostgresLedger;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;

/// Fact tables are created months ahead.
const MAINTAIN_EVERY: Duration = Duration::from_hours(1);

/// Creates the fact tables of the coming months, and deletes those that are old enough.
pub(super) async fn maintain_fact_tables(
    ledger: Arc<PostgresLedger>,
    kept_days: u32,
    clock: Arc<dyn Clock>,
    stop: Stop,
) {
    loop {
        let now = clock.now();
        let kept_since = if kept_days == 0 {
            At::START
        } else {
            now - Span::seconds(i64::from(kept_days) * 86_400)
        };
        if let Err(error) = ledger.maintain_fact_partitions(now, kept_since).await {
            tracing::warn!(
                error = %Chain(&error),
                "fact tables of the coming months cannot be created; facts are stored in the \
                 common table until they can"
            );
        }

        tokio::select! {
            () = tokio::time::sleep(MAINTAIN_EVERY) => {}
            () = stop.soft.cancelled() => return,
        }
    }
}
