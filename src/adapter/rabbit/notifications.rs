//! Notifications on the exchange `cordboard.calls`: published by the workers' outboxes, and read by
//! gateways through a queue of their own.

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, PublisherConfirm};
use tokio::sync::watch;

use super::addressing::{self, Addressed};
use super::consumer::integer;
use super::names::CALLS;
use super::publishing::{confirmed, pipeline_publishes};
use super::{
    RabbitBroker, close_connection, confirming_channel, or_close, topology, unavailable,
    with_timeout,
};
use crate::domain::fact::EventId;
use crate::domain::notice::NoticeKind;
use crate::port::broker::{
    BrokerError, NotificationBroker, NotificationChannel, NotificationFeed, NotificationStream,
    PublishReceipt,
};
use crate::port::outbox::Notification;
use crate::wire::partition::Layout;

struct RabbitNotifications {
    connection: Connection,
    channel: Channel,
    layout: Layout,
}

#[async_trait]
impl NotificationBroker for RabbitBroker {
    async fn open(&self) -> Result<Box<dyn NotificationChannel>, BrokerError> {
        let connection = self.address.connect_to_publish("cordboard notify").await?;
        let opened = open_channel(&connection, self.layout).await;
        let channel = or_close(&connection, opened).await?;

        Ok(Box::new(RabbitNotifications {
            connection,
            channel,
            layout: self.layout,
        }))
    }
}

async fn open_channel(connection: &Connection, layout: Layout) -> Result<Channel, BrokerError> {
    topology::ensure(connection, layout).await?;

    confirming_channel(connection).await
}

#[async_trait]
impl NotificationChannel for RabbitNotifications {
    async fn publish(
        &self,
        notifications: &[(u32, Notification)],
    ) -> Result<Vec<PublishReceipt>, BrokerError> {
        let publishes = notifications
            .iter()
            .map(|(partition, notification)| self.publish_one(*partition, notification));
        let confirms = with_timeout(pipeline_publishes(publishes)).await?;

        // No one has to listen, so an unroutable notification is no failure: it is not mandatory.
        let (_, never_blocked) = watch::channel(false);
        let receipts = confirms.into_iter().map(|confirm| PublishReceipt {
            messages: 1,
            confirmed: confirmed(vec![confirm], never_blocked.clone()),
        });
        Ok(receipts.collect())
    }

    async fn close(self: Box<Self>) {
        close_connection(&self.connection).await;
    }
}

impl RabbitNotifications {
    async fn publish_one(
        &self,
        partition: u32,
        notification: &Notification,
    ) -> Result<PublisherConfirm, lapin::Error> {
        let Addressed {
            key,
            properties,
            body,
        } = addressing::notification(self.layout, partition, notification);
        let options = BasicPublishOptions::default();

        self.channel
            .basic_publish(CALLS.into(), key.into(), options, &body, properties)
            .await
    }
}

#[async_trait]
impl NotificationFeed for RabbitBroker {
    async fn subscribe(&self) -> Result<Box<dyn NotificationStream>, BrokerError> {
        let connection = self.address.connect("cordboard feed").await?;
        let consumed = consume(&connection).await;
        let consumer = or_close(&connection, consumed).await?;

        Ok(Box::new(RabbitFeed {
            connection,
            consumer,
            layout: self.layout,
        }))
    }

    fn avoid_node(&self) {
        self.address.avoid_node();
    }
}

/// A gateway's subscription to all notifications.
struct RabbitFeed {
    connection: Connection,
    consumer: Consumer,
    layout: Layout,
}

#[async_trait]
impl NotificationStream for RabbitFeed {
    async fn next(&mut self) -> Result<(u32, Notification), BrokerError> {
        loop {
            let Some(delivery) = self.consumer.next().await else {
                return Err(BrokerError::unavailable("the broker deleted the queue"));
            };
            if let Some(decoded) = decode(&delivery.map_err(unavailable)?, self.layout) {
                return Ok(decoded);
            }
        }
    }

    async fn close(self: Box<Self>) {
        close_connection(&self.connection).await;
    }
}

/// Consumes all notifications from now on, from a queue that ends with the connection.
async fn consume(connection: &Connection) -> Result<Consumer, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue =
        with_timeout(channel.queue_declare("".into(), options, FieldTable::default())).await?;
    let name = queue.name().clone();
    let bind = channel.queue_bind(
        name.clone(),
        CALLS.into(),
        "#".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    with_timeout(bind).await?;

    // A slow gateway loses no notification: it reads the missing ones from the database.
    let options = BasicConsumeOptions {
        no_ack: true,
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    with_timeout(channel.basic_consume(name, "".into(), options, FieldTable::default())).await
}

fn decode(delivery: &Delivery, layout: Layout) -> Option<(u32, Notification)> {
    let headers = delivery.properties.headers().as_ref()?.inner();
    let name = headers
        .get("x-cordboard-part")
        .and_then(AMQPValue::as_long_string)?
        .to_string();
    let partition = (0..layout.partitions)
        .find(|partition| addressing::notification_partition(layout, *partition) == name)?;
    let number = integer(headers.get("x-cordboard-number")?)?.cast_unsigned();

    let data = String::from_utf8(delivery.data.clone()).ok()?;
    let document: Document = serde_json::from_str(&data).ok()?;
    let notification = Notification {
        number,
        kind: NoticeKind::from_name(delivery.routing_key.as_str())?,
        call: EventId::parse(&document.call_id)?,
        data: data.into(),
    };

    Some((partition, notification))
}

/// The part of a notification's document that is read here.
#[derive(serde::Deserialize)]
struct Document {
    call_id: String,
}
