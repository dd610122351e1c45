//! Stored records, for `rebuild`.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database::{PARTITION, SqliteLedger};
use super::statements;
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, RecordAudit};

#[async_trait]
impl RecordAudit for SqliteLedger {
    async fn sites(&self) -> Result<Vec<(Site, At)>, LedgerError> {
        let names: Vec<String> = sqlx::query_scalar(statements::SELECT_SITES)
            .fetch_all(&self.readers)
            .await?;
        let watermark: Option<i64> = sqlx::query_scalar(statements::SELECT_WATERMARK)
            .bind(PARTITION)
            .fetch_optional(&self.readers)
            .await?;
        let watermark = At(watermark.unwrap_or(At::START.0));

        Ok(names
            .iter()
            .filter_map(|name| Some((Site::parse(name)?, watermark)))
            .collect())
    }

    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError> {
        Ok(sqlx::query(statements::SELECT_RECORDS_OF_SITE)
            .bind(site.as_str())
            .map(|row: SqliteRow| (row.get(0), row.get(1)))
            .fetch_all(&self.readers)
            .await?)
    }
}
