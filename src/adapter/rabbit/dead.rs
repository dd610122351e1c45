//! The queue of what the broker gave up: looked at without taking anything away, and sent again or
//! dropped one by one.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use super::names::{DEAD_QUEUE, Layout};
use super::{
    BrokerAddress, BrokerError, close_channel, close_connection, foreign, publisher, topology,
    with_timeout,
};
use crate::port::clock::Clock;
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;

const FORWARDED_AT_ONCE: u16 = 100;

/// The queue, with everything taken from it still in hand. What is not settled goes back in its
/// order when it is closed.
pub struct DeadQueue {
    connection: Connection,
    channel: Channel,
    layout: Layout,
    clock: Arc<dyn Clock>,
}

/// A message in the queue.
pub struct Waiting {
    tag: u64,
    /// In our form, where it can be read.
    pub message: Vec<u8>,
    /// Why the broker gave it up.
    pub reason: String,
}

/// Sends everything that lies in a queue to the partitions it belongs to. Returns how much that
/// was.
pub async fn forward(
    connection: &Connection,
    queue: &str,
    layout: Layout,
) -> Result<u32, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let mut sent = 0;
    let waiting = topology::depth(connection, queue)
        .await?
        .map_or(0, |depth| depth.messages);
    if waiting == 0 {
        close_channel(&channel).await;
        return Ok(0);
    }
    with_timeout(channel.basic_qos(FORWARDED_AT_ONCE, BasicQosOptions::default())).await?;
    let consume = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut messages = with_timeout(consume).await?;
    // Those that are there now.
    for _ in 0..waiting {
        let next = tokio::time::timeout(super::PATIENCE, messages.next()).await;
        let Ok(Some(Ok(delivery))) = next else {
            return Err(BrokerError::Unavailable(format!(
                "queue `{queue}` does not hand out what it holds; does somebody else read it?"
            )));
        };
        // Promises of the past say nothing any more; what cannot be read goes to whoever sets it
        // aside.
        let (key, properties) = match Message::decode(&delivery.data) {
            Ok(Message::Report(envelope)) => publisher::address(layout, &envelope),
            Ok(Message::Tick(_)) => {
                with_timeout(channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()))
                    .await?;
                continue;
            }
            Err(_) => (
                format!("call.unreadable.{}", layout.partition_name(0)),
                publisher::properties("unreadable"),
            ),
        };
        publisher::deliver(&channel, &key, properties, &delivery.data).await?;
        with_timeout(channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default())).await?;
        sent += 1;
    }
    close_channel(&channel).await;
    Ok(sent)
}

impl DeadQueue {
    pub async fn open(
        address: &BrokerAddress,
        layout: Layout,
        clock: Arc<dyn Clock>,
    ) -> Result<DeadQueue, BrokerError> {
        let connection = address.connect("cordboard dead letters").await?;
        topology::declare(&connection, layout).await?;
        let channel = with_timeout(connection.create_channel()).await?;
        with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(DeadQueue {
            connection,
            channel,
            layout,
            clock,
        })
    }

    /// The next message, if there is one.
    pub async fn next(&self) -> Result<Option<Waiting>, BrokerError> {
        let got = with_timeout(
            self.channel
                .basic_get(DEAD_QUEUE.into(), BasicGetOptions::default()),
        )
        .await?;
        Ok(got.map(|BasicGetMessage { delivery, .. }| {
            let now = self.clock.now();
            let plain = match Message::decode(&delivery.data) {
                Ok(_) => None,
                Err(_) => foreign::envelope(
                    delivery.routing_key.as_str(),
                    &delivery.properties,
                    &delivery.data,
                    now,
                ),
            };
            let headers = delivery.properties.headers().as_ref();
            let why = headers
                .and_then(|headers| headers.inner().get("x-first-death-reason"))
                .and_then(AMQPValue::as_long_string);
            let reason = format!(
                "the broker gave it up: {}",
                why.map_or_else(|| "it does not say why".to_owned(), ToString::to_string)
            );
            Waiting {
                tag: delivery.delivery_tag,
                message: plain.map_or(delivery.data, |envelope| envelope.encode()),
                reason,
            }
        }))
    }

    /// Sends a message to its partition, with the id it has; returns when it is there.
    pub async fn send(&self, envelope: &Envelope) -> Result<(), BrokerError> {
        let (key, properties) = publisher::address(self.layout, envelope);
        publisher::deliver(&self.channel, &key, properties, &envelope.encode()).await
    }

    /// Takes a message out of the queue for good.
    pub async fn drop(&self, waiting: &Waiting) -> Result<(), BrokerError> {
        with_timeout(
            self.channel
                .basic_ack(waiting.tag, BasicAckOptions::default()),
        )
        .await
    }

    pub async fn depth(&self) -> Result<u32, BrokerError> {
        Ok(topology::depth(&self.connection, DEAD_QUEUE)
            .await?
            .map_or(0, |depth| depth.messages))
    }

    pub async fn close(self) {
        close_channel(&self.channel).await;
        close_connection(&self.connection).await;
    }
}
