//! Where the ingress puts what it must not lose, and where the worker takes it from.

use async_trait::async_trait;

use crate::wire::message::Message;

/// Why a message could not be made durable. The phone is told to try again; it will not, so
/// somebody else must be told too.
#[derive(Debug, thiserror::Error)]
pub enum NotDurable {
    #[error("there is no room left")]
    Full,
    #[error("{0}")]
    Unavailable(String),
}

/// Keeps messages in the order of their arrival.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Returns when the message is durable.
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable>;

    /// The same for the promise that everything up to an instant stands before it.
    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable>;
}

/// What is kept and not done with.
pub trait Backlog: Send + Sync {
    fn depth(&self) -> u64;
    /// Room that everything kept takes.
    fn bytes(&self) -> u64;
    /// Why nothing is taken at the moment.
    fn refusal_reason(&self) -> Option<String>;
}

/// Reading what was kept went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InboxError(pub String);

/// A message that somebody has to handle.
pub struct Delivery {
    pub message: Vec<u8>,
    /// What it says, where that had to be read on the way.
    pub decoded: Option<Message>,
    /// Whoever had it before did not settle it, several times: it may be what ended them.
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

/// Messages in their order, until they are settled.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The next messages, at most `most`; waits for one. Empty when there will never be another.
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, InboxError>;

    /// Everything handed out so far is done with.
    async fn settle(&mut self) -> Result<(), InboxError>;

    /// The last word before a stop: what is settled is remembered.
    async fn close(&mut self) -> Result<(), InboxError>;
}
