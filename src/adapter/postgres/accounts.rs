//! Accounts, tokens, sessions and the audit log.

use sqlx::Postgres;
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

use super::PostgresLedger;
use super::time_limits::{with_timeout, with_write_timeout};
use crate::adapter::sql::accounts::{implement_accounts, insert_secret, insert_session};

const INSERT_SECRET: &str = insert_secret!(lock: "
    FOR SHARE");
const INSERT_SESSION: &str = insert_session!(lock: "
    FOR SHARE");

implement_accounts!(PostgresLedger, PgRow);

impl PostgresLedger {
    /// Executes one statement and returns the number of changed rows.
    pub(super) async fn execute(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let done = query.execute(&mut *writer).await?;
            writer.put_back();

            Ok(done.rows_affected())
        })
        .await
    }

    /// Executes one statement and returns the rows that it returns.
    pub(super) async fn execute_returning(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, LedgerError> {
        with_write_timeout(async move {
            let mut writer = self.writer.lease().await?;
            let rows = query.fetch_all(&mut *writer).await?;
            writer.put_back();

            Ok(rows)
        })
        .await
    }

    pub(super) async fn select(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, LedgerError> {
        let mut reader = self.reader().await?;
        let rows = with_timeout(reader.time_limit, query.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        Ok(rows)
    }
}
