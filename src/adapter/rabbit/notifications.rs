//! Notifications on the exchange `cordboard.calls`: published by the workers' outboxes, and read by
//! gateways through a queue of their own.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer, PublisherConfirm};
use tokio::sync::watch;

use super::consumer::integer;
use super::names::CALLS;
use super::publishing::{confirmed, pipeline_publishes};
use super::{
    RabbitBroker, addressing, close_connection, confirming_channel, topology, unavailable,
    with_timeout,
};
use crate::domain::fact::EventId;
use crate::domain::notice::NoticeKind;
use crate::port::broker::{
    BrokerError, NotificationBroker, NotificationChannel, NotificationFeed, NotificationStream,
    Receipt,
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
        topology::ensure(&connection, self.layout).await?;
        let channel = confirming_channel(&connection).await?;

        Ok(Box::new(RabbitNotifications {
            connection,
            channel,
            layout: self.layout,
        }))
    }
}

#[async_trait]
impl NotificationChannel for RabbitNotifications {
    async fn publish(
        &self,
        notifications: &[(u32, Notification)],
    ) -> Result<Vec<Receipt>, BrokerError> {
        let publishes = notifications
            .iter()
            .map(|(partition, notification)| self.publish_one(*partition, notification));
        let confirms = with_timeout(pipeline_publishes(publishes)).await?;

        // No one has to listen, so an unroutable notification is no failure: it is not mandatory.
        let (_, never_blocked) = watch::channel(false);
        let receipts = confirms.into_iter().map(|confirm| Receipt {
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
        let to = addressing::notification(self.layout, partition, notification);
        let options = BasicPublishOptions::default();
        let data = notification.data.as_bytes();

        self.channel
            .basic_publish(CALLS.into(), to.key.into(), options, data, to.properties)
            .await
    }
}

#[async_trait]
impl NotificationFeed for RabbitBroker {
    async fn subscribe(&self) -> Result<NotificationStream, BrokerError> {
        let connection = self.address.connect("cordboard feed").await?;
        let consumer = match consume(&connection).await {
            Ok(consumer) => consumer,
            Err(error) => {
                close_connection(&connection).await;
                return Err(error);
            }
        };

        let layout = self.layout;
        let notifications = stream::unfold(
            (consumer, connection),
            async |(mut consumer, connection)| {
                let next = consumer.next().await;
                next.map(|delivery| (delivery, (consumer, connection)))
            },
        );
        let decoded = notifications.filter_map(move |delivery| {
            std::future::ready(match delivery {
                Ok(delivery) => decode(&delivery, layout).map(Ok),
                Err(error) => Some(Err(unavailable(error))),
            })
        });

        Ok(decoded.boxed())
    }

    fn avoid_node(&self) {
        self.address.avoid_node();
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
        kind: NoticeKind::named(delivery.routing_key.as_str())?,
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
