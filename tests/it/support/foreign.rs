//! A program of others at the broker: publishes messages, and reads published ones.

use cordboard::adapter::rabbit::BrokerAddress;
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use serde_json::Value;

use super::wait::{PATIENCE, within};

/// A report as other programs publish it, without the envelope of this one.
pub const PLAIN: &str = r#"{
    "call_id": "7",
    "remote": "+4930111222",
    "local": "203",
    "mac": "000b82000001",
    "status": "ringing",
    "timestamp": 1767225600,
    "site": "berlin"
}"#;

pub struct ForeignProgram {
    channel: Channel,
    _connection: Connection,
}

impl ForeignProgram {
    pub async fn connect(url: &str) -> ForeignProgram {
        let address: BrokerAddress = url.parse().unwrap();
        let connection = address.connect("foreign program").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();

        ForeignProgram {
            channel,
            _connection: connection,
        }
    }

    /// Publishes a message, and asserts that a queue has it.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default();
        let published =
            self.channel
                .basic_publish(exchange.into(), key.into(), options, body, properties);

        let confirm = published.await.unwrap();
        let confirmed = within(PATIENCE, "a confirm", confirm).await.unwrap();
        assert!(confirmed.is_ack(), "{key} is confirmed");
        assert!(confirmed.take_message().is_none(), "{key} is routed");
    }

    /// Publishes a message, and returns the error of the channel, or nothing.
    pub async fn try_publish(&self, exchange: &str, key: &str) -> String {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        let published =
            self.channel
                .basic_publish(exchange.into(), key.into(), options, b"{}", properties);

        let confirmed = match published.await {
            Ok(confirm) => within(PATIENCE, "a confirm", confirm).await.map(|_| ()),
            Err(error) => Err(error),
        };
        confirmed
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    /// Declares a durable queue without arguments.
    pub async fn declare(&self, queue: &str) {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };

        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .unwrap();
    }

    /// Reads messages that are published with matching keys from now on.
    pub async fn subscribe(&self, exchange: &str, key: &str) -> Messages {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare("".into(), options, FieldTable::default())
            .await
            .unwrap();
        let queue = queue.name().clone();

        self.channel
            .queue_bind(
                queue.clone(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();

        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = self
            .channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await
            .unwrap();

        Messages(consumer)
    }
}

/// The messages of a subscription, in their order.
pub struct Messages(Consumer);

pub struct Message {
    pub key: String,
    pub properties: BasicProperties,
    pub body: Value,
}

impl Messages {
    pub async fn next(&mut self) -> Message {
        let delivery = within(PATIENCE, "the next message", self.0.next()).await;
        let delivery = delivery.expect("the subscription goes on").unwrap();

        Message {
            key: delivery.routing_key.to_string(),
            properties: delivery.properties,
            body: serde_json::from_slice(&delivery.data).unwrap(),
        }
    }
}
