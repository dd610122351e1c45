//! The journal as intake of the ingress and, without a broker, as inbox of the worker.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::marks::Marks;
use super::{Follower, Journal, Opened, Position, Refused};
use crate::port::books::Books;
use crate::port::intake::{Backlog, Inbox, InboxError, Intake, NotDurable};

impl Intake for Journal {
    fn keep(&self, message: Vec<u8>) -> BoxFuture<'_, Result<(), NotDurable>> {
        Box::pin(async move { self.write(message, false).await.map_err(not_durable) })
    }

    fn keep_tick(&self, tick: Vec<u8>) -> BoxFuture<'_, Result<(), NotDurable>> {
        Box::pin(async move { self.write(tick, true).await.map_err(not_durable) })
    }
}

fn not_durable(refused: Refused) -> NotDurable {
    match refused {
        Refused::Full => NotDurable::Full,
        other => NotDurable::Unavailable(other.to_string()),
    }
}

/// What operations may know of the journal. It does not keep the journal open.
#[derive(Debug)]
pub struct JournalBacklog(Arc<Marks>);

impl JournalBacklog {
    #[must_use]
    pub fn new(journal: &Journal) -> JournalBacklog {
        JournalBacklog(Arc::clone(&journal.marks))
    }
}

impl Backlog for JournalBacklog {
    fn depth(&self) -> u64 {
        self.0.depth()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}

/// Reads the journal directly: the journal is the queue.
#[derive(Debug)]
pub struct JournalInbox {
    follower: Follower,
    marks: Arc<Marks>,
    /// The end of the last record that was handed out, and its number.
    handed_out: (Position, u64),
    checkpoint_fails: bool,
}

impl JournalInbox {
    /// Begins where the journal was released last.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalInbox> {
        Ok(JournalInbox {
            follower: journal.follow()?,
            marks: Arc::clone(&journal.marks),
            handed_out: (Position::default(), 0),
            checkpoint_fails: false,
        })
    }
}

impl JournalInbox {
    /// Begins at the very beginning of what there is: for a database that is not the one it was read into.
    pub fn rewind(&mut self, journal: &Opened, books: &Books) {
        self.follower.rewind();
        self.marks.rewind(journal.records);
        books.found(journal.records - journal.waiting);
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
                    self.handed_out = (last.end, last.sequence);
                    return Ok(entries.into_iter().map(|entry| entry.payload).collect());
                }
            }
        })
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<(), InboxError>> {
        let (position, sequence) = self.handed_out;
        self.marks.settled(sequence);
        // A checkpoint only saves reading again what is known already: without it the work goes on.
        match tokio::task::block_in_place(|| self.follower.release(position)) {
            Ok(()) => self.checkpoint_fails = false,
            Err(error) if !std::mem::replace(&mut self.checkpoint_fails, true) => {
                tracing::error!(%error, "the journal's checkpoint cannot be written, and nothing of the journal is deleted until it can; look into its folder");
            }
            Err(_) => {}
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&mut self) -> Result<(), InboxError> {
        if let Err(error) = self.follower.store() {
            tracing::warn!(%error, "the journal's checkpoint could not be written; what is known already is read again at the next start");
        }
        Ok(())
    }
}
