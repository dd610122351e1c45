//! One partition's queue: messages in their order until they are settled. Settled means
//! acknowledged, all up to the last one at once, after everything they caused is stored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::names::Layout;
use super::{BrokerError, foreign, hang_up, publisher, with_timeout};
use crate::domain::fact::Site;
use crate::port::clock::Clock;
use crate::port::intake::{Delivery, Inbox, InboxError};
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;

/// Messages the broker hands out before any of them is settled: two batches, and less where there
/// are so many partitions that one worker would be given too much with all of them.
const PREFETCH_MESSAGES_MAX: u32 = 8_192;
const PREFETCH_MESSAGES_MIN: u32 = 1_024;
const PREFETCH_MESSAGES_OF_ALL: u32 = 65_536;
/// Under load batches begin no sooner after each other than this: each of them costs every server
/// something, whatever is in it.
const PACE: Duration = Duration::from_millis(10);
/// A batch of so many is load.
const BUSY_MESSAGES: usize = 16;
/// So many are worth a batch at once.
const WORTHWHILE_MESSAGES: usize = 256;
/// What is done with is acknowledged at the latest when it is so much, or so long ago: each
/// acknowledgement is written to disks as well, and what comes back for want of one is known.
const ACK_MESSAGES: usize = 256;
const ACK_WITHIN: Duration = Duration::from_millis(100);
/// A message that came back so often may be what ended those who had it.
const SUSPECT_DELIVERIES: i64 = 2;

/// A partition as one worker sees it. The consumer must never be dropped before its channel is
/// closed: dropped alone, it would let the next one begin while we still hold messages.
pub struct BrokerInbox {
    channel: Channel,
    consumer: Consumer,
    part: u32,
    layout: Layout,
    clock: Arc<dyn Clock>,
    hung: CancellationToken,
    waiting: VecDeque<AmqpDelivery>,
    /// The last message that was handed out.
    handed_out: Option<u64>,
    /// What is done with and not acknowledged.
    done: Option<Done>,
    /// Messages handed out since the last acknowledgement.
    taken: usize,
    /// The earliest moment for the next batch, where there is load.
    paced: Option<Instant>,
}

/// Everything up to a message.
#[derive(Clone, Copy)]
struct Done {
    last: u64,
    /// When it is acknowledged at the latest.
    due: Instant,
}

/// A seat at a partition's queue; the broker gives it messages when nobody before it holds them.
pub struct Held {
    inbox: BrokerInbox,
}

impl Held {
    /// Takes a seat. Where the broker leaves something unanswered it may be done later: a seat that
    /// nobody knows of, and messages for it. `hung` is cancelled then, and whoever has the
    /// connection gives it up.
    pub async fn subscribe(
        connection: &Connection,
        layout: Layout,
        part: u32,
        clock: Arc<dyn Clock>,
        hung: CancellationToken,
    ) -> Result<Held, BrokerError> {
        let seat = async {
            let channel = with_timeout(connection.create_channel()).await?;
            with_timeout(
                channel.basic_qos(prefetch(layout.partitions), BasicQosOptions::default()),
            )
            .await?;
            // For what belongs elsewhere.
            with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
            let tag = format!("cordboard-{}", uuid::Uuid::now_v7().simple());
            let options = BasicConsumeOptions::default();
            let consume = channel.basic_consume(
                layout.queue(part).into(),
                tag.into(),
                options,
                FieldTable::default(),
            );
            let consumer = with_timeout(consume).await?;
            Ok(Held {
                inbox: BrokerInbox {
                    channel,
                    consumer,
                    part,
                    layout,
                    clock,
                    hung: hung.clone(),
                    waiting: VecDeque::new(),
                    handed_out: None,
                    done: None,
                    taken: 0,
                    paced: None,
                },
            })
        };
        heeding(&hung, seat.await)
    }

    /// Waits for the first message: with it the partition is ours.
    pub async fn first(&mut self) -> Result<(), InboxError> {
        if self.inbox.waiting.is_empty() {
            let first = self.inbox.take().await?;
            self.inbox.waiting.push_back(first);
        }
        Ok(())
    }

    #[must_use]
    pub fn into_inbox(self) -> BrokerInbox {
        self.inbox
    }

    /// Gives the seat up.
    pub async fn leave(mut self) {
        // Whatever the broker says: the seat is not ours any more.
        let _left = self.inbox.close().await;
    }
}

impl BrokerInbox {
    async fn take(&mut self) -> Result<AmqpDelivery, InboxError> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(InboxError(error.to_string())),
            None => Err(InboxError("the broker took the queue away".to_owned())),
        }
    }

    /// What has arrived already, in its order.
    async fn gather(&mut self, most: usize) -> Result<Vec<AmqpDelivery>, InboxError> {
        while self.waiting.is_empty() {
            let due = self.done.map(|done| done.due);
            tokio::select! {
                biased;
                first = self.take() => self.waiting.push_back(first?),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.acknowledge().await?,
            }
        }
        self.collect(most);
        if let Some(at) = self.paced
            && self.waiting.len() < WORTHWHILE_MESSAGES
        {
            tokio::time::sleep_until(at).await;
            self.collect(most);
        }
        let ready = self.waiting.len().min(most);
        self.paced = (ready >= BUSY_MESSAGES).then(|| Instant::now() + PACE);
        Ok(self.waiting.drain(..ready).collect())
    }

    fn collect(&mut self, most: usize) {
        while self.waiting.len() < most {
            match self.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => self.waiting.push_back(delivery),
                // Told when there is nothing left to hand out.
                _ => break,
            }
        }
    }

    /// Takes what is done with out of the queue.
    async fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let Some(done) = self.done.take() else {
            return Ok(());
        };
        self.taken = 0;
        let acknowledged = self
            .channel
            .basic_ack(done.last, BasicAckOptions { multiple: true });
        heeding(&self.hung, with_timeout(acknowledged).await)
    }

    /// A message in our form. `None` when it belongs to another partition, and is there now.
    async fn read(&self, delivery: AmqpDelivery) -> Result<Option<Delivery>, InboxError> {
        let suspect = is_suspect(&delivery);
        let envelope = match Message::decode(&delivery.data) {
            Ok(tick @ Message::Tick(_)) => {
                return Ok(Some(Delivery {
                    message: delivery.data,
                    decoded: Some(tick),
                    redelivered_often: suspect,
                }));
            }
            Ok(Message::Report(envelope)) => envelope,
            Err(_) => match foreign::envelope(
                delivery.routing_key.as_str(),
                &delivery.properties,
                &delivery.data,
                self.clock.now(),
            ) {
                Some(envelope) => {
                    metrics::counter!("cordboard_broker_foreign_total").increment(1);
                    return self.place(envelope, None, suspect).await;
                }
                // The worker sets it aside as it is.
                None => {
                    return Ok(Some(Delivery {
                        message: delivery.data,
                        decoded: None,
                        redelivered_often: suspect,
                    }));
                }
            },
        };
        self.place(envelope, Some(delivery.data), suspect).await
    }

    async fn place(
        &self,
        envelope: Envelope,
        message: Option<Vec<u8>>,
        suspect: bool,
    ) -> Result<Option<Delivery>, InboxError> {
        let part =
            Site::parse(&envelope.site).map_or(self.part, |site| self.layout.partition_of(&site));
        let message = message.unwrap_or_else(|| envelope.encode());
        if part == self.part {
            return Ok(Some(Delivery {
                message,
                decoded: Some(Message::Report(envelope)),
                redelivered_often: suspect,
            }));
        }
        // Confirmed there before it is settled here: it may arrive twice, and is known then. Who
        // listens to events has heard this one.
        let (_, properties) = publisher::address(self.layout, &envelope);
        let key = self.layout.own_key(part);
        heeding(
            &self.hung,
            publisher::deliver(&self.channel, &key, properties, &message).await,
        )?;
        metrics::counter!("cordboard_broker_forwarded_total").increment(1);
        Ok(None)
    }
}

fn prefetch(parts: u32) -> u16 {
    let share = PREFETCH_MESSAGES_OF_ALL / parts.max(1);
    u16::try_from(share.clamp(PREFETCH_MESSAGES_MIN, PREFETCH_MESSAGES_MAX)).unwrap_or(u16::MAX)
}

/// What was left unanswered ends the connection.
fn heeding<T>(hung: &CancellationToken, step: Result<T, BrokerError>) -> Result<T, BrokerError> {
    if matches!(step, Err(BrokerError::Silent)) {
        hung.cancel();
    }
    step
}

impl From<BrokerError> for InboxError {
    fn from(error: BrokerError) -> InboxError {
        InboxError(error.to_string())
    }
}

fn is_suspect(delivery: &AmqpDelivery) -> bool {
    let headers = delivery.properties.headers().as_ref();
    let count = headers
        .and_then(|headers| headers.inner().get("x-delivery-count"))
        .and_then(whole);
    count.is_some_and(|count| count >= SUSPECT_DELIVERIES)
}

pub(super) fn whole(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(n) => Some((*n).into()),
        AMQPValue::ShortShortUInt(n) => Some((*n).into()),
        AMQPValue::ShortInt(n) => Some((*n).into()),
        AMQPValue::ShortUInt(n) => Some((*n).into()),
        AMQPValue::LongInt(n) => Some((*n).into()),
        AMQPValue::LongUInt(n) => Some((*n).into()),
        AMQPValue::LongLongInt(n) => Some(*n),
        _ => None,
    }
}

#[async_trait]
impl Inbox for BrokerInbox {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            let deliveries = self.gather(most).await?;
            self.taken += deliveries.len();
            self.handed_out = deliveries
                .last()
                .map(|delivery| delivery.delivery_tag)
                .or(self.handed_out);
            let mut handed = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                handed.extend(self.read(delivery).await?);
            }
            if !handed.is_empty() {
                return Ok(handed);
            }
            self.settle().await?;
        }
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        let Some(last) = self.handed_out.take() else {
            return Ok(());
        };
        let due = self
            .done
            .map_or_else(|| Instant::now() + ACK_WITHIN, |done| done.due);
        self.done = Some(Done { last, due });
        if self.taken >= ACK_MESSAGES || due <= Instant::now() {
            self.acknowledge().await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        // Whatever it says: the channel is not used again.
        let _acknowledged = self.acknowledge().await;
        let _closed = heeding(&self.hung, hang_up(&self.channel).await);
        Ok(())
    }
}
