//! Messages that were set aside, to be looked at.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::writer::with_timeout;
use super::{PostgresLedger, writer};
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

#[async_trait]
impl DeadLetters for PostgresLedger {
    async fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError> {
        let sql = "SELECT id, digest, reason, message FROM dead_events WHERE id > $1 ORDER BY id LIMIT $2";
        let letter = |row: PgRow| {
            (
                row.get(0),
                DeadLetter {
                    digest: row.get(1),
                    reason: row.get(2),
                    message: row.get(3),
                },
            )
        };
        let mut reader = self.slow_reader().await?;
        let select = sqlx::query(sql).bind(after).bind(i64::from(most));
        let letters = with_timeout(
            reader.time_limit,
            select.map(letter).fetch_all(&mut *reader),
        )
        .await?;
        reader.release().await?;

        Ok(letters)
    }

    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError> {
        writer::write(async move {
            let mut writer = self.writer.lease().await?;
            sqlx::query("DELETE FROM dead_events WHERE digest = $1")
                .bind(digest)
                .execute(&mut *writer)
                .await?;
            writer.give_back();
            Ok(())
        })
        .await
    }
}
