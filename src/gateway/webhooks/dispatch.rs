//! From notifications to deliveries, and from deliveries to receivers.
//!
//! Several gateways may do this at once. A delivery is stored once, because its id follows from its
//! notification, and one row decides which gateway sends it. A gateway that dies leaves its
//! deliveries to the others after a minute, so a receiver may get a message twice, with the same id.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::signature;
use crate::access::SiteScope;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::watch::Watch;
use crate::port::webhooks::{
    Delivery, DeliveryState, NewDelivery, PlacedNotification, SendError, Sender, Webhook, Webhooks,
};
use crate::wire::instant;

/// A round without a notification: deliveries fall due.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Notifications of this time become deliveries together.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Old deliveries are removed.
const FORGET_EVERY: Duration = Duration::from_hours(1);
const KEPT: Span = Span::seconds(7 * 86_400);
/// Notifications of a partition that are read at once.
const NOTIFICATIONS_AT_ONCE: u32 = 512;
/// Deliveries that one receiver gets at once.
const DELIVERIES_AT_ONCE: u32 = 4;
/// Another gateway may send a delivery that was begun this long ago.
const LEASE: Span = Span::seconds(60);
/// The delays before further attempts.
const RETRIES: [Span; 9] = [
    Span::seconds(5),
    Span::seconds(30),
    Span::seconds(2 * 60),
    Span::seconds(10 * 60),
    Span::seconds(30 * 60),
    Span::seconds(2 * 3_600),
    Span::seconds(4 * 3_600),
    Span::seconds(8 * 3_600),
    Span::seconds(12 * 3_600),
];
/// The answer of a receiver that wants nothing any more.
const GONE: u16 = 410;

/// Sends notifications to the receivers of a gateway.
#[derive(Clone)]
pub struct Dispatcher {
    pub store: Arc<dyn Webhooks>,
    pub sender: Arc<dyn Sender>,
    pub watch: Arc<dyn Watch>,
    pub clock: Arc<dyn Clock>,
}

impl Dispatcher {
    /// Sends until the stop. Deliveries under way then are sent again later.
    pub async fn run(self, stop: CancellationToken) {
        let mut notifications = self.watch.watch(None);
        let mut rounds = interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgets = interval(FORGET_EVERY);
        let mut sending = JoinSet::new();
        let mut busy = HashSet::new();

        loop {
            tokio::select! {
                Some(_) = notifications.next() => {}
                _ = rounds.tick() => {}
                _ = forgets.tick() => self.forget().await,
                Some(ended) = sending.join_next() => {
                    busy.remove(&ended.unwrap_or_default());
                }
                () = stop.cancelled() => return,
            }

            let next = Instant::now() + ROUND_PAUSE;
            match self.begin_round().await {
                Ok(webhooks) => {
                    for webhook in webhooks {
                        if busy.insert(webhook.id.clone()) {
                            let dispatcher = self.clone();
                            sending.spawn(async move { dispatcher.send_due(webhook).await });
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = %Chain(&error),
                        "webhooks wait for the database"
                    );
                }
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn forget(&self) {
        let before = self.clock.now() - KEPT;
        if let Err(error) = self.store.forget_deliveries(before).await {
            tracing::warn!(error = %Chain(&error), "old deliveries of webhooks stay for now");
        }
    }

    /// Makes deliveries of new notifications, and returns the receivers that work.
    async fn begin_round(&self) -> Result<Vec<Webhook>, LedgerError> {
        let mut webhooks = self.store.webhooks().await?;
        webhooks.retain(|webhook| webhook.disabled.is_none());
        if webhooks.is_empty() {
            return Ok(webhooks);
        }

        loop {
            let unsent = self
                .store
                .unsent_notifications(NOTIFICATIONS_AT_ONCE)
                .await?;
            if unsent.is_empty() {
                return Ok(webhooks);
            }

            let now = self.clock.now();
            let new = deliveries_of(&unsent, &webhooks, now);
            if !new.is_empty() {
                self.store.add_deliveries(&new, now).await?;
            }
            let mut last = BTreeMap::new();
            for placed in &unsent {
                last.insert((placed.generation, placed.partition), placed);
            }
            for placed in last.into_values() {
                self.store.advance(placed).await?;
            }
        }
    }

    /// Sends what is due for one receiver. Returns its id.
    async fn send_due(&self, webhook: Webhook) -> String {
        loop {
            let now = self.clock.now();
            let due = self
                .store
                .take_due(&webhook.id, now, now + LEASE, DELIVERIES_AT_ONCE);
            match due.await {
                Ok(due) if due.is_empty() => return webhook.id,
                Ok(due) => {
                    let sent = join_all(due.into_iter().map(|due| self.send(&webhook, due))).await;
                    if sent.contains(&Some(GONE)) {
                        self.disable(&webhook).await;
                        return webhook.id;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "webhooks wait for the database");
                    return webhook.id;
                }
            }
        }
    }

    /// Makes one attempt and stores its result. Returns the status of the answer.
    async fn send(&self, webhook: &Webhook, mut delivery: Delivery) -> Option<u16> {
        let answer = self
            .post(webhook, &delivery.message, delivery.body.clone())
            .await;
        let now = self.clock.now();
        settle(&mut delivery, &answer, now);

        let result = match delivery.state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Waiting => "retried",
            DeliveryState::Failed => "failed",
        };
        metrics::counter!("cordboard_webhook_attempts_total", "result" => result).increment(1);
        tracing::debug!(
            webhook = webhook.id,
            message = delivery.message,
            attempt = delivery.attempts,
            answered = delivery.answered,
            result,
            "webhook attempted"
        );
        if delivery.state == DeliveryState::Failed {
            tracing::warn!(
                webhook = webhook.id,
                message = delivery.message,
                answered = delivery.answered,
                error = delivery.error,
                "a webhook was not taken by its receiver in any attempt; it can be repeated"
            );
        }
        // If the database is away, the lease ends and the delivery is sent again.
        if let Err(error) = self.store.settle_delivery(&delivery).await {
            tracing::warn!(error = %Chain(&error), "the result of a webhook was not stored");
        }

        delivery.answered
    }

    /// Posts a signed message.
    pub(super) async fn post(
        &self,
        webhook: &Webhook,
        message: &str,
        body: String,
    ) -> Result<u16, SendError> {
        let headers = signature::headers(webhook, message, &body, self.clock.now());

        self.sender.post(&webhook.url, &headers, body).await
    }

    async fn disable(&self, webhook: &Webhook) {
        let disabled = Webhook {
            disabled: Some("the receiver answered 410 Gone".to_owned()),
            ..webhook.clone()
        };

        tracing::warn!(webhook = webhook.id, "the receiver of a webhook is gone");
        if let Err(error) = self.store.put_webhook(&disabled).await {
            tracing::warn!(error = %Chain(&error), "the webhook was not disabled");
        }
    }
}

/// The body of a message.
pub(super) fn body(event: &str, now: At, data: &str) -> String {
    format!(
        r#"{{"type":"{event}","timestamp":"{}","data":{data}}}"#,
        instant::text(now)
    )
}

/// One delivery for each receiver of each notification.
fn deliveries_of(placed: &[PlacedNotification], webhooks: &[Webhook], now: At) -> Vec<NewDelivery> {
    let mut new = Vec::new();

    for notification in placed {
        let site = site_of(&notification.data);
        for webhook in webhooks
            .iter()
            .filter(|webhook| wants(webhook, &notification.event) && sees(webhook, site.as_deref()))
        {
            new.push(NewDelivery {
                webhook: webhook.id.clone(),
                message: message_id(notification),
                event: notification.event.clone(),
                body: body(&notification.event, now, &notification.data),
            });
        }
    }

    new
}

fn wants(webhook: &Webhook, event: &str) -> bool {
    webhook.events.is_empty() || webhook.events.iter().any(|wanted| wanted == event)
}

/// A call that was withdrawn has an id and no site.
fn sees(webhook: &Webhook, site: Option<&str>) -> bool {
    match (&webhook.sites, site) {
        (SiteScope::All, _) | (SiteScope::Only(_), None) => true,
        (sites, Some(site)) => sites.contains(site),
    }
}

fn site_of(data: &str) -> Option<String> {
    let data: Value = serde_json::from_str(data).ok()?;

    data["call"]["site"].as_str().map(ToOwned::to_owned)
}

/// The same for the same notification, and another one in a new database that counts from one again.
fn message_id(notification: &PlacedNotification) -> String {
    let mut digest = Sha256::new();
    for number in [
        notification.generation,
        notification.partition,
        notification.number,
    ] {
        digest.update(number.to_be_bytes());
    }
    digest.update(&notification.data);

    format!("msg_{}", HEXLOWER.encode(&digest.finalize()[..16]))
}

/// Takes the answer to the last attempt into the delivery.
fn settle(delivery: &mut Delivery, answer: &Result<u16, SendError>, now: At) {
    let (answered, error) = match answer {
        Ok(status) => (Some(*status), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let is_taken = matches!(answered, Some(200..=299));
    let attempts = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let delay = RETRIES.get(attempts.saturating_sub(1));

    delivery.answered = answered;
    delivery.error = error;
    (delivery.state, delivery.due_at) = match delay {
        _ if is_taken => (DeliveryState::Delivered, now),
        Some(delay) if answered != Some(GONE) => (DeliveryState::Waiting, now + *delay),
        _ => (DeliveryState::Failed, now),
    };
    delivery.finished_at = (delivery.state != DeliveryState::Waiting).then_some(now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(attempts: i64) -> Delivery {
        Delivery {
            webhook: "w".to_owned(),
            message: "m".to_owned(),
            event: "call.missed".to_owned(),
            body: "{}".to_owned(),
            state: DeliveryState::Waiting,
            created_at: At(0),
            due_at: At(0),
            attempts,
            answered: None,
            error: None,
            finished_at: None,
        }
    }

    #[test]
    fn a_delivery_that_is_not_taken_is_repeated_until_the_last_attempt() {
        let refused = Err(SendError::TimedOut);
        let mut due = At(0);
        for attempt in 1..=9 {
            let mut delivery = delivery(attempt);
            settle(&mut delivery, &refused, At(0));
            assert_eq!(delivery.state, DeliveryState::Waiting, "{attempt}");
            assert!(delivery.due_at > due, "{attempt}");
            due = delivery.due_at;
        }

        let mut last = delivery(10);
        settle(&mut last, &refused, At(7));
        assert_eq!(last.state, DeliveryState::Failed);
        assert_eq!(last.finished_at, Some(At(7)));
    }

    #[test]
    fn an_answer_of_success_or_of_absence_ends_a_delivery() {
        for (status, state) in [
            (204, DeliveryState::Delivered),
            (GONE, DeliveryState::Failed),
            (302, DeliveryState::Waiting),
            (500, DeliveryState::Waiting),
        ] {
            let mut delivery = delivery(1);
            settle(&mut delivery, &Ok(status), At(0));
            assert_eq!(delivery.state, state, "{status}");
        }
    }

    #[test]
    fn a_message_of_a_new_database_has_another_id() {
        let placed = |data: &str| PlacedNotification {
            generation: 0,
            partition: 0,
            number: 1,
            event: "call.started".to_owned(),
            data: data.to_owned(),
        };

        assert_eq!(message_id(&placed("a")), message_id(&placed("a")));
        assert_ne!(message_id(&placed("a")), message_id(&placed("b")));
    }
}
