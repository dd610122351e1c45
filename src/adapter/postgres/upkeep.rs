//! Room for the facts of the coming months, and an end for those that are old enough.

use super::{PostgresLedger, writer};
use crate::domain::time::At;
use crate::port::ledger::LedgerError;

impl PostgresLedger {
    /// Makes the partitions of the coming months, and lets go of facts that lie wholly before an
    /// instant. Safe to call at any time, by anybody, as often as wanted.
    pub async fn maintain_fact_partitions(&self, now: At, since: At) -> Result<(), LedgerError> {
        Box::pin(writer::write(async {
            let mut writer = self.writer.lease().await?;
            sqlx::query("SELECT keep_facts($1, $2)")
                .bind(now.0)
                .bind(since.0)
                .execute(&mut *writer)
                .await?;
            writer.give_back();
            Ok(())
        }))
        .await
    }
}
