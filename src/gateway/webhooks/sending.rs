//! From deliveries to one receiver: in batches, in the order of each call, while no other process
//! sends to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::messages::{sees, wants};
use super::signature;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::error::LedgerError;
use crate::port::webhooks::{Delivery, DeliveryState, Hold, SendError, Webhook};

/// Deliveries that are read for one receiver at once, and of how many calls they are sent together.
const DELIVERIES_AT_ONCE: u32 = 16;
const CALLS_AT_ONCE: usize = 4;
/// While a gateway sends to a receiver, no other one does: messages of one call follow each other.
/// After this time another one takes over.
const SENDER_TIME: Span = Span::seconds(45);
/// It says so again before a request when this much of its time has passed, and what is left is
/// longer than a request.
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// The first and the longest rest of a receiver that fails.
const REST_FIRST: Span = Span::seconds(5);
const REST_MAX: Span = Span::seconds(300);
/// The rest of a receiver that answers, and refuses all that it gets.
const REST_REFUSING: Span = Span::seconds(1);
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
/// Answers that say something about the receiver, not about the message: too early, too many.
const RECEIVER_BUSY: [u16; 3] = [408, 425, 429];

/// The right of this gateway to send to a receiver, for a time.
struct Turn<'t> {
    webhook: &'t Webhook,
    /// When it was taken or renewed.
    since: Mutex<Instant>,
    /// No further request is made: the turn is lost, or the receiver does not answer.
    is_over: AtomicBool,
    stop: &'t CancellationToken,
}

/// The result of one request.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// The status of the answer, if there was one.
    answered: Option<u16>,
    /// The message was sent before, and not taken.
    is_repetition: bool,
}

/// The state of a receiver, as a batch shows it.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    /// It answers, and refuses all of these messages.
    Refuses,
    Fails,
    Gone,
    /// No request was made, or only repetitions were refused: that says nothing of other messages.
    Unknown,
}

impl Dispatcher {
    /// Sends what is due for one receiver, and lets other gateways send after that.
    pub(super) async fn send_due(&self, id: &str, stop: &CancellationToken) {
        match self.send_while_due(id, stop).await {
            // It is not ours.
            Ok(Hold::Elsewhere) => {}
            Ok(_) => self.release(id).await,
            Err(error) => {
                self.wait_for_database(&error);
                self.release(id).await;
            }
        }
    }

    /// Sends what is due for one receiver, until nothing is, until it fails, or while another gateway
    /// sends. The receiver is read again each time, so that a change of it counts at once.
    async fn send_while_due(
        &self,
        id: &str,
        stop: &CancellationToken,
    ) -> Result<Hold, LedgerError> {
        loop {
            let now = self.clock.now();
            let hold = self
                .store
                .hold_webhook(id, &self.name, now, SENDER_TIME)
                .await?;
            if hold != Hold::Held || stop.is_cancelled() {
                return Ok(hold);
            }
            let Some(webhook) = self.store.webhook(id).await? else {
                return Ok(hold);
            };
            if webhook.disabled.is_some() {
                return Ok(hold);
            }
            let due = self
                .store
                .due_deliveries(id, now, DELIVERIES_AT_ONCE)
                .await?;

            let turn = Turn {
                webhook: &webhook,
                since: Mutex::new(Instant::now()),
                is_over: AtomicBool::new(false),
                stop,
            };
            let attempts: Vec<Attempt> = stream::iter(by_call(due))
                .map(|of_call| self.send_in_order(&turn, of_call))
                .buffer_unordered(CALLS_AT_ONCE)
                .concat()
                .await;
            let verdict = verdict(&attempts, webhook.failing.is_some());
            let goes_on = self.heed(&webhook, verdict).await?;
            if !goes_on || turn.is_over.load(Ordering::Relaxed) {
                return Ok(hold);
            }
        }
    }

    /// Takes note of how a receiver does. Returns whether it gets more now.
    async fn heed(&self, webhook: &Webhook, verdict: Verdict) -> Result<bool, LedgerError> {
        let now = self.clock.now();
        let since = webhook.failing.map_or(now, |failing| failing.since);
        let rest = match verdict {
            Verdict::Unknown => return Ok(true),
            Verdict::Works => {
                if webhook.failing.is_some() {
                    self.store.wake_webhook(&webhook.id).await?;
                }
                return Ok(true);
            }
            Verdict::Gone => {
                tracing::warn!(webhook = webhook.id, "the receiver of a webhook is gone");
                let reason = "the receiver answered 410 Gone";
                self.store.end_webhook(webhook, reason, now).await?;
                return Ok(false);
            }
            Verdict::Refuses => REST_REFUSING,
            // Twice as long as before.
            Verdict::Fails => (now - since).clamp(REST_FIRST, REST_MAX),
        };

        self.store.rest_webhook(webhook, rest).await?;
        Ok(false)
    }

    async fn send_in_order(&self, turn: &Turn<'_>, due: Vec<Delivery>) -> Vec<Attempt> {
        let mut attempts = Vec::with_capacity(due.len());
        for delivery in due {
            if !self.may_send(turn).await {
                break;
            }
            if let Some(reason) = unwanted(turn.webhook, &delivery) {
                self.give_up(turn, delivery, reason).await;
            } else {
                attempts.push(self.send(turn, delivery).await);
            }
        }

        attempts
    }

    /// Whether another request may be made: before the stop, and while no other gateway sends.
    async fn may_send(&self, turn: &Turn<'_>) -> bool {
        if turn.stop.is_cancelled() || turn.is_over.load(Ordering::Relaxed) {
            return false;
        }
        if turn.since.lock().elapsed() < RENEW_AFTER {
            return true;
        }

        let renewed = Instant::now();
        let now = self.clock.now();
        let hold = self
            .store
            .hold_webhook(&turn.webhook.id, &self.name, now, SENDER_TIME);
        let is_held = match hold.await {
            Ok(hold) => hold == Hold::Held,
            Err(error) => {
                self.wait_for_database(&error);
                false
            }
        };
        if is_held {
            *turn.since.lock() = renewed;
        } else {
            turn.is_over.store(true, Ordering::Relaxed);
        }
        is_held
    }

    /// Makes one attempt and stores its result.
    async fn send(&self, turn: &Turn<'_>, mut delivery: Delivery) -> Attempt {
        let webhook = turn.webhook;
        let is_repetition = delivery.attempts > 0;
        let answer = self
            .post(webhook, &delivery.message, delivery.body.clone())
            .await;
        if matches!(answer, Err(SendError::Unreachable(_) | SendError::TimedOut)) {
            turn.is_over.store(true, Ordering::Relaxed);
        }
        finish(&mut delivery, &answer, self.clock.now());
        report(webhook, &delivery);

        self.store_result(turn, &delivery).await;
        Attempt {
            answered: delivery.answered,
            is_repetition,
        }
    }

    /// Ends a delivery that its receiver does not get any more.
    async fn give_up(&self, turn: &Turn<'_>, mut delivery: Delivery, reason: &str) {
        delivery.state = DeliveryState::Failed;
        delivery.error = Some(reason.to_owned());
        delivery.finished_at = Some(self.clock.now());

        self.store_result(turn, &delivery).await;
    }

    async fn store_result(&self, turn: &Turn<'_>, delivery: &Delivery) {
        // If the database is away, the delivery is due still and is sent again.
        if let Err(error) = self.store.finish_delivery(delivery).await {
            tracing::warn!(error = %Chain(&error), "the result of a webhook was not stored");
            turn.is_over.store(true, Ordering::Relaxed);
        }
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
}

/// Why a receiver does not get a message that was made for it: it was changed meanwhile.
fn unwanted(webhook: &Webhook, delivery: &Delivery) -> Option<&'static str> {
    if !wants(webhook, &delivery.event) {
        Some("the receiver does not get this event any more")
    } else if !sees(webhook, delivery.site.as_deref()) {
        Some("the receiver does not get this site any more")
    } else {
        None
    }
}

fn report(webhook: &Webhook, delivery: &Delivery) {
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
}

fn is_taken(answer: Option<u16>) -> bool {
    matches!(answer, Some(200..=299))
}

/// The state of a receiver that failed before or not, after some attempts.
fn verdict(attempts: &[Attempt], failed_before: bool) -> Verdict {
    let answered = |expected: u16| attempts.iter().any(|one| one.answered == Some(expected));
    let is_of_message =
        |one: &Attempt| matches!(one.answered, Some(status) if !RECEIVER_BUSY.contains(&status));
    let refuses = |one: &Attempt| is_of_message(one) && matches!(one.answered, Some(400..=499));
    // A message that failed may fail again at a receiver that takes all others.
    let says_nothing = |one: &Attempt| one.is_repetition && is_of_message(one) && !failed_before;

    if answered(GONE) {
        Verdict::Gone
    } else if attempts.iter().any(|one| is_taken(one.answered)) {
        Verdict::Works
    } else if attempts.iter().all(says_nothing) {
        Verdict::Unknown
    } else if attempts.iter().all(refuses) {
        Verdict::Refuses
    } else {
        Verdict::Fails
    }
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

/// Takes the answer to an attempt into the delivery.
fn finish(delivery: &mut Delivery, answer: &Result<u16, SendError>, now: At) {
    let (answered, error) = match answer {
        Ok(status) => (Some(*status), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let before = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let delay = RETRIES.get(before);

    delivery.attempts += 1;
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
        for attempt in 0..9 {
            let mut delivery = delivery(attempt);
            finish(&mut delivery, &refused, At(0));
            assert_eq!(delivery.state, DeliveryState::Waiting, "{attempt}");
            assert!(delivery.due_at > due, "{attempt}");
            due = delivery.due_at;
        }

        let mut last = delivery(9);
        finish(&mut last, &refused, At(7));
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
            let mut delivery = delivery(0);
            finish(&mut delivery, &Ok(status), At(0));
            assert_eq!(delivery.state, state, "{status}");
        }
    }

    fn attempts(answers: &[Option<u16>], is_repetition: bool) -> Vec<Attempt> {
        let attempt = |answered: &Option<u16>| Attempt {
            answered: *answered,
            is_repetition,
        };
        answers.iter().map(attempt).collect()
    }

    #[test]
    fn a_receiver_that_takes_something_works_and_one_that_refuses_does_not_fail() {
        for (answers, expected) in [
            (&[][..], Verdict::Unknown),
            (&[None], Verdict::Fails),
            (&[Some(500), Some(404)], Verdict::Fails),
            (&[Some(429)], Verdict::Fails),
            (&[Some(404), Some(422)], Verdict::Refuses),
            (&[Some(404), None, Some(204)], Verdict::Works),
            (&[Some(204), Some(GONE)], Verdict::Gone),
        ] {
            let verdict = verdict(&attempts(answers, false), false);
            assert_eq!(verdict, expected, "{answers:?}");
        }
    }

    #[test]
    fn repetitions_that_are_refused_do_not_hold_up_other_messages() {
        for (answers, failed_before, expected) in [
            (&[Some(500), Some(404)][..], false, Verdict::Unknown),
            (&[Some(500), Some(404)], true, Verdict::Fails),
            (&[Some(500), None], false, Verdict::Fails),
            (&[Some(500), Some(429)], false, Verdict::Fails),
            (&[Some(500), Some(204)], true, Verdict::Works),
        ] {
            let verdict = verdict(&attempts(answers, true), failed_before);
            assert_eq!(
                verdict, expected,
                "{answers:?}, failed before: {failed_before}"
            );
        }

        let mixed = [attempts(&[Some(500)], true), attempts(&[Some(500)], false)].concat();
        assert_eq!(verdict(&mixed, false), Verdict::Fails);
    }

    #[test]
    fn messages_of_one_call_stay_in_their_order() {
        let of_call = |call: &str, message: &str| Delivery {
            call: call.to_owned(),
            message: message.to_owned(),
            ..delivery(0)
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
