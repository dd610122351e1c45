//! Webhooks on either database. Each adapter has `execute`, `select` and `execute_returning` for its
//! connections, and the statements that differ.

/// Implements [`Webhooks`](crate::port::webhooks::Webhooks) for a ledger of this database. Its
/// module has the statements `SKIP_NOTIFICATIONS`, `SELECT_UNSENT`, `ADD_MESSAGES` and
/// `ADD_DELIVERIES`, and those of `clocked`.
macro_rules! implement_webhooks {
    ($ledger:ty, $row:ty) => {
        use $crate::access::SiteScope;
        use $crate::adapter::sql::webhook_statements as statements;
        use $crate::domain::time::{At, Span};
        use $crate::port::ledger::LedgerError;
        use $crate::port::webhooks::{
            Delivery, DeliveryState, Failing, Hold, NewMessage, PlacedNotification, Waiting,
            Webhook, Webhooks,
        };

        #[async_trait::async_trait]
        impl Webhooks for $ledger {
            async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
                let select = sqlx::query(SELECT_WEBHOOKS).bind("");

                self.select(select).await?.iter().map(webhook).collect()
            }

            async fn webhook(&self, id: &str) -> Result<Option<Webhook>, LedgerError> {
                if id.is_empty() {
                    return Ok(None);
                }
                let select = sqlx::query(SELECT_WEBHOOKS).bind(id);
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
                webhook: &Webhook,
                reason: &str,
                now: At,
            ) -> Result<(), LedgerError> {
                let end = sqlx::query(statements::END_WEBHOOK)
                    .bind(&webhook.id)
                    .bind(reason)
                    .bind(webhook.version);
                if self.execute(end).await? == 0 {
                    return Ok(());
                }
                let fail = sqlx::query(statements::FAIL_WAITING)
                    .bind(&webhook.id)
                    .bind(reason)
                    .bind(now.0);
                self.execute(fail).await?;

                Ok(())
            }

            async fn fail_waiting(
                &self,
                webhook: &Webhook,
                reason: &str,
                now: At,
            ) -> Result<(), LedgerError> {
                let fail = sqlx::query(statements::FAIL_WAITING_OF_VERSION)
                    .bind(&webhook.id)
                    .bind(reason)
                    .bind(now.0)
                    .bind(webhook.version);
                self.execute(fail).await?;

                Ok(())
            }

            async fn rest_webhook(&self, webhook: &Webhook, rest: Span) -> Result<(), LedgerError> {
                let rest = sqlx::query(REST_WEBHOOK)
                    .bind(&webhook.id)
                    .bind(rest.0)
                    .bind(webhook.version);
                self.execute(rest).await?;

                Ok(())
            }

            async fn wake_webhook(&self, id: &str) -> Result<(), LedgerError> {
                let wake = sqlx::query(statements::WAKE_WEBHOOK).bind(id);
                self.execute(wake).await?;

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

            async fn hold_making(
                &self,
                maker: &str,
                time: Span,
                instants: u32,
            ) -> Result<Option<At>, LedgerError> {
                let instants = i64::from(instants);
                let hold = sqlx::query(HOLD_MAKING)
                    .bind(maker)
                    .bind(time.0)
                    .bind(instants);
                let rows = self.execute_returning(hold).await?;
                let last: Option<i64> = rows.first().map(|row| row.get(0));

                Ok(last.map(|last| At(last - instants + 1)))
            }

            async fn release_making(&self, maker: &str) -> Result<(), LedgerError> {
                let release = sqlx::query(statements::RELEASE_MAKING).bind(maker);
                self.execute(release).await?;

                Ok(())
            }

            async fn hold_webhook(
                &self,
                webhook: &str,
                sender: &str,
                now: At,
                time: Span,
            ) -> Result<Hold, LedgerError> {
                let hold = sqlx::query(HOLD_WEBHOOK)
                    .bind(webhook)
                    .bind(sender)
                    .bind(now.0)
                    .bind(time.0);
                if self.execute(hold).await? > 0 {
                    return Ok(Hold::Held);
                }

                let other = sqlx::query(SELECT_OTHER_SENDER).bind(webhook).bind(sender);
                Ok(if self.select(other).await?.is_empty() {
                    Hold::NothingDue
                } else {
                    Hold::Elsewhere
                })
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

            async fn due_deliveries(
                &self,
                webhook: &str,
                now: At,
                max: u32,
            ) -> Result<Vec<Delivery>, LedgerError> {
                let select = sqlx::query(statements::SELECT_DUE)
                    .bind(webhook)
                    .bind(now.0)
                    .bind(i64::from(max));
                let rows = self.select(select).await?;

                let mut due = rows
                    .iter()
                    .map(delivery)
                    .collect::<Result<Vec<_>, LedgerError>>()?;
                due.sort_by_key(|delivery| delivery.created_at);
                Ok(due)
            }

            async fn finish_delivery(&self, delivery: &Delivery) -> Result<(), LedgerError> {
                let finish = sqlx::query(statements::FINISH_DELIVERY)
                    .bind(&delivery.webhook)
                    .bind(&delivery.message)
                    .bind(delivery.state.name())
                    .bind(delivery.due_at.0)
                    .bind(delivery.answered.map(i64::from))
                    .bind(delivery.error.as_deref())
                    .bind(delivery.finished_at.map(|at| at.0))
                    .bind(delivery.attempts);
                self.execute(finish).await?;

                Ok(())
            }

            async fn count_waiting(
                &self,
                webhook: &str,
                waiting: Waiting,
                max: u32,
            ) -> Result<u32, LedgerError> {
                let (statement, at) = match waiting {
                    Waiting::Since(at) => (statements::COUNT_WAITING, at),
                    Waiting::UntriedUntil(at) => (statements::COUNT_UNTRIED, at),
                };
                let count = sqlx::query(statement)
                    .bind(webhook)
                    .bind(at.0)
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
            let failing_since: Option<i64> = row.get(11);
            let rests: Option<bool> = row.get(12);

            Ok(Webhook {
                id: row.get(0),
                url: row.get(1),
                events: serde_json::from_str(row.get(2))
                    .map_err(|error| LedgerError::Corrupt(error.into()))?,
                sites: SiteScope::from_column(row.get(3)),
                secret: row.get(4),
                previous_secret: previous.zip(until.map(At)),
                disabled: row.get(7),
                failing: failing_since.map(|since| Failing {
                    since: At(since),
                    rests: rests.unwrap_or_default(),
                }),
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
