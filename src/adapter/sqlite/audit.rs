//! Stored records and notifications, for rebuilds and for restarts.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::ledger::SqliteLedger;
use super::recovery::PARTITION;
use super::statements;
use crate::adapter::sql;
use crate::domain::fact::Site;
use crate::domain::time::At;
use crate::port::ledger::{LedgerError, RecordAudit};
use crate::port::outbox::{Notification, NotificationLog};

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

    async fn facts_kept_since(&self) -> Result<At, LedgerError> {
        Ok(At::START)
    }

    async fn stored_records(&self, site: &Site) -> Result<Vec<(String, String)>, LedgerError> {
        Ok(sqlx::query(statements::SELECT_RECORDS_OF_SITE)
            .bind(site.as_str())
            .map(|row: SqliteRow| (row.get(0), row.get(1)))
            .fetch_all(&self.readers)
            .await?)
    }
}

#[async_trait]
impl NotificationLog for SqliteLedger {
    async fn recent(&self, most: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
        let rows: Vec<NotificationRow> = sqlx::query_as(statements::SELECT_RECENT_NOTICES)
            .bind(most)
            .fetch_all(&self.readers)
            .await?;

        rows.into_iter()
            .rev()
            .map(|row| Ok((0, notification(row)?)))
            .collect()
    }
}

/// Columns of a stored notification: number, kind, call id and data.
pub(super) type NotificationRow = (i64, String, String, String);

pub(super) fn notification(
    (number, kind, call, data): NotificationRow,
) -> Result<Notification, LedgerError> {
    sql::notification(number, &kind, sql::parse_call_id(&call)?, &data)
}
