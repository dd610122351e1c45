//! Stored notifications: the backlog of the outbox, and the latest ones for new watchers.

use async_trait::async_trait;
use uuid::Uuid;

use super::PostgresLedger;
use super::time_limits::with_timeout;
use crate::adapter::sql;
use crate::domain::fact::EventId;
use crate::port::ledger::LedgerError;
use crate::port::outbox::{Notification, NotificationLog};

const SELECT_NOTIFICATIONS_AFTER: &str = "-- select_notifications_after
    SELECT number, kind, call_id, data
    FROM notices
    WHERE generation = $1
        AND part = $2
        AND number > $3
    ORDER BY number
    LIMIT $4";

const SELECT_RECENT_NOTIFICATIONS: &str = "-- select_recent_notifications
    SELECT owners.part, number, kind, call_id, data
    FROM partition_owner AS owners
    CROSS JOIN LATERAL (
        SELECT *
        FROM notices
        WHERE notices.generation = owners.generation
            AND notices.part = owners.part
        ORDER BY number DESC
        LIMIT $2
    ) AS last
    WHERE owners.generation = $1
    ORDER BY written DESC, owners.part, number DESC
    LIMIT $2";

const SELECT_LAST_NUMBERS: &str = "-- select_last_notification_numbers
    SELECT owners.part, last.number
    FROM partition_owner AS owners
    CROSS JOIN LATERAL (
        SELECT number
        FROM notices
        WHERE notices.generation = owners.generation
            AND notices.part = owners.part
        ORDER BY number DESC
        LIMIT 1
    ) AS last
    WHERE owners.generation = $1";

#[async_trait]
impl NotificationLog for PostgresLedger {
    async fn recent(&self, max: u32) -> Result<Vec<(u32, Notification)>, LedgerError> {
        let select = sqlx::query_as(SELECT_RECENT_NOTIFICATIONS)
            .bind(self.partition.generation.cast_signed())
            .bind(i64::from(max));

        let mut reader = self.reader().await?;
        let newest_first: Vec<(i32, i64, String, Uuid, String)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        newest_first
            .into_iter()
            .rev()
            .map(|(partition, number, kind, call, data)| {
                let notification = notification((number, kind, call, data))?;
                Ok((partition.cast_unsigned(), notification))
            })
            .collect()
    }

    async fn last_numbers(&self) -> Result<Vec<(u32, u64)>, LedgerError> {
        let select =
            sqlx::query_as(SELECT_LAST_NUMBERS).bind(self.partition.generation.cast_signed());

        let mut reader = self.reader().await?;
        let last: Vec<(i32, i64)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        let last = last
            .into_iter()
            .map(|(partition, number)| (partition.cast_unsigned(), number.cast_unsigned()));
        Ok(last.collect())
    }
}

impl PostgresLedger {
    pub(super) async fn select_notifications_after(
        &self,
        number: u64,
        max: u32,
    ) -> Result<Vec<Notification>, LedgerError> {
        let select = sqlx::query_as(SELECT_NOTIFICATIONS_AFTER)
            .bind(self.partition.generation.cast_signed())
            .bind(self.partition.number.cast_signed())
            .bind(number.cast_signed())
            .bind(i64::from(max));

        let mut reader = self.reader().await?;
        let stored: Vec<(i64, String, Uuid, String)> =
            with_timeout(reader.time_limit, select.fetch_all(&mut *reader)).await?;
        reader.put_back().await?;

        stored.into_iter().map(notification).collect()
    }
}

fn notification(
    (number, kind, call, data): (i64, String, Uuid, String),
) -> Result<Notification, LedgerError> {
    sql::notification(number, &kind, EventId(call.as_u128()), &data)
}
