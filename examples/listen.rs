//! Prints the events of calls that Cordboard publishes to RabbitMQ, one line per event.
//!
//! ```sh
//! cargo run --example listen -- amqp://user:password@broker:5672/cordboard [MESSAGES]
//! ```
//!
//! With `MESSAGES` the program ends after so many events.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the events are the output of this program"
)]

use std::error::Error;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use serde_json::Value;

const EXCHANGE: &str = "cordboard.calls";
const BINDING: &str = "call.#";
/// Unacknowledged messages that RabbitMQ hands out in advance.
const PREFETCH: u16 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: listen URL [MESSAGES]")?;
    let messages: Option<u64> = arguments.next().map(|text| text.parse()).transpose()?;

    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut events = subscribe(&channel).await?;
    eprintln!("listening to {BINDING} on {EXCHANGE}");

    let mut printed = 0;
    while messages.is_none_or(|messages| printed < messages)
        && let Some(delivery) = events.next().await
    {
        let delivery = delivery?;
        println!("{}", describe(&delivery)?);
        // Acknowledged after it is handled: a crash before this line delivers the event again,
        // under the same message id.
        delivery.ack(BasicAckOptions::default()).await?;
        printed += 1;
    }

    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Binds a queue to the exchange. The queue lives as long as the connection; a program that must
/// not miss events while it is away declares a durable queue with a name of its own instead.
async fn subscribe(channel: &Channel) -> Result<Consumer, lapin::Error> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;

    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), exclusive, FieldTable::default())
        .await?;
    let name = queue.name().clone();

    channel
        .queue_bind(
            name.clone(),
            EXCHANGE.into(),
            BINDING.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;

    channel
        .basic_consume(
            name,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// The event in one line. `call` is null after `call.withdrawn`: it was part of another call.
fn describe(delivery: &Delivery) -> Result<String, serde_json::Error> {
    let data: Value = serde_json::from_slice(&delivery.data)?;
    let event = delivery.routing_key.as_str();
    let message_id = delivery
        .properties
        .message_id()
        .as_ref()
        .map_or("", |id| id.as_str());
    let call_id = data["call_id"].as_str().unwrap_or_default();

    let call = &data["call"];
    if call.is_null() {
        return Ok(format!("{event} {message_id} call={call_id}"));
    }

    let text = |value: &Value, missing: &str| value.as_str().unwrap_or(missing).to_owned();
    Ok(format!(
        "{event} {message_id} call={call_id} site={} {} {} -> {} status={}",
        text(&call["site"], ""),
        text(&call["direction"], ""),
        text(&call["from"]["number"], "anonymous"),
        text(&call["to"]["number"], "unknown"),
        text(&call["status"], ""),
    ))
}
