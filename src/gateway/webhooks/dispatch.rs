//! From notifications to deliveries, and from deliveries to receivers.
//!
//! - **Several gateways** may do this at once. A delivery is stored once, because its id follows from
//!   its notification, and one row decides which gateway sends it. A gateway that dies leaves its
//!   deliveries to the others after five minutes, so a receiver may get a message twice, with the
//!   same id.
//! - **Order**: messages of one call follow each other; those of up to four calls are sent at once.
//!   One gateway at a time sends to a receiver.
//! - **A receiver that fails rests**, longer each time, and keeps no other waiting. It is ended when
//!   ten thousand messages wait that came while it failed, or that are older than an hour when the
//!   gateway has worked for an hour. So what has gathered while no gateway worked ends no receiver.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::messages::{messages_of, sees};
use super::signature;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::watch::Watch;
use crate::port::webhooks::{
    Delivery, DeliveryState, PlacedNotification, SendError, Sender, Webhook, Webhooks,
};

/// A round without a notification: deliveries fall due.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Notifications of this time become deliveries together.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Old deliveries are removed, and receivers with too many are ended.
const UPKEEP_EVERY: Duration = Duration::from_mins(1);
const FINISHED_KEPT: Span = Span::seconds(3 * 86_400);
const ALL_KEPT: Span = Span::seconds(7 * 86_400);
/// Deliveries that are made at once, and limits on the notifications of which they are made.
const MADE_AT_ONCE: usize = 12_800;
const NOTIFICATIONS_AT_ONCE: (usize, usize) = (64, 1_000);
/// Reads of notifications in one round. Sending begins after them, also of a long backlog.
const READS_PER_ROUND: usize = 16;
/// Deliveries that are taken for one receiver at once, and of how many calls they are sent together.
const DELIVERIES_AT_ONCE: u32 = 16;
const CALLS_AT_ONCE: usize = 4;
/// A receiver is ended when so many deliveries wait that came while it failed, or that have waited
/// for longer than this.
const WAITING_MAX: u32 = 10_000;
const BACKLOG_AGE_MAX: Span = Span::seconds(3_600);
/// Another gateway may send a delivery that was begun this long ago: longer than all that are taken
/// at once can last.
const LEASE: Span = Span::seconds(300);
/// While a gateway sends to a receiver, no other one does: messages of one call follow each other.
/// It says so again before each of its reads; after this time another one takes over.
const SENDER_TIME: Span = Span::seconds(90);
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
    /// The name of this process among those that send.
    name: Arc<str>,
    pub(super) memory: Arc<Memory>,
}

/// The result of a round.
struct Round {
    /// The receivers that work.
    webhooks: Vec<Webhook>,
    /// More notifications wait.
    has_more: bool,
}

impl Dispatcher {
    #[must_use]
    pub fn new(
        store: Arc<dyn Webhooks>,
        sender: Arc<dyn Sender>,
        watch: Arc<dyn Watch>,
        clock: Arc<dyn Clock>,
    ) -> Dispatcher {
        let memory = Arc::new(Memory::new(clock.now()));

        Dispatcher {
            store,
            sender,
            watch,
            clock,
            name: uuid::Uuid::now_v7().to_string().into(),
            memory,
        }
    }

    /// Sends until the stop. Deliveries under way then are sent again later.
    pub async fn run(self, stop: CancellationToken) {
        let mut notifications = self.watch.watch(None);
        let mut rounds = interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = interval(UPKEEP_EVERY);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending = JoinSet::new();
        let mut busy = HashMap::new();

        loop {
            tokio::select! {
                Some(_) = notifications.next() => {}
                _ = rounds.tick() => {}
                _ = upkeep.tick() => self.keep_up().await,
                Some(ended) = sending.join_next_with_id() => {
                    let task = match ended {
                        Ok((task, ())) => task,
                        Err(error) => error.id(),
                    };
                    busy.remove(&task);
                }
                () = stop.cancelled() => return,
            }

            let next = Instant::now() + ROUND_PAUSE;
            let working: HashSet<String> = busy.values().cloned().collect();
            match self.begin_round().await {
                Ok(round) => {
                    if round.has_more {
                        rounds.reset_immediately();
                    }
                    let idle = round.webhooks.into_iter().filter(|webhook| {
                        !working.contains(&webhook.id) && !self.memory.rests(&webhook.id)
                    });
                    for webhook in idle {
                        let dispatcher = self.clone();
                        let id = webhook.id.clone();
                        let task = sending.spawn(async move { dispatcher.send_due(&id).await });
                        busy.insert(task.id(), webhook.id);
                    }
                }
                Err(error) => waits_for_database(&error),
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Removes old deliveries, and ends receivers for which too many wait.
    pub async fn keep_up(&self) {
        let now = self.clock.now();
        let kept = async {
            while self
                .store
                .forget_deliveries(now - FINISHED_KEPT, now - ALL_KEPT)
                .await?
            {}

            let mut all_waiting = 0;
            for webhook in self.store.webhooks().await? {
                let all = (At::START, At::END);
                let waiting = self.count_waiting(&webhook, all).await?;
                all_waiting += waiting;
                if waiting >= WAITING_MAX
                    && webhook.disabled.is_none()
                    && self.is_too_far_behind(&webhook, now).await?
                {
                    let reason = format!("it has not taken {WAITING_MAX} messages");
                    tracing::warn!(webhook = webhook.id, "a webhook is ended: {reason}");
                    self.store.end_webhook(&webhook.id, &reason, now).await?;
                }
            }
            metrics::gauge!("cordboard_webhook_waiting").set(f64::from(all_waiting));
            Ok(())
        };

        if let Err(error) = kept.await {
            waits_for_database(&error);
        }
    }

    /// Whether too many messages came while the receiver failed, or have waited for too long.
    async fn is_too_far_behind(&self, webhook: &Webhook, now: At) -> Result<bool, LedgerError> {
        if let Some(since) = self.memory.in_vain_since(&webhook.id)
            && self.count_waiting(webhook, (since, At::END)).await? >= WAITING_MAX
        {
            return Ok(true);
        }

        // After an outage the receiver has an hour too.
        if now - self.memory.since < BACKLOG_AGE_MAX {
            return Ok(false);
        }
        let old = (At::START, now - BACKLOG_AGE_MAX);
        Ok(self.count_waiting(webhook, old).await? >= WAITING_MAX)
    }

    async fn count_waiting(
        &self,
        webhook: &Webhook,
        created: (At, At),
    ) -> Result<u32, LedgerError> {
        self.store
            .count_waiting(&webhook.id, created, WAITING_MAX)
            .await
    }

    /// Makes deliveries of new notifications.
    async fn begin_round(&self) -> Result<Round, LedgerError> {
        let mut webhooks = self.store.webhooks().await?;
        webhooks.retain(|webhook| webhook.disabled.is_none());
        let mut round = Round {
            has_more: !webhooks.is_empty(),
            webhooks,
        };

        let (least, most) = NOTIFICATIONS_AT_ONCE;
        let at_once = (MADE_AT_ONCE / round.webhooks.len().max(1)).clamp(least, most);
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX);
        for _ in 0..READS_PER_ROUND {
            if !round.has_more {
                break;
            }
            let unsent = self.store.unsent_notifications(at_once).await?;
            if unsent.is_empty() {
                round.has_more = false;
                break;
            }

            report_skipped(&unsent);
            let now = self.clock.now();
            let first = self.memory.reserve_instants(unsent.len(), now);
            let new = messages_of(&unsent, &round.webhooks, first);
            if !new.is_empty() {
                self.store.add_messages(&new).await?;
            }
            let mut last = BTreeMap::new();
            for placed in &unsent {
                last.insert((placed.generation, placed.partition), placed);
            }
            for placed in last.into_values() {
                self.store.advance(placed).await?;
            }
        }

        self.memory.note_backlog(round.has_more, self.clock.now());
        Ok(round)
    }

    /// Makes deliveries of all notifications up to now; where no receiver works, they become none.
    pub(super) async fn settle_backlog(&self) -> Result<(), LedgerError> {
        loop {
            let round = self.begin_round().await?;
            if round.webhooks.is_empty() {
                return self.store.skip_notifications().await;
            }
            if !round.has_more {
                return Ok(());
            }
        }
    }

    /// Sends what is due for one receiver, and lets other gateways send after that.
    async fn send_due(&self, id: &str) {
        self.send_while_due(id).await;

        // If the database is away, the time of this gateway ends by itself.
        if let Err(error) = self.store.release_webhook(id, &self.name).await {
            waits_for_database(&error);
        }
    }

    /// Sends what is due for one receiver, until nothing is, until it fails, or while another gateway
    /// sends. The receiver is read again each time, so that a change of it counts at once.
    async fn send_while_due(&self, id: &str) {
        loop {
            let now = self.clock.now();
            let taken = async {
                let until = now + SENDER_TIME;
                if !self.store.hold_webhook(id, &self.name, now, until).await? {
                    return Ok(None);
                }
                let Some(webhook) = self.store.webhook(id).await? else {
                    return Ok(None);
                };
                if webhook.disabled.is_some() {
                    return Ok(None);
                }
                let due = self
                    .store
                    .take_due(id, now, now + LEASE, DELIVERIES_AT_ONCE);
                Ok(Some((webhook, due.await?)))
            };
            let (webhook, due) = match taken.await {
                Ok(Some((_, due))) if due.is_empty() => return,
                Ok(Some(taken)) => taken,
                Ok(None) => return,
                Err(error) => return waits_for_database(&error),
            };

            let answers: Vec<Option<u16>> = stream::iter(by_call(due))
                .map(|of_call| self.send_in_order(&webhook, of_call))
                .buffer_unordered(CALLS_AT_ONCE)
                .concat()
                .await;
            if answers.contains(&Some(GONE)) {
                return self.end(id).await;
            }
            if answers.iter().any(|answer| !is_taken(*answer)) {
                return self.memory.rest(id, self.clock.now());
            }
            self.memory.wake(id);
        }
    }

    async fn send_in_order(&self, webhook: &Webhook, due: Vec<Delivery>) -> Vec<Option<u16>> {
        let mut answers = Vec::with_capacity(due.len());
        for delivery in due {
            answers.push(self.send(webhook, delivery).await);
        }

        answers
    }

    /// Makes one attempt and stores its result. Returns the status of the answer.
    async fn send(&self, webhook: &Webhook, mut delivery: Delivery) -> Option<u16> {
        let answer = if sees(webhook, delivery.site.as_deref()) {
            self.post(webhook, &delivery.message, delivery.body.clone())
                .await
        } else {
            // Nothing of a site is sent after the site was taken from the receiver.
            delivery.attempts = i64::MAX;
            Err(SendError::Refused(
                "the receiver does not get this site any more".to_owned(),
            ))
        };
        settle(&mut delivery, &answer, self.clock.now());

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

    async fn end(&self, id: &str) {
        tracing::warn!(webhook = id, "the receiver of a webhook is gone");
        let now = self.clock.now();
        let ended = self
            .store
            .end_webhook(id, "the receiver answered 410 Gone", now);
        if let Err(error) = ended.await {
            waits_for_database(&error);
        }
    }
}

/// Counts and reports notifications that were deleted before they could become deliveries.
fn report_skipped(unsent: &[PlacedNotification]) {
    let mut partitions = HashSet::new();

    for first in unsent {
        if !partitions.insert((first.generation, first.partition)) {
            continue;
        }
        let sent = first.sent_before.unwrap_or(first.number - 1);
        let skipped = u64::try_from(first.number - sent - 1).unwrap_or_default();
        if skipped > 0 {
            metrics::counter!("cordboard_webhook_skipped_total").increment(skipped);
            tracing::error!(
                partition = first.partition,
                skipped,
                "events are not sent to webhooks: too many had gathered in the database"
            );
        }
    }
}

fn waits_for_database(error: &LedgerError) {
    tracing::warn!(error = %Chain(error), "webhooks wait for the database");
}

fn is_taken(answer: Option<u16>) -> bool {
    matches!(answer, Some(200..=299))
}

/// Deliveries of each call in their order, the call with the earliest one first.
fn by_call(due: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut calls: Vec<Vec<Delivery>> = Vec::new();

    for delivery in due {
        let of_call = calls.iter_mut().find(|of_call| {
            of_call
                .first()
                .is_some_and(|first| first.call == delivery.call)
        });
        match of_call {
            Some(of_call) => of_call.push(delivery),
            None => calls.push(vec![delivery]),
        }
    }

    calls
}

/// Takes the answer to the last attempt into the delivery.
fn settle(delivery: &mut Delivery, answer: &Result<u16, SendError>, now: At) {
    let (answered, error) = match answer {
        Ok(status) => (Some(*status), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let attempts = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let delay = RETRIES.get(attempts.saturating_sub(1));

    delivery.answered = answered;
    delivery.error = error;
    (delivery.state, delivery.due_at) = match delay {
        _ if is_taken(answered) => (DeliveryState::Delivered, now),
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
            site: None,
            call: "c".to_owned(),
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
    fn messages_of_one_call_stay_in_their_order() {
        let of_call = |call: &str, message: &str| Delivery {
            call: call.to_owned(),
            message: message.to_owned(),
            ..delivery(1)
        };

        let calls = by_call(vec![
            of_call("a", "1"),
            of_call("b", "2"),
            of_call("a", "3"),
        ]);

        let messages: Vec<Vec<&str>> = calls
            .iter()
            .map(|call| call.iter().map(|one| one.message.as_str()).collect())
            .collect();
        assert_eq!(messages, [vec!["1", "3"], vec!["2"]]);
    }
}
