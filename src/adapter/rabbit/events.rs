//! The ingress's connection: records of the journal become messages of the partitions.

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Level;

use super::addressing;
use super::publishing::{confirmed, pipeline_publishes, publish_event};
use super::{RabbitBroker, close_connection, confirming_channel, or_close, topology, unavailable};
use crate::port::broker::{BrokerError, EventBroker, EventChannel, PublishReceipt};
use crate::port::intake::JournalRecord;
use crate::wire::partition::Layout;

struct RabbitEvents {
    connection: Connection,
    channel: Channel,
    layout: Layout,
    blocked: watch::Receiver<bool>,
    /// Follows the events of the connection.
    follower: AbortHandle,
}

#[async_trait]
impl EventBroker for RabbitBroker {
    async fn open(&self, redeclare: bool) -> Result<Box<dyn EventChannel>, BrokerError> {
        let connection = self.address.connect_to_publish("cordboard publish").await?;
        let opened = open_channel(&connection, self.layout, redeclare).await;
        let channel = or_close(&connection, opened).await?;

        let (blocked, follower) = follow_blocking(&connection);
        Ok(Box::new(RabbitEvents {
            connection,
            channel,
            layout: self.layout,
            blocked,
            follower,
        }))
    }

    fn avoid_node(&self) {
        self.address.avoid_node();
    }
}

async fn open_channel(
    connection: &Connection,
    layout: Layout,
    redeclare: bool,
) -> Result<Channel, BrokerError> {
    if redeclare {
        topology::declare(connection, layout).await?;
    } else {
        topology::ensure(connection, layout).await?;
    }

    confirming_channel(connection).await
}

/// Whether the broker is short of memory or disk, as the connection says.
fn follow_blocking(connection: &Connection) -> (watch::Receiver<bool>, AbortHandle) {
    let (state, blocked) = watch::channel(connection.status().blocked());
    let mut events = connection.events_listener();

    let follower = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::ConnectionBlocked(_) => state.send_replace(true),
                Event::ConnectionUnblocked => state.send_replace(false),
                _ => continue,
            };
        }
        // The connection has ended: its confirmations fail, and nothing waits for an unblocking.
        state.send_replace(false);
    });

    (blocked, follower.abort_handle())
}

#[async_trait]
impl EventChannel for RabbitEvents {
    async fn publish(&self, records: &[JournalRecord]) -> Result<Vec<PublishReceipt>, BrokerError> {
        let addressed: Vec<_> = records
            .iter()
            .map(|record| addressing::of_record(self.layout, &record.payload))
            .collect();
        let counts: Vec<usize> = addressed.iter().map(Vec::len).collect();
        if tracing::enabled!(Level::DEBUG) {
            for (record, messages) in records.iter().zip(&addressed) {
                trace(record, messages);
            }
        }

        let publishes = addressed
            .into_iter()
            .flatten()
            .map(|message| publish_event(&self.channel, message));
        let confirms = pipeline_publishes(publishes).await.map_err(unavailable)?;

        let mut confirms = confirms.into_iter();
        let receipts = counts.into_iter().map(|messages| PublishReceipt {
            messages,
            confirmed: confirmed(
                confirms.by_ref().take(messages).collect(),
                self.blocked.clone(),
            ),
        });
        Ok(receipts.collect())
    }

    fn blocked(&self) -> watch::Receiver<bool> {
        self.blocked.clone()
    }

    async fn close(self: Box<Self>) {
        close_connection(&self.connection).await;
    }
}

impl Drop for RabbitEvents {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

fn trace(record: &JournalRecord, messages: &[addressing::Addressed<'_>]) {
    // A tick has no id, and is no event.
    for message in messages {
        if let Some(event_id) = message.properties.message_id() {
            tracing::debug!(
                station = "publish",
                event_id = event_id.as_str(),
                sequence = record.sequence,
                routing_key = message.key,
                "event published"
            );
        }
    }
}
