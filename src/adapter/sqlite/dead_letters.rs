//! Dead letters: rejected messages in the table `dead_events`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::SqliteLedger;
use super::statements;
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

#[async_trait]
impl DeadLetters for SqliteLedger {
    async fn dead_letters(
        &self,
        after: i64,
        max: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError> {
        let dead_letter = |row: SqliteRow| {
            (
                row.get(0),
                DeadLetter {
                    digest: row.get(1),
                    reason: row.get(2),
                    message: row.get(3),
                },
            )
        };

        Ok(sqlx::query(statements::SELECT_DEAD_EVENTS)
            .bind(after)
            .bind(max)
            .map(dead_letter)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;

        sqlx::query(statements::DELETE_DEAD_EVENT)
            .bind(digest)
            .execute(&mut *writer)
            .await?;
        writer.put_back();

        Ok(())
    }
}
