//! The message broker, as the services use it: each trait is what one service needs of it.
//!
//! Delivery is at least once and in order within a partition. Publishing is confirmed: a receipt
//! says that a message is stored *and* routed. Failures end a connection, and the service opens the
//! next one.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::dead_letters::DeadLetter;
use super::error::BoxError;
use super::intake::{Inbox, InboxError, JournalRecord};
use super::outbox::Notification;
use crate::wire::envelope::Envelope;

/// Why the broker did not do what was asked. The text is for people, and holds no password.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Try again later.
    #[error("{0}")]
    Unavailable(String, #[source] Option<BoxError>),
    /// An operation was not answered, and may still be done later: the connection is to be given
    /// up.
    #[error("the broker does not answer")]
    Silent,
    /// Something else exists under one of our names, and nothing is destroyed.
    #[error("{0}")]
    Mismatch(String),
    /// A message reached no queue.
    #[error("the broker has no queue for our events; declaring them again")]
    Unroutable,
    /// A message ended the connection, as it will until the broker sets it aside.
    #[error("a message is no AMQP that can be read: see the runbook, CordboardUnreadable")]
    Unreadable,
}

impl BrokerError {
    #[must_use]
    pub fn unavailable(text: impl Into<String>) -> BrokerError {
        BrokerError::Unavailable(text.into(), None)
    }
}

/// A published record.
pub struct PublishReceipt {
    /// Messages that the record became: a tick is one for each partition.
    pub messages: usize,
    /// Resolves when all of them are confirmed and routed, or one is not.
    pub confirmed: BoxFuture<'static, Result<(), BrokerError>>,
}

/// The broker for the ingress: events and ticks, in the order of the journal.
#[async_trait]
pub trait EventBroker: Send + Sync {
    /// Opens a connection to publish on. With `redeclare` exchanges, queues and bindings are
    /// declared again, otherwise only where one is missing.
    async fn open(&self, redeclare: bool) -> Result<Box<dyn EventChannel>, BrokerError>;

    /// Called after a failed connection: the next one tries another node first.
    fn avoid_node(&self);
}

/// An open connection of the ingress.
#[async_trait]
pub trait EventChannel: Send + Sync {
    /// Publishes records in their order. Resolves when they are written to the socket.
    async fn publish(&self, records: &[JournalRecord]) -> Result<Vec<PublishReceipt>, BrokerError>;

    /// Whether the broker is short of memory or disk: it then takes no messages.
    fn blocked(&self) -> watch::Receiver<bool>;

    async fn close(self: Box<Self>);
}

/// The broker for the worker's outbox: notifications for other programs.
#[async_trait]
pub trait NotificationBroker: Send + Sync {
    async fn open(&self) -> Result<Box<dyn NotificationChannel>, BrokerError>;
}

/// An open connection of the outbox.
#[async_trait]
pub trait NotificationChannel: Send + Sync {
    /// Publishes notifications of partitions in their order.
    async fn publish(
        &self,
        notifications: &[(u32, Notification)],
    ) -> Result<Vec<PublishReceipt>, BrokerError>;

    async fn close(self: Box<Self>);
}

/// Notifications as they are published, each with its partition.
#[async_trait]
pub trait NotificationStream: Send {
    /// Waits for the next notification. After an error there is none any more.
    async fn next(&mut self) -> Result<(u32, Notification), BrokerError>;

    /// Closes the connection.
    async fn close(self: Box<Self>);
}

/// The broker for the gateway: notifications of all partitions.
#[async_trait]
pub trait NotificationFeed: Send + Sync {
    /// Subscribes to notifications that are published from now on.
    async fn subscribe(&self) -> Result<Box<dyn NotificationStream>, BrokerError>;

    /// The next connection prefers another node.
    fn avoid_node(&self);
}

/// The broker for the worker group: queues of partitions, each with one active consumer.
#[async_trait]
pub trait PartitionBroker: Send + Sync {
    /// Opens a connection and counts this process among the workers.
    async fn join(&self) -> Result<Arc<dyn GroupConnection>, BrokerError>;

    /// The number of partitions.
    fn partitions(&self) -> u32;

    /// The next connection prefers another node.
    fn avoid_node(&self);
}

/// The waiting messages of the group, and the number of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLoad {
    /// Messages that wait in the queues of all partitions.
    pub waiting: u32,
    /// Partitions whose queue has no consumer.
    pub partitions_without_worker: u32,
    /// Messages that the broker has given up.
    pub dead: u32,
    pub workers: u32,
}

/// An open connection of a worker process.
#[async_trait]
pub trait GroupConnection: Send + Sync {
    /// Subscribes to the queue of a partition.
    async fn subscribe(&self, partition: u32) -> Result<Box<dyn Subscription>, BrokerError>;

    async fn load(&self) -> Result<GroupLoad, BrokerError>;

    fn is_connected(&self) -> bool;

    /// Resolves when an operation on any channel was not answered. It may still be done later: a
    /// consumer that no task reads would hold messages. The connection is to be closed.
    async fn silent(&self);

    async fn close(&self);
}

/// A subscription to the queue of a partition. The broker delivers when no consumer before it holds
/// messages.
#[async_trait]
pub trait Subscription: Send + Sync {
    /// Waits for the first delivery: with it the partition is ours.
    async fn first(&mut self) -> Result<(), InboxError>;

    fn into_inbox(self: Box<Self>) -> Box<dyn Inbox>;

    /// Cancels the subscription.
    async fn leave(self: Box<Self>);
}

/// The queue of messages that the broker has given up.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    async fn depth(&self) -> Result<u32, BrokerError>;

    /// The next message. It stays in the queue until it is removed, and returns to it when the
    /// queue is closed.
    async fn next(&self) -> Result<Option<QueuedLetter>, BrokerError>;

    async fn remove(&self, letter: &QueuedLetter) -> Result<(), BrokerError>;

    /// Publishes an event to its partition under its id; returns when it is stored.
    async fn resend(&self, envelope: &Envelope) -> Result<(), BrokerError>;
}

/// A message of the dead letter queue.
pub struct QueuedLetter {
    pub tag: u64,
    pub letter: DeadLetter,
}
