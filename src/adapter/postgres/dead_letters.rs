//! Messages that were set aside, to be looked at.

use futures_util::future::BoxFuture;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{PostgresLedger, writer};
use crate::port::dead_letters::{DeadLetter, DeadLetters};
use crate::port::ledger::LedgerError;

impl DeadLetters for PostgresLedger {
    fn dead_letters(
        &self,
        after: i64,
        most: u32,
    ) -> BoxFuture<'_, Result<Vec<(i64, DeadLetter)>, LedgerError>> {
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
        Box::pin(self.read_slowly(move |connection| {
            Box::pin(async move {
                sqlx::query(sql)
                    .bind(after)
                    .bind(i64::from(most))
                    .map(letter)
                    .fetch_all(connection)
                    .await
            })
        }))
    }

    fn remove_dead_letter<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(writer::write(async move {
            let mut writer = self.writer.lease().await?;
            sqlx::query("DELETE FROM dead_events WHERE digest = $1")
                .bind(digest)
                .execute(&mut *writer)
                .await?;
            writer.give_back();
            Ok(())
        }))
    }
}
