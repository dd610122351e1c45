//! The journal as intake of the ingress and, without a broker, as inbox of the worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::marks::Marks;
use super::{Entry, Follower, Journal, Opened, Position, Refused};
use crate::health::FlowCounters;
use crate::health::HealthCheck;
use crate::port::intake::{Backlog, Delivery, Inbox, InboxError, Intake, NotDurable};

#[async_trait]
impl Intake for Journal {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        self.write(message, false)
            .await
            .map(|_| ())
            .map_err(not_durable)
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.write(tick, true)
            .await
            .map(|_| ())
            .map_err(not_durable)
    }
}

fn not_durable(refused: Refused) -> NotDurable {
    match refused {
        Refused::Full => NotDurable::Full,
        other => NotDurable::Unavailable(other.to_string()),
    }
}

/// An intake that answers when a message has also arrived where the journal is taken to; while that
/// is away, the journal is enough.
#[derive(Debug)]
pub struct ConfirmedIntake {
    journal: Journal,
    /// Whether anything arrives there at the moment.
    sign: HealthCheck,
}

impl ConfirmedIntake {
    #[must_use]
    pub fn new(journal: Journal, sign: HealthCheck) -> ConfirmedIntake {
        ConfirmedIntake { journal, sign }
    }
}

/// So many records before its end a journal is read without care for others.
const NEAR_RECORDS: u64 = 1_024;
/// How long a confirmation is waited for.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(1);

#[async_trait]
impl Intake for ConfirmedIntake {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        let sequence = self
            .journal
            .write(message, false)
            .await
            .map_err(not_durable)?;
        if self.sign.last_error().is_none() {
            let arrived = self.journal.marks.wait_until_settled(sequence);
            if tokio::time::timeout(CONFIRM_PATIENCE, arrived)
                .await
                .is_err()
            {
                metrics::counter!("cordboard_ingress_unconfirmed_total").increment(1);
            }
        }
        Ok(())
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.journal.accept_tick(tick).await
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

    fn refusal_reason(&self) -> Option<String> {
        self.0.trouble()
    }
}

/// Reads the journal for whoever takes its records elsewhere.
#[derive(Debug)]
pub struct JournalTail {
    follower: Follower,
    marks: Arc<Marks>,
    books: Arc<FlowCounters>,
    checkpoint_fails: bool,
}

impl JournalTail {
    /// Begins where the journal was released last.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalTail> {
        let (marks, books) = (Arc::clone(&journal.marks), journal.books());
        Ok(JournalTail {
            follower: journal.follow()?,
            marks,
            books,
            checkpoint_fails: false,
        })
    }

    /// Waits until there is something to read. Returns whether there will ever be.
    pub async fn wait(&mut self) -> bool {
        self.follower.wait().await
    }

    pub fn read(&mut self, most: usize) -> std::io::Result<Vec<Entry>> {
        near(self.depth(), || self.follower.read(most))
    }

    /// Records that are durable and not released: read already, or not.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.marks.depth()
    }

    /// So many records, this one the last of them, have arrived where they were taken.
    pub fn release(&mut self, last: &Entry, count: u64) {
        self.marks.settled(last.sequence);
        self.books.add_handed_over(count);
        release(&mut self.follower, last.end, &mut self.checkpoint_fails);
    }

    /// Reads again what was not released.
    pub fn back(&mut self) {
        self.follower.back();
    }

    /// The last word before a stop.
    pub fn store(&mut self) {
        store(&mut self.follower);
    }
}

/// Reads what so many records are behind. The last ones were written a moment ago and are still in
/// memory: to make room for a wait, with a thread of its own, would take longer than to read them.
fn near<T>(depth: u64, read: impl FnOnce() -> T) -> T {
    if depth <= NEAR_RECORDS {
        read()
    } else {
        tokio::task::block_in_place(read)
    }
}

/// A checkpoint only saves reading again what is known already: without it the work goes on.
fn release(follower: &mut Follower, position: Position, failing: &mut bool) {
    let near = follower.is_near(position);
    let released = if near {
        follower.release(position)
    } else {
        tokio::task::block_in_place(|| follower.release(position))
    };
    match released {
        Ok(()) => *failing = false,
        Err(error) if !std::mem::replace(failing, true) => {
            tracing::error!(%error, "the journal's checkpoint cannot be written, and nothing of the journal is deleted until it can; look into its folder");
        }
        Err(_) => {}
    }
}

fn store(follower: &mut Follower) {
    if let Err(error) = follower.store() {
        tracing::warn!(%error, "the journal's checkpoint could not be written; what is known already is read again at the next start");
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
    /// Begins at the very beginning of what there is: for a database that is not the one it was
    /// read into.
    pub fn rewind(&mut self, journal: &Opened, books: &FlowCounters) {
        self.follower.rewind();
        self.marks.rewind(journal.records);
        books.add_recovered(journal.records - journal.waiting);
    }
}

#[async_trait]
impl Inbox for JournalInbox {
    async fn next_batch(&mut self, most: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            if !self.follower.wait().await {
                return Ok(Vec::new());
            }
            let entries = near(self.marks.depth(), || self.follower.read(most))
                .map_err(|error| InboxError(error.to_string()))?;
            if let Some(last) = entries.last() {
                self.handed_out = (last.end, last.sequence);
                return Ok(entries
                    .into_iter()
                    .map(|entry| entry.payload.into())
                    .collect());
            }
        }
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        let (position, sequence) = self.handed_out;
        self.marks.settled(sequence);
        release(&mut self.follower, position, &mut self.checkpoint_fails);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        store(&mut self.follower);
        Ok(())
    }
}
