//! The queue of messages that the broker has given up: looked at without removing any, and sent
//! again or removed one by one.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use super::names::DEAD_QUEUE;
use super::publishing::publish_confirmed;
use super::{
    BrokerAddress, OPERATION_MAX, addressing, close_channel, close_connection, confirming_channel,
    foreign, topology, with_timeout,
};
use crate::adapter::sql::digest;
use crate::domain::text::is_printable;
use crate::port::broker::{BrokerError, DeadLetterQueue, QueuedLetter};
use crate::port::clock::Clock;
use crate::port::dead_letters::DeadLetter;
use crate::wire::call_data::without_call_data;
use crate::wire::envelope::Envelope;
use crate::wire::message::Message;
use crate::wire::partition::Layout;

/// Messages under way while a queue is forwarded.
const FORWARD_PREFETCH: u16 = 100;

/// Moves all messages of a queue to the partitions they belong to. Returns their number.
pub(super) async fn forward(
    connection: &Connection,
    queue: &str,
    layout: Layout,
) -> Result<u32, BrokerError> {
    let waiting = topology::depth(connection, queue)
        .await?
        .map_or(0, |depth| depth.messages);
    if waiting == 0 {
        return Ok(0);
    }

    let channel = confirming_channel(connection).await?;
    with_timeout(channel.basic_qos(FORWARD_PREFETCH, BasicQosOptions::default())).await?;
    let consumer = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut messages = with_timeout(consumer).await?;

    let mut forwarded = 0;
    // Messages that arrive meanwhile are left.
    for _ in 0..waiting {
        let next = tokio::time::timeout(OPERATION_MAX, messages.next()).await;
        let Ok(Some(Ok(delivery))) = next else {
            return Err(BrokerError::unavailable(format!(
                "queue `{queue}` does not deliver its messages; does another program read it?"
            )));
        };
        forwarded += u32::from(forward_message(&channel, &delivery, layout).await?);
    }
    // All messages are forwarded: a failed close changes nothing.
    let _ = close_channel(&channel).await;

    Ok(forwarded)
}

/// Forwards one message, and removes it from its queue. Ticks of the past say nothing any more and
/// are only removed. Returns whether it was forwarded.
async fn forward_message(
    channel: &Channel,
    delivery: &Delivery,
    layout: Layout,
) -> Result<bool, BrokerError> {
    let to = match Message::decode(&delivery.data) {
        Ok(Message::Event(envelope)) => Some(addressing::event(layout, &envelope, &delivery.data)),
        Ok(Message::Tick(_)) => None,
        // The worker of the partition sets it aside.
        Err(_) => Some(addressing::unreadable(layout, 0, &delivery.data)),
    };
    let is_forwarded = to.is_some();

    if let Some(to) = to {
        publish_confirmed(channel, to).await?;
    }
    let acknowledged = channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default());
    with_timeout(acknowledged).await?;

    Ok(is_forwarded)
}

/// The open queue. Messages that were read return to it in their order when it is closed.
pub struct RabbitDeadLetters {
    connection: Connection,
    channel: Channel,
    layout: Layout,
    clock: Arc<dyn Clock>,
}

impl RabbitDeadLetters {
    pub async fn open(
        address: &BrokerAddress,
        layout: Layout,
        clock: Arc<dyn Clock>,
    ) -> Result<RabbitDeadLetters, BrokerError> {
        let connection = address.connect("cordboard dead letters").await?;
        topology::declare(&connection, layout).await?;
        let channel = confirming_channel(&connection).await?;

        Ok(RabbitDeadLetters {
            connection,
            channel,
            layout,
            clock,
        })
    }

    pub async fn close(self) {
        // The connection is closed next, and ends the channel in any case.
        let _ = close_channel(&self.channel).await;
        close_connection(&self.connection).await;
    }

    /// A message in our form, where it can be read.
    fn letter(&self, delivery: Delivery) -> DeadLetter {
        let ours = Message::decode(&delivery.data).ok();
        let plain = match ours {
            Some(_) => None,
            None => foreign::envelope(
                delivery.routing_key.as_str(),
                &delivery.properties,
                &delivery.data,
                self.clock.now(),
            ),
        };
        let headers = delivery.properties.headers().as_ref();
        let reason = headers
            .and_then(|headers| headers.inner().get("x-first-death-reason"))
            .and_then(AMQPValue::as_long_string)
            .map_or_else(|| "no reason given".to_owned(), ToString::to_string);
        // It is printed in terminals, and everybody who publishes can set it.
        let reason: String = reason.chars().filter(|c| is_printable(*c)).collect();
        let message = match (ours, plain) {
            (Some(Message::Event(envelope)), _) => without_call_data(&envelope, delivery.data),
            (_, Some(envelope)) => envelope.encode(),
            (_, None) => delivery.data,
        };

        DeadLetter {
            digest: digest(&message),
            reason: format!("given up by the broker: {reason}"),
            message,
        }
    }
}

#[async_trait]
impl DeadLetterQueue for RabbitDeadLetters {
    async fn depth(&self) -> Result<u32, BrokerError> {
        topology::dead(&self.connection).await
    }

    async fn next(&self) -> Result<Option<QueuedLetter>, BrokerError> {
        let get = self
            .channel
            .basic_get(DEAD_QUEUE.into(), BasicGetOptions::default());
        let message = match with_timeout(get).await {
            // The request is not answered when its answer ends the connection.
            Err(BrokerError::Silent) if !self.connection.status().connected() => {
                return Err(BrokerError::Unreadable);
            }
            message => message?,
        };

        Ok(
            message.map(|BasicGetMessage { delivery, .. }| QueuedLetter {
                tag: delivery.delivery_tag,
                letter: self.letter(delivery),
            }),
        )
    }

    async fn remove(&self, letter: &QueuedLetter) -> Result<(), BrokerError> {
        let acknowledged = self
            .channel
            .basic_ack(letter.tag, BasicAckOptions::default());

        with_timeout(acknowledged).await
    }

    async fn resend(&self, envelope: &Envelope) -> Result<(), BrokerError> {
        let body = envelope.encode();

        publish_confirmed(
            &self.channel,
            addressing::event(self.layout, envelope, &body),
        )
        .await
    }
}
