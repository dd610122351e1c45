//! Webhooks on either database: most statements are the same in both dialects. Each adapter has
//! `execute`, `select` and `execute_returning` for its connections, and the statements that differ.

pub(in crate::adapter) const SELECT_WEBHOOKS: &str = "-- select_webhooks
    SELECT
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by, version
    FROM webhooks
    WHERE $1 = ''
        OR id = $1
    ORDER BY created_at, id
    LIMIT 1000";

pub(in crate::adapter) const INSERT_WEBHOOK: &str = "-- insert_webhook
    INSERT INTO webhooks (
        id, url, events, sites, secret, previous_secret, previous_until, disabled, created_at,
        created_by, version
    )
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0
    WHERE (SELECT count(*) FROM webhooks WHERE created_by = $10) < $11
        AND (SELECT count(*) FROM webhooks) < $12";

pub(in crate::adapter) const UPDATE_WEBHOOK: &str = "-- update_webhook
    UPDATE webhooks
    SET url = $3,
        events = $4,
        sites = $5,
        secret = $6,
        previous_secret = $7,
        previous_until = $8,
        disabled = $9,
        version = version + 1
    WHERE id = $1
        AND version = $2";

pub(in crate::adapter) const END_WEBHOOK: &str = "-- end_webhook
    UPDATE webhooks
    SET disabled = $2,
        version = version + 1
    WHERE id = $1
        AND disabled IS NULL";

pub(in crate::adapter) const FAIL_WAITING: &str = "-- fail_waiting_webhook_deliveries
    UPDATE webhook_deliveries
    SET state = 'failed',
        error = $2,
        finished_at = $3
    WHERE webhook = $1
        AND state = 'waiting'";

pub(in crate::adapter) const DELETE_WEBHOOK: &str = "-- delete_webhook
    DELETE FROM webhooks
    WHERE id = $1";

pub(in crate::adapter) const UPSERT_CURSOR: &str = "-- upsert_webhook_cursor
    INSERT INTO webhook_cursors (generation, part, number)
    VALUES ($1, $2, $3)
    ON CONFLICT (generation, part) DO UPDATE
    SET number = excluded.number
    WHERE webhook_cursors.number < excluded.number";

pub(in crate::adapter) const HOLD_WEBHOOK: &str = "-- hold_webhook
    UPDATE webhooks
    SET sender = $2,
        sender_until = $4
    WHERE id = $1
        AND (sender IS NULL OR sender = $2 OR sender_until < $3)
        AND EXISTS (
            SELECT 1
            FROM webhook_deliveries
            WHERE webhook = $1
                AND state = 'waiting'
                AND due_at <= $3
        )";

pub(in crate::adapter) const RELEASE_WEBHOOK: &str = "-- release_webhook
    UPDATE webhooks
    SET sender = NULL
    WHERE id = $1
        AND sender = $2";

/// One row decides between processes: the second statement finds the row due later. The rows are
/// found along the index of what is due; the expressions keep the outer statement from searching it
/// again.
pub(in crate::adapter) const TAKE_DUE: &str = "-- take_due_webhook_deliveries
    UPDATE webhook_deliveries
    SET due_at = $3,
        attempts = attempts + 1
    WHERE webhook = $1
        AND message IN (
            SELECT message
            FROM webhook_deliveries
            WHERE webhook = $1
                AND state = 'waiting'
                AND due_at <= $2
            ORDER BY due_at
            LIMIT $4
        )
        AND state || '' = 'waiting'
        AND due_at + 0 <= $2
    RETURNING
        webhook, message, state, created_at, due_at, attempts, answered, error, finished_at,
        (SELECT event FROM webhook_messages AS m WHERE m.message = webhook_deliveries.message),
        (SELECT site FROM webhook_messages AS m WHERE m.message = webhook_deliveries.message),
        (SELECT call_id FROM webhook_messages AS m WHERE m.message = webhook_deliveries.message),
        (SELECT body FROM webhook_messages AS m WHERE m.message = webhook_deliveries.message)";

pub(in crate::adapter) const SETTLE_DELIVERY: &str = "-- settle_webhook_delivery
    UPDATE webhook_deliveries
    SET state = $3,
        due_at = $4,
        answered = $5,
        error = $6,
        finished_at = $7
    WHERE webhook = $1
        AND message = $2
        AND state = 'waiting'";

pub(in crate::adapter) const COUNT_WAITING: &str = "-- count_waiting_webhook_deliveries
    SELECT count(*)
    FROM (
        SELECT 1
        FROM webhook_deliveries
        WHERE webhook = $1
            AND state = 'waiting'
            AND created_at BETWEEN $2 AND $3
        LIMIT $4
    ) AS waiting";

pub(in crate::adapter) const SELECT_DELIVERIES: &str = "-- select_webhook_deliveries
    SELECT
        webhook, d.message, state, d.created_at, due_at, attempts, answered, error, finished_at,
        event, site, call_id, body
    FROM webhook_deliveries AS d
    JOIN webhook_messages AS m ON m.message = d.message
    WHERE webhook = $1
        AND ($2 = '' OR state = $2)
        AND ($3 = '' OR d.message = $3)
    ORDER BY d.created_at DESC
    LIMIT $4";

pub(in crate::adapter) const REPEAT_DELIVERY: &str = "-- repeat_webhook_delivery
    UPDATE webhook_deliveries
    SET state = 'waiting',
        due_at = $3,
        attempts = 0,
        finished_at = NULL
    WHERE webhook = $1
        AND message = $2";

pub(in crate::adapter) const FORGET_FINISHED: &str = "-- forget_finished_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE (webhook, message) IN (
        SELECT webhook, message
        FROM webhook_deliveries
        WHERE finished_at < $1
        LIMIT 2000
    )";

/// Deliveries that no process took, because their receiver is gone.
pub(in crate::adapter) const FORGET_OLD: &str = "-- forget_old_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE message IN (
        SELECT message
        FROM webhook_messages
        WHERE created_at < $1
        ORDER BY created_at
        LIMIT 100
    )";

pub(in crate::adapter) const DELETE_DELIVERIES: &str = "-- delete_webhook_deliveries
    DELETE FROM webhook_deliveries
    WHERE webhook = $1
        AND message IN (
            SELECT message
            FROM webhook_deliveries
            WHERE webhook = $1
            LIMIT 2000
        )";

pub(in crate::adapter) const FORGET_MESSAGES: &str = "-- forget_webhook_messages
    DELETE FROM webhook_messages
    WHERE message IN (
        SELECT message
        FROM webhook_messages AS m
        WHERE created_at < $1
            AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.message = m.message)
        LIMIT 2000
    )";

/// Rows that one statement of the clean-up removes at most.
pub(in crate::adapter) const FORGOTTEN_AT_ONCE: u64 = 2_000;

/// Implements [`Webhooks`](crate::port::webhooks::Webhooks) for a ledger of this database. Its
/// module has the statements `SKIP_NOTIFICATIONS`, `SELECT_UNSENT`, `ADD_MESSAGES` and
/// `ADD_DELIVERIES`.
macro_rules! implement_webhooks {
    ($ledger:ty, $row:ty) => {
        use $crate::access::SiteScope;
        use $crate::adapter::sql::webhooks as statements;
        use $crate::domain::time::At;
        use $crate::port::ledger::LedgerError;
        use $crate::port::webhooks::{
            Delivery, DeliveryState, NewMessage, PlacedNotification, Webhook, Webhooks,
        };

        #[async_trait::async_trait]
        impl Webhooks for $ledger {
            async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
                let select = sqlx::query(statements::SELECT_WEBHOOKS).bind("");

                self.select(select).await?.iter().map(webhook).collect()
            }

            async fn webhook(&self, id: &str) -> Result<Option<Webhook>, LedgerError> {
                if id.is_empty() {
                    return Ok(None);
                }
                let select = sqlx::query(statements::SELECT_WEBHOOKS).bind(id);
                let rows = self.select(select).await?;

                rows.first().map(webhook).transpose()
            }

            async fn add_webhook(
                &self,
                webhook: &Webhook,
                own_max: u32,
                max: u32,
            ) -> Result<bool, LedgerError> {
                let previous = webhook.previous_secret.as_ref();
                let insert = sqlx::query(statements::INSERT_WEBHOOK)
                    .bind(&webhook.id)
                    .bind(&webhook.url)
                    .bind(serde_json::json!(webhook.events).to_string())
                    .bind(webhook.sites.to_column())
                    .bind(&webhook.secret)
                    .bind(previous.map(|(secret, _)| secret))
                    .bind(previous.map(|(_, until)| until.0))
                    .bind(webhook.disabled.as_deref())
                    .bind(webhook.created_at.0)
                    .bind(&webhook.created_by)
                    .bind(i64::from(own_max))
                    .bind(i64::from(max));

                Ok(self.execute(insert).await? > 0)
            }

            async fn update_webhook(&self, webhook: &Webhook) -> Result<bool, LedgerError> {
                let previous = webhook.previous_secret.as_ref();
                let update = sqlx::query(statements::UPDATE_WEBHOOK)
                    .bind(&webhook.id)
                    .bind(webhook.version)
                    .bind(&webhook.url)
                    .bind(serde_json::json!(webhook.events).to_string())
                    .bind(webhook.sites.to_column())
                    .bind(&webhook.secret)
                    .bind(previous.map(|(secret, _)| secret))
                    .bind(previous.map(|(_, until)| until.0))
                    .bind(webhook.disabled.as_deref());

                Ok(self.execute(update).await? > 0)
            }

            async fn end_webhook(
                &self,
                id: &str,
                reason: &str,
                now: At,
            ) -> Result<(), LedgerError> {
                let end = sqlx::query(statements::END_WEBHOOK).bind(id).bind(reason);
                self.execute(end).await?;
                let fail = sqlx::query(statements::FAIL_WAITING)
                    .bind(id)
                    .bind(reason)
                    .bind(now.0);
                self.execute(fail).await?;

                Ok(())
            }

            async fn remove_webhook(&self, id: &str) -> Result<bool, LedgerError> {
                let delete = sqlx::query(statements::DELETE_WEBHOOK).bind(id);
                let removed = self.execute(delete).await?;
                loop {
                    let delete = sqlx::query(statements::DELETE_DELIVERIES).bind(id);
                    if self.execute(delete).await? < statements::FORGOTTEN_AT_ONCE {
                        return Ok(removed > 0);
                    }
                }
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
                    sent_before: row.get(5),
                });
                Ok(placed.collect())
            }

            async fn add_messages(&self, new: &[NewMessage]) -> Result<(), LedgerError> {
                let messages: Vec<serde_json::Value> = new
                    .iter()
                    .map(|message| {
                        serde_json::json!([
                            message.id,
                            message.event,
                            message.site,
                            message.call,
                            message.body,
                            message.created_at.0,
                        ])
                    })
                    .collect();
                let insert =
                    sqlx::query(ADD_MESSAGES).bind(serde_json::json!(messages).to_string());
                self.execute(insert).await?;

                let deliveries: Vec<serde_json::Value> = new
                    .iter()
                    .flat_map(|message| {
                        let rows = message.receivers.iter();
                        rows.map(|receiver| {
                            serde_json::json!([receiver, message.id, message.created_at.0])
                        })
                    })
                    .collect();
                let insert =
                    sqlx::query(ADD_DELIVERIES).bind(serde_json::json!(deliveries).to_string());
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

            async fn hold_webhook(
                &self,
                webhook: &str,
                sender: &str,
                now: At,
                until: At,
            ) -> Result<bool, LedgerError> {
                let hold = sqlx::query(statements::HOLD_WEBHOOK)
                    .bind(webhook)
                    .bind(sender)
                    .bind(now.0)
                    .bind(until.0);

                Ok(self.execute(hold).await? > 0)
            }

            async fn release_webhook(
                &self,
                webhook: &str,
                sender: &str,
            ) -> Result<(), LedgerError> {
                let release = sqlx::query(statements::RELEASE_WEBHOOK)
                    .bind(webhook)
                    .bind(sender);
                self.execute(release).await?;

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
                due.sort_by_key(|delivery| delivery.created_at);
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

            async fn count_waiting(
                &self,
                webhook: &str,
                (from, until): (At, At),
                max: u32,
            ) -> Result<u32, LedgerError> {
                let count = sqlx::query(statements::COUNT_WAITING)
                    .bind(webhook)
                    .bind(from.0)
                    .bind(until.0)
                    .bind(i64::from(max));
                let rows = self.select(count).await?;
                let waiting: i64 = rows.first().map_or(0, |row| row.get(0));

                Ok(u32::try_from(waiting).unwrap_or(max))
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
                    .bind("")
                    .bind(i64::from(max));

                self.select(select).await?.iter().map(delivery).collect()
            }

            async fn delivery(
                &self,
                webhook: &str,
                message: &str,
            ) -> Result<Option<Delivery>, LedgerError> {
                if message.is_empty() {
                    return Ok(None);
                }
                let select = sqlx::query(statements::SELECT_DELIVERIES)
                    .bind(webhook)
                    .bind("")
                    .bind(message)
                    .bind(1_i64);
                let rows = self.select(select).await?;

                rows.first().map(delivery).transpose()
            }

            async fn repeat_delivery(
                &self,
                webhook: &str,
                message: &str,
                now: At,
            ) -> Result<(), LedgerError> {
                let repeat = sqlx::query(statements::REPEAT_DELIVERY)
                    .bind(webhook)
                    .bind(message)
                    .bind(now.0);
                self.execute(repeat).await?;

                Ok(())
            }

            async fn forget_deliveries(
                &self,
                finished_before: At,
                made_before: At,
            ) -> Result<bool, LedgerError> {
                let finished = sqlx::query(statements::FORGET_FINISHED).bind(finished_before.0);
                let old = sqlx::query(statements::FORGET_OLD).bind(made_before.0);
                let messages = sqlx::query(statements::FORGET_MESSAGES).bind(finished_before.0);

                let mut most = 0;
                for forget in [finished, old, messages] {
                    most = most.max(self.execute(forget).await?);
                }
                Ok(most >= statements::FORGOTTEN_AT_ONCE)
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
                version: row.get(10),
            })
        }

        fn delivery(row: &$row) -> Result<Delivery, LedgerError> {
            let state: &str = row.get(2);
            let answered: Option<i64> = row.get(6);
            let finished: Option<i64> = row.get(8);

            Ok(Delivery {
                webhook: row.get(0),
                message: row.get(1),
                event: row.get(9),
                site: row.get(10),
                call: row.get(11),
                body: row.get(12),
                state: DeliveryState::parse(state).ok_or_else(|| {
                    LedgerError::Corrupt(format!("{state:?} is no state of a delivery").into())
                })?,
                created_at: At(row.get(3)),
                due_at: At(row.get(4)),
                attempts: row.get(5),
                answered: answered.and_then(|status| u16::try_from(status).ok()),
                error: row.get(7),
                finished_at: finished.map(At),
            })
        }
    };
}
pub(in crate::adapter) use implement_webhooks;
