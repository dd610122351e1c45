//! Messages that were set aside, to be looked at.

use futures_util::future::BoxFuture;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteLedger;
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

impl DeadLetters for SqliteLedger {
    fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, DeadLetter)>, LedgerError>> {
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
        Box::pin(async move {
            Ok(sqlx::query(sql)
                .bind(after)
                .bind(most)
                .map(letter)
                .fetch_all(&self.readers)
                .await?)
        })
    }

    fn remove_dead_letter<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let mut writer = self.writer.lease().await?;
            sqlx::query("DELETE FROM dead_events WHERE digest = ?1")
                .bind(digest)
                .execute(&mut *writer)
                .await?;
            writer.give_back();
            Ok(())
        })
    }
}
