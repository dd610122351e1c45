//! Messages between the ingress and the worker: durable appends on one side, deliveries in the same
//! order on the other. Between them stands the journal, and with RabbitMQ a queue behind it.
//!
//! Adapters carry messages as bytes: a delivery has the bytes that were accepted.

use async_trait::async_trait;

use super::error::BoxError;
use crate::wire::message::Message;

/// Why a message could not be made durable. The phone is answered with 503 and will not send it
/// again.
#[derive(Debug, thiserror::Error)]
pub enum NotDurable {
    #[error("there is no room left")]
    Full,
    #[error("the journal does not take it")]
    Unavailable(#[source] BoxError),
}

/// Accepts messages in the order of their arrival.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Returns when the message is durable. What is read later is the same, byte for byte.
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable>;

    /// The same for a tick.
    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable>;
}

/// The durable messages that are not processed yet.
pub trait JournalDepth: Send + Sync {
    fn depth(&self) -> u64;

    /// Bytes of all stored messages, processed or not.
    fn bytes(&self) -> u64;

    /// Why no message is accepted at the moment.
    fn refusal_reason(&self) -> Option<String>;
}

/// A stored message and its number.
#[derive(Clone, PartialEq, Eq)]
pub struct JournalRecord {
    pub sequence: u64,
    pub payload: Vec<u8>,
}

/// The journal for the ingress's shipper: records in their order, until they are released.
#[async_trait]
pub trait JournalSource: Send + Sync {
    /// Waits for a record. Returns false when there will never be another.
    async fn wait(&mut self) -> bool;

    /// The next records, at most `max`.
    fn read(&mut self, max: usize) -> Result<Vec<JournalRecord>, InboxError>;

    /// Records that are durable and not released: read already, or not.
    fn depth(&self) -> u64;

    /// The `count` records up to `sequence` are shipped.
    fn release(&mut self, sequence: u64, count: u64);

    /// Reads again everything that is not released.
    fn rewind(&mut self);

    /// Stores the progress, as before a stop.
    fn checkpoint(&mut self);
}

/// Reading messages failed.
#[derive(Debug, thiserror::Error)]
#[error("messages cannot be read")]
pub struct InboxError(#[source] pub BoxError);

/// A message to be processed.
pub struct Delivery {
    pub message: Vec<u8>,
    /// The decoded message, where it had to be decoded on the way.
    pub decoded: Option<Message>,
    /// It was delivered several times and never settled: it may end the process of its worker.
    pub redelivered_often: bool,
}

impl From<Vec<u8>> for Delivery {
    fn from(message: Vec<u8>) -> Delivery {
        Delivery {
            message,
            decoded: None,
            redelivered_often: false,
        }
    }
}

/// Deliveries in their order, until they are settled.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The next deliveries, at most `max`; waits for one. Empty when there will never be another.
    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, InboxError>;

    /// All deliveries so far are processed.
    async fn settle(&mut self) -> Result<(), InboxError>;

    /// Stores what is settled, and ends the subscription.
    async fn close(&mut self) -> Result<(), InboxError>;
}
