//! One partition's queue: deliveries in their order, until they are settled. Settled messages are
//! acknowledged within 100 ms; one acknowledgement covers all messages up to the last settled one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::addressing::Addressed;
use super::publishing::publish_all_confirmed;
use super::unreadable::Unreadable;
use super::{
    addressing, close_channel, close_connection, confirming_channel, foreign, with_timeout,
};
use crate::domain::fact::Site;
use crate::port::broker::{BrokerError, Subscription};
use crate::port::clock::Clock;
use crate::port::intake::{Delivery, Inbox, InboxError};
use crate::wire::call_data::without_call_data;
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;
use crate::wire::partition::Layout;

/// Messages that the broker delivers before any of them is settled: two batches, and fewer where
/// there are so many partitions that one worker would hold too much with all of them: of the longest
/// messages, 256 MiB. The broker counts no bytes.
const PREFETCH_MESSAGES_MAX: u32 = 8_192;
const PREFETCH_MESSAGES_MIN: u32 = 256;
const PREFETCH_MESSAGES_OF_ALL: u32 = 16_384;
/// A batch takes a multiple of its bytes until it is committed. Four thousand ordinary events are as
/// long.
const BATCH_BYTES_MAX: usize = 3 << 20;
/// Under load batches start at least this far apart: each of them costs every server a fixed
/// amount.
const PACE: Duration = Duration::from_millis(10);
/// A batch of this size is load.
const BUSY_MESSAGES: usize = 16;
/// A batch of this size begins at once.
const WORTHWHILE_MESSAGES: usize = 256;
/// Settled messages are acknowledged when there are so many of them, or so late: the broker writes
/// acknowledgements to disk as well, and a message that is delivered again is a duplicate.
const ACK_MESSAGES: usize = 256;
const ACK_WITHIN: Duration = Duration::from_millis(100);
/// A message that was delivered so often may be what ended its consumers.
const SUSPECT_DELIVERIES: i64 = 2;

/// The consumer of a partition's queue. It must not be dropped before its channel is closed:
/// otherwise the next consumer would begin while this one still holds messages.
pub(super) struct PartitionConsumer {
    channel: Channel,
    consumer: Consumer,
    partition: u32,
    layout: Layout,
    clock: Arc<dyn Clock>,
    /// Cancelled when an operation is not answered.
    silent: CancellationToken,
    unreadable: Arc<Unreadable>,
    /// A connection that no other partition uses.
    own: Option<Connection>,
    /// Messages come one by one, because one of the next may be unreadable.
    is_cautious: bool,
    /// The error that ended the subscription, behind the messages that wait.
    ended: Option<InboxError>,
    waiting: VecDeque<AmqpDelivery>,
    /// The last message of the last batch.
    last_delivered: Option<u64>,
    settled: Option<Settled>,
    /// Messages delivered since the last acknowledgement.
    unacknowledged: usize,
    /// The earliest moment for the next batch, under load.
    paced: Option<Instant>,
}

/// Settled messages that are not acknowledged yet.
#[derive(Clone, Copy)]
struct Settled {
    /// The last of them.
    last: u64,
    /// The latest moment of their acknowledgement.
    due: Instant,
}

impl PartitionConsumer {
    /// Subscribes to the partition's queue. `silent` is cancelled where the broker leaves an
    /// operation unanswered: it may still subscribe later, and deliver messages that no task reads.
    pub(super) async fn subscribe(
        connection: &Connection,
        layout: Layout,
        partition: u32,
        clock: Arc<dyn Clock>,
        silent: CancellationToken,
        unreadable: Arc<Unreadable>,
    ) -> Result<PartitionConsumer, BrokerError> {
        let is_cautious = unreadable.is_in(partition);
        let prefetch = if is_cautious {
            1
        } else {
            prefetch(layout.partitions)
        };
        let consumed = consume(connection, layout.queue(partition), prefetch).await;
        let (channel, consumer) = report_silence(&silent, consumed)?;

        Ok(PartitionConsumer {
            channel,
            consumer,
            partition,
            layout,
            clock,
            silent,
            unreadable,
            own: None,
            is_cautious,
            ended: None,
            waiting: VecDeque::new(),
            last_delivered: None,
            settled: None,
            unacknowledged: 0,
            paced: None,
        })
    }

    /// Keeps the connection that only this consumer uses.
    pub(super) fn on_its_own(mut self, connection: Option<Connection>) -> PartitionConsumer {
        self.own = connection;
        self
    }

    async fn receive(&mut self) -> Result<AmqpDelivery, InboxError> {
        if let Some(error) = self.ended.take() {
            return Err(error);
        }

        match self.consumer.next().await {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(self.error_of(error)),
            None => Err(InboxError("the broker deleted the queue".into())),
        }
    }

    /// Waits for messages, and takes those that have arrived.
    async fn gather(&mut self, max: usize) -> Result<Vec<AmqpDelivery>, InboxError> {
        if self.is_cautious && !self.unreadable.is_in(self.partition) {
            return Err(InboxError(
                "the next subscription is for all messages".into(),
            ));
        }
        while self.waiting.is_empty() {
            let due = self.settled.map(|settled| settled.due);
            tokio::select! {
                biased;
                first = self.receive() => self.waiting.push_back(first?),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.acknowledge().await?;
                }
            }
        }
        self.collect_arrived(max);

        if let Some(at) = self.paced
            && self.waiting.len() < WORTHWHILE_MESSAGES
        {
            tokio::time::sleep_until(at).await;
            self.collect_arrived(max);
        }

        let ready = fitting(self.waiting.iter().map(|delivery| delivery.data.len()), max);
        self.paced = (ready >= BUSY_MESSAGES).then(|| Instant::now() + PACE);
        Ok(self.waiting.drain(..ready).collect())
    }

    fn error_of(&self, error: lapin::Error) -> InboxError {
        let is_alone = self.own.is_some();
        if self.unreadable.note(&error, self.partition, is_alone) {
            BrokerError::Unreadable.into()
        } else {
            InboxError(error.into())
        }
    }

    fn end_with(&mut self, error: lapin::Error) {
        self.ended = Some(self.error_of(error));
    }

    /// Notes the error of a subscription that ends for another reason, such as an acknowledgement
    /// that fails because a message behind has ended the connection.
    fn note_end(&mut self) {
        while let Some(Some(next)) = self.consumer.next().now_or_never() {
            if let Err(error) = next {
                self.end_with(error);
            }
        }
    }

    fn collect_arrived(&mut self, max: usize) {
        while self.waiting.len() < max {
            match self.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => self.waiting.push_back(delivery),
                Some(Some(Err(error))) => {
                    // It comes once, and is reported when no message is left.
                    self.end_with(error);
                    break;
                }
                _ => break,
            }
        }
    }

    /// Removes settled messages from the queue.
    async fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let Some(settled) = self.settled.take() else {
            return Ok(());
        };
        self.unacknowledged = 0;

        let options = BasicAckOptions { multiple: true };
        let acknowledged = self.channel.basic_ack(settled.last, options);
        report_silence(&self.silent, with_timeout(acknowledged).await)
    }

    /// Decodes a message, and finds out whose it is.
    fn decode(&self, delivery: AmqpDelivery) -> Routed {
        let redelivered_often = was_delivered_often(&delivery);
        let here = |message: Vec<u8>, decoded: Option<Message>| {
            Routed::Here(Delivery {
                message,
                decoded,
                redelivered_often,
            })
        };

        match Message::decode(&delivery.data) {
            Ok(tick @ Message::Tick(_)) => here(delivery.data, Some(tick)),
            Ok(Message::Event(mut envelope)) => {
                let encoded = if envelope.take_own_id() {
                    envelope.encode()
                } else {
                    without_call_data(&envelope, delivery.data)
                };
                self.route(envelope, Some(encoded), redelivered_often)
            }
            Err(_) => match self.foreign_report(&delivery) {
                Some(mut envelope) => {
                    envelope.take_own_id();
                    self.route(envelope, None, redelivered_often)
                }
                // The worker sets it aside as it is.
                None => here(delivery.data, None),
            },
        }
    }

    fn foreign_report(&self, delivery: &AmqpDelivery) -> Option<Envelope> {
        let envelope = foreign::envelope(
            delivery.routing_key.as_str(),
            &delivery.properties,
            &delivery.data,
            self.clock.now(),
        )?;
        metrics::counter!("cordboard_broker_foreign_total").increment(1);

        Some(envelope)
    }

    fn route(
        &self,
        envelope: Envelope,
        payload: Option<Vec<u8>>,
        redelivered_often: bool,
    ) -> Routed {
        let site = Site::parse(&envelope.site);
        let partition = site.map_or(self.partition, |site| self.layout.partition_of(&site));
        let message = payload.unwrap_or_else(|| envelope.encode());

        if partition == self.partition {
            Routed::Here(Delivery {
                message,
                decoded: Some(Message::Event(envelope)),
                redelivered_often,
            })
        } else {
            Routed::Elsewhere(MisplacedEvent {
                envelope,
                message,
                partition,
            })
        }
    }

    /// Publishes events of other partitions there. They are confirmed there before they are settled
    /// here; a repetition is a duplicate there.
    async fn forward(&self, events: &[MisplacedEvent]) -> Result<(), InboxError> {
        if events.is_empty() {
            return Ok(());
        }

        let messages = events.iter().map(|event| {
            // The key is the partition's own: programs that listen to events have received this one.
            Addressed {
                key: self.layout.own_key(event.partition),
                ..addressing::event(self.layout, &event.envelope, &event.message)
            }
        });
        let forwarded = publish_all_confirmed(&self.channel, messages).await;
        report_silence(&self.silent, forwarded)?;

        metrics::counter!("cordboard_broker_forwarded_total").increment(events.len() as u64);
        for event in events {
            let event_id = event.envelope.id;
            tracing::debug!(%event_id, partition = event.partition, "event forwarded to its partition");
        }

        Ok(())
    }
}

/// A decoded message, by the partition it belongs to.
enum Routed {
    Here(Delivery),
    Elsewhere(MisplacedEvent),
}

/// An event of another partition.
struct MisplacedEvent {
    envelope: Envelope,
    message: Vec<u8>,
    partition: u32,
}

async fn consume(
    connection: &Connection,
    queue: String,
    prefetch: u16,
) -> Result<(Channel, Consumer), BrokerError> {
    // Confirms are for messages that are forwarded.
    let channel = confirming_channel(connection).await?;
    with_timeout(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;

    let tag = format!("cordboard-{}", uuid::Uuid::now_v7().simple());
    let consumer = channel.basic_consume(
        queue.into(),
        tag.into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = with_timeout(consumer).await?;

    Ok((channel, consumer))
}

fn prefetch(partitions: u32) -> u16 {
    let share = PREFETCH_MESSAGES_OF_ALL / partitions.max(1);

    u16::try_from(share.clamp(PREFETCH_MESSAGES_MIN, PREFETCH_MESSAGES_MAX)).unwrap_or(u16::MAX)
}

/// How many of the first messages, by their lengths, fit into a batch: at least one.
fn fitting(lengths: impl Iterator<Item = usize>, max: usize) -> usize {
    let mut bytes = 0;
    let first = lengths.take(max).take_while(|length| {
        bytes += length;
        bytes <= BATCH_BYTES_MAX
    });

    first.count().max(1)
}

/// An unanswered operation ends the connection.
fn report_silence<T>(
    silent: &CancellationToken,
    result: Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    if matches!(result, Err(BrokerError::Silent)) {
        silent.cancel();
    }

    result
}

impl From<BrokerError> for InboxError {
    fn from(error: BrokerError) -> InboxError {
        InboxError(error.into())
    }
}

fn was_delivered_often(delivery: &AmqpDelivery) -> bool {
    let headers = delivery.properties.headers().as_ref();
    let count = headers
        .and_then(|headers| headers.inner().get("x-delivery-count"))
        .and_then(integer);

    count.is_some_and(|count| count >= SUSPECT_DELIVERIES)
}

/// The value of a header that is an integer of any width.
pub(super) fn integer(value: &AMQPValue) -> Option<i64> {
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
impl Subscription for PartitionConsumer {
    async fn first(&mut self) -> Result<(), InboxError> {
        if self.waiting.is_empty() {
            let first = self.receive().await?;
            self.waiting.push_back(first);
        }

        Ok(())
    }

    fn into_inbox(self: Box<Self>) -> Box<dyn Inbox> {
        self
    }

    async fn leave(mut self: Box<Self>) {
        // A failure to leave changes nothing: the channel is not used again.
        let _ = self.close().await;
    }
}

#[async_trait]
impl Inbox for PartitionConsumer {
    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            let arrived = self.gather(max).await?;
            self.unacknowledged += arrived.len();
            let last = arrived.last().map(|delivery| delivery.delivery_tag);
            self.last_delivered = last.or(self.last_delivered);

            let mut deliveries = Vec::with_capacity(arrived.len());
            let mut misplaced = Vec::new();
            for delivery in arrived {
                match self.decode(delivery) {
                    Routed::Here(delivery) => deliveries.push(delivery),
                    Routed::Elsewhere(event) => misplaced.push(event),
                }
            }
            self.forward(&misplaced).await?;

            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            self.settle().await?;
        }
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        let Some(last) = self.last_delivered.take() else {
            return Ok(());
        };
        let due = match self.settled {
            Some(settled) => settled.due,
            None => Instant::now() + ACK_WITHIN,
        };
        self.settled = Some(Settled { last, due });

        let is_due = self.unacknowledged >= ACK_MESSAGES || due <= Instant::now();
        if is_due || self.is_cautious {
            self.acknowledge().await?;
        }
        if self.is_cautious {
            self.unreadable.note_read(self.partition);
        }

        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        self.note_end();
        // Unacknowledged messages are delivered again; the channel is not used again.
        let _ = self.acknowledge().await;
        let _ = report_silence(&self.silent, close_channel(&self.channel).await);
        if let Some(own) = &self.own {
            close_connection(own).await;
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::envelope::MESSAGE_BYTES_MAX;

    #[test]
    fn a_batch_has_a_limited_number_of_bytes_and_at_least_one_message() {
        let messages = |length| std::iter::repeat_n(length, 10_000);

        assert_eq!(fitting(messages(600), 4_096), 4_096);
        assert_eq!(
            fitting(messages(MESSAGE_BYTES_MAX), 4_096),
            BATCH_BYTES_MAX / MESSAGE_BYTES_MAX
        );
        assert_eq!(fitting(messages(BATCH_BYTES_MAX + 1), 4_096), 1);
    }

    #[test]
    fn the_longest_messages_of_all_partitions_fit_into_the_memory_of_a_worker() {
        for partitions in [1, 2, 4, 16, 64] {
            let messages = u32::from(prefetch(partitions)) * partitions;

            assert!(messages as usize * MESSAGE_BYTES_MAX <= 256 << 20);
        }
        assert_eq!(prefetch(1), 8_192);
        assert_eq!(prefetch(16), 1_024);
    }
}
