//! The outbox of a worker process: notifications of all its partitions, published in order over one
//! connection, and remembered as published only when they are confirmed. A crash in between
//! publishes some of them twice, under the same id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::chain::Chain;
use crate::health::HealthCheck;
use crate::port::broker::{BrokerError, NotificationBroker, NotificationChannel};
use crate::port::outbox::{Notification, Outbox};
use crate::retry::{Backoff, opens_too_late};

/// Notifications of a process that wait in memory; the others wait in the ledger.
const QUEUE_MAX: usize = 8_192;
/// Room in the queue before notifications are read from the ledger.
const BACKLOG_ROOM_MIN: usize = QUEUE_MAX / 4;
/// Notifications published before the first of them is confirmed.
const GROUP_MAX: usize = 512;
const RECONNECT_FIRST: Duration = Duration::from_millis(500);

/// A notification in the queue.
struct Queued {
    partition: u32,
    notification: Notification,
    published: Arc<AtomicU64>,
}

/// Makes the outboxes of partitions. Clones share one queue.
#[derive(Clone)]
pub struct OutboxHandle(mpsc::Sender<Queued>);

impl OutboxHandle {
    /// The outbox of a partition whose last notification is `last`, of which those up to
    /// `published_up_to` are published.
    #[must_use]
    pub fn partition(&self, partition: u32, last: u64, published_up_to: u64) -> PartitionOutbox {
        PartitionOutbox {
            partition,
            queue: self.0.clone(),
            published: Arc::new(AtomicU64::new(published_up_to)),
            unqueued_after: Mutex::new((published_up_to < last).then_some(published_up_to)),
        }
    }
}

/// The outbox of one partition.
pub struct PartitionOutbox {
    partition: u32,
    queue: mpsc::Sender<Queued>,
    published: Arc<AtomicU64>,
    /// The last notification in the queue, when later ones wait in the ledger. New ones wait there
    /// as well then, or they would overtake them.
    unqueued_after: Mutex<Option<u64>>,
}

impl PartitionOutbox {
    /// Queues notifications while there is room. Returns the number of the last queued one, if some
    /// found no room.
    fn queue(&self, notifications: Vec<Notification>) -> Option<u64> {
        for notification in notifications {
            let before = notification.number.saturating_sub(1);
            let queued = Queued {
                partition: self.partition,
                notification,
                published: Arc::clone(&self.published),
            };
            if self.queue.try_send(queued).is_err() {
                return Some(before);
            }
        }

        None
    }
}

impl Outbox for PartitionOutbox {
    fn enqueue(&self, notifications: Vec<Notification>) {
        let mut unqueued_after = self.unqueued_after.lock();
        let count = notifications.len() as u64;

        if unqueued_after.is_none() {
            *unqueued_after = self.queue(notifications);
        }
        if unqueued_after.is_some() {
            metrics::counter!("cordboard_broker_news_late_total").increment(count);
            tracing::debug!(
                partition = self.partition,
                notifications = count,
                "outbox full, notifications wait in the database"
            );
        }
    }

    fn published_up_to(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    fn unqueued_after(&self) -> Option<u64> {
        let has_room = self.queue.capacity() >= BACKLOG_ROOM_MIN && !self.queue.is_closed();

        self.unqueued_after.lock().filter(|_| has_room)
    }

    fn enqueue_unqueued(&self, notifications: Vec<Notification>, last: u64) {
        let mut unqueued_after = self.unqueued_after.lock();
        // Notifications that the ledger has deleted cannot be published any more.
        let reached = notifications
            .last()
            .map_or(last, |notification| notification.number);

        let stopped_at = self.queue(notifications);
        *unqueued_after = stopped_at.or((reached < last).then_some(reached));
    }
}

/// Publishes the queue of a process.
pub struct OutboxPublisher {
    broker: Arc<dyn NotificationBroker>,
    health: HealthCheck,
    queue: mpsc::Receiver<Queued>,
    /// Published and not confirmed, or about to be published again.
    group: Vec<Queued>,
}

impl OutboxPublisher {
    #[must_use]
    pub fn new(
        broker: Arc<dyn NotificationBroker>,
        health: HealthCheck,
    ) -> (OutboxPublisher, OutboxHandle) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let publisher = OutboxPublisher {
            broker,
            health,
            queue,
            group: Vec::new(),
        };

        (publisher, OutboxHandle(sender))
    }

    /// Publishes until all handles are dropped and the queue is empty, or the stop. When it is asked
    /// to leave it publishes the rest, as long as the broker takes it; the database holds what is
    /// not published, for the next owner of the partition.
    pub async fn run(mut self, leaving: CancellationToken, stop: CancellationToken) {
        let mut backoff = Backoff::from(RECONNECT_FIRST);

        loop {
            let ended = tokio::select! {
                ended = self.run_connection(&mut backoff, &leaving) => ended,
                () = stop.cancelled() => return,
            };
            match ended {
                Ok(()) => return,
                Err(error) => self.health.set_down(&Chain(&error).to_string()),
            }
            if !backoff.wait(&leaving).await {
                return;
            }
        }
    }

    async fn run_connection(
        &mut self,
        backoff: &mut Backoff,
        leaving: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let channel = tokio::select! {
            channel = self.broker.open() => channel?,
            () = opens_too_late(leaving) => return Err(BrokerError::Silent),
        };
        self.health.set_up();
        backoff.reset();

        let published = self.publish_batches(&*channel).await;
        channel.close().await;

        published
    }

    async fn publish_batches(
        &mut self,
        channel: &dyn NotificationChannel,
    ) -> Result<(), BrokerError> {
        loop {
            if self.group.is_empty() && self.queue.recv_many(&mut self.group, GROUP_MAX).await == 0
            {
                return Ok(());
            }

            let notifications: Vec<(u32, Notification)> = self
                .group
                .iter()
                .map(|queued| (queued.partition, queued.notification.clone()))
                .collect();
            let span = tracing::debug_span!("notify", notifications = notifications.len());
            let receipts = channel.publish(&notifications).instrument(span).await?;

            for (queued, receipt) in self.group.iter().zip(receipts) {
                receipt.confirmed.await?;
                let number = queued.notification.number;
                queued.published.store(number, Ordering::Release);
                tracing::debug!(
                    call_id = %queued.notification.call,
                    partition = queued.partition,
                    sequence = number,
                    kind = queued.notification.kind.name(),
                    "notification published"
                );
            }
            self.group.clear();
        }
    }
}
