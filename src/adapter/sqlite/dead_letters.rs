//! Messages that were set aside, to be looked at.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteLedger;
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

#[async_trait]
impl DeadLetters for SqliteLedger {
    async fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError> {
        let sql = "SELECT id, digest, reason, message FROM dead_events WHERE id > ?1 ORDER BY id LIMIT ?2";
        let letter = |row: SqliteRow| {
            (
                row.get(0),
                DeadLetter {
                    digest: row.get(1),
                    reason: row.get(2),
                    message: row.get(3),
                },
            )
        };

        Ok(sqlx::query(sql)
            .bind(after)
            .bind(most)
            .map(letter)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;
        sqlx::query("DELETE FROM dead_events WHERE digest = ?1")
            .bind(digest)
            .execute(&mut *writer)
            .await?;
        writer.give_back();
        Ok(())
    }
}
