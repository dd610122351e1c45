//! The journal as intake of the ingress and, without a broker, as inbox of the worker.

use futures_util::future::BoxFuture;

use super::{Follower, Journal, Position, Refused};
use crate::port::intake::{Inbox, InboxError, Intake, NotDurable};

impl Intake for Journal {
    fn keep(&self, message: Vec<u8>) -> BoxFuture<'_, Result<(), NotDurable>> {
        Box::pin(async move {
            self.append(message).await.map_err(|refused| match refused {
                Refused::Full => NotDurable::Full,
                other => NotDurable::Unavailable(other.to_string()),
            })
        })
    }
}

/// Reads the journal directly: the journal is the queue.
#[derive(Debug)]
pub struct JournalInbox {
    follower: Follower,
    handed_out: Position,
}

impl JournalInbox {
    /// Begins where the journal was released last.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalInbox> {
        Ok(JournalInbox { follower: journal.follow()?, handed_out: Position::default() })
    }
}

impl Inbox for JournalInbox {
    fn next(&mut self, most: usize) -> BoxFuture<'_, Result<Vec<Vec<u8>>, InboxError>> {
        Box::pin(async move {
            loop {
                if !self.follower.wait().await {
                    return Ok(Vec::new());
                }
                let entries = tokio::task::block_in_place(|| self.follower.read(most)).map_err(|error| InboxError(error.to_string()))?;
                if let Some(last) = entries.last() {
                    self.handed_out = last.end;
                    return Ok(entries.into_iter().map(|entry| entry.payload).collect());
                }
            }
        })
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<(), InboxError>> {
        let released = tokio::task::block_in_place(|| self.follower.release(self.handed_out));
        Box::pin(std::future::ready(released.map_err(|error| InboxError(error.to_string()))))
    }

    fn close(&mut self) -> Result<(), InboxError> {
        self.follower.store().map_err(|error| InboxError(error.to_string()))
    }
}
