//! Webhooks on either database: most statements are the same in both dialects. Each adapter has
//! `execute`, `select` and `execute_returning` for its connections, and the statements that differ.

pub(in crate::adapter) const SELECT_WEBHOOKS: &str = "-- select_webhooks
    SELECT
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by
    FROM webhooks
    ORDER BY created_at, id
    LIMIT 1000";

pub(in crate::adapter) const UPSERT_WEBHOOK: &str = "-- upsert_webhook
    INSERT INTO webhooks (
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (id) DO UPDATE
    SET url = excluded.url,
        events = excluded.events,
        sites = excluded.sites,
        secret = excluded.secret,
        previous_secret = excluded.previous_secret,
        previous_until = excluded.previous_until,
        disabled = excluded.disabled";

pub(in crate::adapter) const DELETE_WEBHOOK: &str = "-- delete_webhook
    DELETE FROM webhooks
    WHERE id = $1";

pub(in crate::adapter) const DELETE_DELIVERIES: &str = "-- delete_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE webhook = $1";

pub(in crate::adapter) const UPSERT_CURSOR: &str = "-- upsert_webhook_cursor
    INSERT INTO webhook_cursors (generation, part, number)
    VALUES ($1, $2, $3)
    ON CONFLICT (generation, part) DO UPDATE
    SET number = excluded.number
    WHERE webhook_cursors.number < excluded.number";

/// One row decides between processes: the second statement finds the row due later.
pub(in crate::adapter) const TAKE_DUE: &str = "-- take_due_webhook_deliveries
    UPDATE webhook_deliveries
    SET due_at = $3,
        attempts = attempts + 1
    WHERE webhook = $1
        AND state = 'waiting'
        AND due_at <= $2
        AND message IN (
            SELECT message
            FROM webhook_deliveries
            WHERE webhook = $1
                AND state = 'waiting'
                AND due_at <= $2
            ORDER BY due_at, created_at, message
            LIMIT $4
        )
    RETURNING
        webhook, message, event, body, state, created_at, due_at, attempts, answered, error,
        finished_at";

pub(in crate::adapter) const SETTLE_DELIVERY: &str = "-- settle_webhook_delivery
    UPDATE webhook_deliveries
    SET state = $3,
        due_at = $4,
        answered = $5,
        error = $6,
        finished_at = $7
    WHERE webhook = $1
        AND message = $2";

pub(in crate::adapter) const SELECT_DELIVERIES: &str = "-- select_webhook_deliveries
    SELECT
        webhook, message, event, body, state, created_at, due_at, attempts, answered, error,
        finished_at
    FROM webhook_deliveries
    WHERE webhook = $1
        AND ($2 = '' OR state = $2)
    ORDER BY created_at DESC, message DESC
    LIMIT $3";

pub(in crate::adapter) const REPEAT_DELIVERY: &str = "-- repeat_webhook_delivery
    UPDATE webhook_deliveries
    SET state = 'waiting',
        due_at = $3,
        attempts = 0,
        finished_at = NULL
    WHERE webhook = $1
        AND message = $2";

pub(in crate::adapter) const FORGET_DELIVERIES: &str = "-- forget_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE created_at < $1";

/// Implements [`Webhooks`](crate::port::webhooks::Webhooks) for a ledger of this database. Its
/// module has the statements `SKIP_NOTIFICATIONS`, `SELECT_UNSENT` and `ADD_DELIVERIES`.
macro_rules! implement_webhooks {
    ($ledger:ty, $row:ty) => {
        use $crate::access::SiteScope;
        use $crate::adapter::sql::webhooks as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::webhooks::{
            Delivery, DeliveryState, NewDelivery, PlacedNotification, Webhook, Webhooks,
        };

        #[async_trait::async_trait]
        impl Webhooks for $ledger {
            async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
                let rows = self
                    .select(sqlx::query(statements::SELECT_WEBHOOKS))
                    .await?;

                rows.iter().map(webhook).collect()
            }

            async fn put_webhook(&self, webhook: &Webhook) -> Result<(), LedgerError> {
                let previous = webhook.previous_secret.as_ref();
                let upsert = sqlx::query(statements::UPSERT_WEBHOOK)
                    .bind(&webhook.id)
                    .bind(&webhook.url)
                    .bind(serde_json::json!(webhook.events).to_string())
                    .bind(webhook.sites.to_column())
                    .bind(&webhook.secret)
                    .bind(previous.map(|(secret, _)| secret))
                    .bind(previous.map(|(_, until)| until.0))
                    .bind(webhook.disabled.as_deref())
                    .bind(webhook.created_at.0)
                    .bind(&webhook.created_by);
                self.execute(upsert).await?;

                Ok(())
            }

            async fn remove_webhook(&self, id: &str) -> Result<bool, LedgerError> {
                let removed = self
                    .execute(sqlx::query(statements::DELETE_WEBHOOK).bind(id))
                    .await?;
                self.execute(sqlx::query(statements::DELETE_DELIVERIES).bind(id))
                    .await?;

                Ok(removed > 0)
            }

            async fn skip_notifications(&self) -> Result<(), LedgerError> {
                self.execute(sqlx::query(SKIP_NOTIFICATIONS)).await?;

                Ok(())
            }

            async fn unsent_notifications(
                &self,
                max: u32,
            ) -> Result<Vec<PlacedNotification>, LedgerError> {
                let select = sqlx::query(SELECT_UNSENT).bind(i64::from(max));
                let rows = self.select(select).await?;

                let placed = rows.iter().map(|row| PlacedNotification {
                    generation: row.get(0),
                    partition: row.get(1),
                    number: row.get(2),
                    event: row.get(3),
                    data: row.get(4),
                });
                Ok(placed.collect())
            }

            async fn add_deliveries(
                &self,
                new: &[NewDelivery],
                now: At,
            ) -> Result<(), LedgerError> {
                let rows: Vec<serde_json::Value> = new
                    .iter()
                    .map(|delivery| {
                        serde_json::json!({
                            "webhook": delivery.webhook,
                            "message": delivery.message,
                            "event": delivery.event,
                            "body": delivery.body,
                        })
                    })
                    .collect();
                let insert = sqlx::query(ADD_DELIVERIES)
                    .bind(serde_json::json!(rows).to_string())
                    .bind(now.0);
                self.execute(insert).await?;

                Ok(())
            }

            async fn advance(&self, last: &PlacedNotification) -> Result<(), LedgerError> {
                let upsert = sqlx::query(statements::UPSERT_CURSOR)
                    .bind(last.generation)
                    .bind(last.partition)
                    .bind(last.number);
                self.execute(upsert).await?;

                Ok(())
            }

            async fn take_due(
                &self,
                webhook: &str,
                now: At,
                until: At,
                max: u32,
            ) -> Result<Vec<Delivery>, LedgerError> {
                let take = sqlx::query(statements::TAKE_DUE)
                    .bind(webhook)
                    .bind(now.0)
                    .bind(until.0)
                    .bind(i64::from(max));
                let rows = self.execute_returning(take).await?;

                let mut due = rows
                    .iter()
                    .map(delivery)
                    .collect::<Result<Vec<_>, LedgerError>>()?;
                due.sort_by(|a, b| (a.created_at, &a.message).cmp(&(b.created_at, &b.message)));
                Ok(due)
            }

            async fn settle_delivery(&self, delivery: &Delivery) -> Result<(), LedgerError> {
                let settle = sqlx::query(statements::SETTLE_DELIVERY)
                    .bind(&delivery.webhook)
                    .bind(&delivery.message)
                    .bind(delivery.state.name())
                    .bind(delivery.due_at.0)
                    .bind(delivery.answered.map(i64::from))
                    .bind(delivery.error.as_deref())
                    .bind(delivery.finished_at.map(|at| at.0));
                self.execute(settle).await?;

                Ok(())
            }

            async fn deliveries(
                &self,
                webhook: &str,
                state: Option<DeliveryState>,
                max: u32,
            ) -> Result<Vec<Delivery>, LedgerError> {
                let select = sqlx::query(statements::SELECT_DELIVERIES)
                    .bind(webhook)
                    .bind(state.map_or("", DeliveryState::name))
                    .bind(i64::from(max));

                self.select(select).await?.iter().map(delivery).collect()
            }

            async fn repeat_delivery(
                &self,
                webhook: &str,
                message: &str,
                now: At,
            ) -> Result<bool, LedgerError> {
                let repeat = sqlx::query(statements::REPEAT_DELIVERY)
                    .bind(webhook)
                    .bind(message)
                    .bind(now.0);

                Ok(self.execute(repeat).await? > 0)
            }

            async fn forget_deliveries(&self, before: At) -> Result<(), LedgerError> {
                let forget = sqlx::query(statements::FORGET_DELIVERIES).bind(before.0);
                self.execute(forget).await?;

                Ok(())
            }
        }

        fn webhook(row: &$row) -> Result<Webhook, LedgerError> {
            let previous: Option<String> = row.get(5);
            let until: Option<i64> = row.get(6);

            Ok(Webhook {
                id: row.get(0),
                url: row.get(1),
                events: serde_json::from_str(row.get(2))
                    .map_err(|error| LedgerError::Corrupt(error.into()))?,
                sites: SiteScope::from_column(row.get(3)),
                secret: row.get(4),
                previous_secret: previous.zip(until.map(At)),
                disabled: row.get(7),
                created_at: At(row.get(8)),
                created_by: row.get(9),
            })
        }

        fn delivery(row: &$row) -> Result<Delivery, LedgerError> {
            let state: &str = row.get(4);
            let answered: Option<i64> = row.get(8);
            let finished: Option<i64> = row.get(10);

            Ok(Delivery {
                webhook: row.get(0),
                message: row.get(1),
                event: row.get(2),
                body: row.get(3),
                state: DeliveryState::parse(state).ok_or_else(|| {
                    LedgerError::Corrupt(format!("{state:?} is no state of a delivery").into())
                })?,
                created_at: At(row.get(5)),
                due_at: At(row.get(6)),
                attempts: row.get(7),
                answered: answered.and_then(|status| u16::try_from(status).ok()),
                error: row.get(9),
                finished_at: finished.map(At),
            })
        }
    };
}
pub(in crate::adapter) use implement_webhooks;
