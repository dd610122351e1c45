//! From notifications to deliveries, and from deliveries to receivers.
//!
//! - **Several gateways** may do this at once. One at a time makes messages, and one at a time sends to
//!   a receiver. A gateway that dies is followed by another one after a moment, so a receiver may get
//!   a message twice, with the same id.
//! - **Order**: messages of one call follow each other; those of up to four calls are sent at once.
//! - **A receiver that fails rests**, longer each time, and keeps no other waiting. It is ended when
//!   ten thousand messages wait that came while it took nothing, or that were never sent and are older
//!   than an hour when the gateway has worked for an hour. So what has gathered while no gateway
//!   worked ends no receiver.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use crate::chain::Chain;
use crate::domain::time::{At, Span};
use crate::port::clock::Clock;
use crate::port::error::LedgerError;
use crate::port::watch::Watch;
use crate::port::webhooks::{Sender, Waiting, Webhook, Webhooks};

/// A round without a notification: deliveries fall due.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Notifications of this time become deliveries together.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Old deliveries are removed, and receivers with too many are ended.
const UPKEEP_EVERY: Duration = Duration::from_mins(1);
/// Time for requests under way after the stop. What is not answered by then is sent again.
const STOP_GRACE: Duration = Duration::from_secs(3);
const FINISHED_KEPT: Span = Span::seconds(3 * 86_400);
const ALL_KEPT: Span = Span::seconds(7 * 86_400);
/// A receiver is ended when so many deliveries wait that came while it took nothing, or that have
/// waited for longer than this for their first attempt.
const WAITING_MAX: u32 = 10_000;
const BACKLOG_AGE_MAX: Span = Span::seconds(3_600);

/// Sends notifications to the receivers of a gateway.
#[derive(Clone)]
pub struct Dispatcher {
    pub store: Arc<dyn Webhooks>,
    pub sender: Arc<dyn Sender>,
    pub watch: Arc<dyn Watch>,
    pub clock: Arc<dyn Clock>,
    /// The name of this process among those that send.
    pub(super) name: Arc<str>,
    pub(super) memory: Arc<Memory>,
}

impl Dispatcher {
    /// `name` is that of this process among those that send with the same database; a process that
    /// is the only one keeps its name over a restart, and goes on at once.
    #[must_use]
    pub fn new(
        name: &str,
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
            name: name.into(),
            memory,
        }
    }

    /// Sends until the stop, and lets requests under way end then.
    pub async fn run(self, stop: CancellationToken) {
        let mut notifications = self.watch.watch(None);
        let mut rounds = interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = interval(UPKEEP_EVERY);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending = Sending::default();

        loop {
            tokio::select! {
                Some(_) = notifications.next() => {}
                _ = rounds.tick() => {}
                _ = upkeep.tick() => self.keep_up().await,
                Some(ended) = sending.tasks.join_next_with_id() => sending.note_end(ended),
                () = stop.cancelled() => break,
            }

            let next = Instant::now() + ROUND_PAUSE;
            match self.make_messages().await {
                Ok(round) => {
                    if round.has_more {
                        rounds.reset_immediately();
                    }
                    self.begin_sending(round.webhooks, &mut sending, &stop);
                }
                Err(error) => self.wait_for_database(&error),
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = stop.cancelled() => break,
            }
        }

        self.end_sending(sending).await;
    }

    /// Begins to send to receivers that neither rest nor get something already.
    fn begin_sending(
        &self,
        webhooks: Vec<Webhook>,
        sending: &mut Sending,
        stop: &CancellationToken,
    ) {
        let working: HashSet<String> = sending.webhooks.values().cloned().collect();

        for webhook in webhooks {
            let rests = webhook.failing.is_some_and(|failing| failing.rests);
            if rests || working.contains(&webhook.id) {
                continue;
            }
            let dispatcher = self.clone();
            let stop = stop.clone();
            let id = webhook.id.clone();
            let task = sending
                .tasks
                .spawn(async move { dispatcher.send_due(&id, &stop).await });
            sending.webhooks.insert(task.id(), webhook.id);
        }
    }

    /// Waits for requests under way, and lets other gateways go on at once.
    async fn end_sending(&self, mut sending: Sending) {
        let _ = timeout(STOP_GRACE, async {
            while let Some(ended) = sending.tasks.join_next_with_id().await {
                sending.note_end(ended);
            }
        })
        .await;
        sending.tasks.shutdown().await;

        for webhook in sending.webhooks.values() {
            self.release(webhook).await;
        }
        if let Err(error) = self.store.release_making(&self.name).await {
            self.wait_for_database(&error);
        }
    }

    pub(super) fn wait_for_database(&self, error: &LedgerError) {
        if self.memory.may_report() {
            tracing::warn!(error = %Chain(error), "webhooks wait for the database");
        }
    }

    /// Lets other gateways send to a receiver.
    pub(super) async fn release(&self, webhook: &str) {
        // If the database is away, the time of this gateway ends by itself.
        if let Err(error) = self.store.release_webhook(webhook, &self.name).await {
            self.wait_for_database(&error);
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
                let waiting = self.count(&webhook, Waiting::Since(At::START)).await?;
                all_waiting += waiting;
                if waiting >= WAITING_MAX
                    && webhook.disabled.is_none()
                    && self.is_too_far_behind(&webhook, now).await?
                {
                    let reason = format!("it has not taken {WAITING_MAX} messages");
                    tracing::warn!(webhook = webhook.id, "a webhook is ended: {reason}");
                    self.store.end_webhook(&webhook, &reason, now).await?;
                }
            }
            metrics::gauge!("cordboard_webhook_waiting").set(f64::from(all_waiting));
            Ok(())
        };

        if let Err(error) = kept.await {
            self.wait_for_database(&error);
        }
    }

    /// Whether too many messages came while the receiver took nothing, or have waited for too long.
    async fn is_too_far_behind(&self, webhook: &Webhook, now: At) -> Result<bool, LedgerError> {
        if let Some(failing) = webhook.failing
            && let Some(caught_up) = self.memory.caught_up()
        {
            let in_vain = Waiting::Since(failing.since.max(caught_up));
            if self.count(webhook, in_vain).await? >= WAITING_MAX {
                return Ok(true);
            }
        }

        // After an outage the receiver has an hour too.
        if now - self.memory.since < BACKLOG_AGE_MAX {
            return Ok(false);
        }
        let old = Waiting::UntriedUntil(now - BACKLOG_AGE_MAX);
        Ok(self.count(webhook, old).await? >= WAITING_MAX)
    }

    async fn count(&self, webhook: &Webhook, waiting: Waiting) -> Result<u32, LedgerError> {
        self.store
            .count_waiting(&webhook.id, waiting, WAITING_MAX)
            .await
    }
}

/// Tasks that send, each with its receiver.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<()>,
    webhooks: HashMap<Id, String>,
}

impl Sending {
    fn note_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => error.id(),
        };

        self.webhooks.remove(&task);
    }
}
