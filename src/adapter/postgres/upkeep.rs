//! Monthly partitions of the facts: creates those of the coming months, and drops expired ones.

use super::PostgresLedger;
use super::time_limits::with_write_timeout;
use crate::domain::time::At;
use crate::port::ledger::LedgerError;

const KEEP_FACTS: &str = "-- keep_facts
    SELECT keep_facts($1, $2)";

impl PostgresLedger {
    /// Creates the monthly partitions from `now` on, and drops those that lie wholly before
    /// `since`. Any process may call it at any time.
    pub async fn maintain_fact_partitions(&self, now: At, since: At) -> Result<(), LedgerError> {
        with_write_timeout(async {
            let mut writer = self.writer.lease().await?;
            sqlx::query(KEEP_FACTS)
                .bind(now.0)
                .bind(since.0)
                .execute(&mut *writer)
                .await?;
            writer.put_back();

            Ok(())
        })
        .await
    }
}
