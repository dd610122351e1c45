//! Accounts, tokens, sessions and the audit log.

use sqlx::Row;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use super::database::SqliteLedger;
use crate::adapter::sql::accounts::{implement_accounts, insert_secret, insert_session};

// One change at a time is written.
const INSERT_SECRET: &str = insert_secret!(lock: "");
const INSERT_SESSION: &str = insert_session!(lock: "");

implement_accounts!(SqliteLedger, SqliteRow);

impl SqliteLedger {
    /// Executes one statement and returns the number of changed rows.
    pub(super) async fn execute(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, LedgerError> {
        let mut writer = self.writer.lease().await?;
        let done = query.execute(&mut *writer).await?;
        writer.put_back();

        Ok(done.rows_affected())
    }

    /// Executes one statement and returns the rows that it returns.
    pub(super) async fn execute_returning(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, LedgerError> {
        let mut writer = self.writer.lease().await?;
        let rows = query.fetch_all(&mut *writer).await?;
        writer.put_back();

        Ok(rows)
    }

    pub(super) async fn select(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, LedgerError> {
        Ok(query.fetch_all(&mut *self.reader().await?).await?)
    }
}
