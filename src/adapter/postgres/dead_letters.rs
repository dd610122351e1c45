//! Messages that were rejected, for inspection and retry.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use super::time_limits::{with_timeout, with_write_timeout};
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

const SELECT_DEAD_LETTERS: &str = "-- select_dead_letters
    SELECT id, digest, reason, message
    FROM dead_events
    WHERE id > $1
    ORDER BY id
    LIMIT $2";

const DELETE_DEAD_LETTER: &str = "-- delete_dead_letter
    DELETE FROM dead_events
    WHERE digest = $1";

#[async_trait]
impl DeadLetters for PostgresLedger {
    async fn dead_letters(
        &self,
        after: i64,
        max: u32,
    ) -> Result<Vec<(i64, DeadLetter)>, LedgerError> {
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
        let select = sqlx::query(SELECT_DEAD_LETTERS)
            .bind(after)
            .bind(i64::from(max))
            .map(letter);

        let mut reader = self.slow_reader().await?;
        let letters = with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(letters)
    }

    async fn remove_dead_letter(&self, digest: &str) -> Result<(), LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            sqlx::query(DELETE_DEAD_LETTER)
                .bind(digest)
                .execute(&mut *writer)
                .await?;
            writer.put_back();

            Ok(())
        })
        .await
    }
}
