//! Stored notifications, for gateways that start again.

use async_trait::async_trait;

use super::database::SqliteLedger;
use super::statements;
use crate::adapter::sql;
use crate::port::ledger::LedgerError;
use crate::port::outbox::{Notification, NotificationLog};

#[async_trait]
impl NotificationLog for SqliteLedger {
    async fn recent(&self, max: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
        let rows: Vec<NotificationRow> = sqlx::query_as(statements::SELECT_RECENT_NOTICES)
            .bind(max)
            .fetch_all(&self.readers)
            .await?;

        rows.into_iter()
            .rev()
            .map(|row| Ok((0, notification(row)?)))
            .collect()
    }

    async fn last_numbers(&self) -> Result<Vec<(u32, u64)>, LedgerError> {
        let last = self.recent(1).await?.pop();

        Ok(last
            .map(|(partition, notification)| (partition, notification.number))
            .into_iter()
            .collect())
    }
}

/// Columns of a stored notification: number, kind, call id and data.
pub(super) type NotificationRow = (i64, String, String, String);

pub(super) fn notification(
    (number, kind, call, data): NotificationRow,
) -> Result<Notification, LedgerError> {
    sql::notification(number, &kind, sql::parse_call_id(&call)?, &data)
}
