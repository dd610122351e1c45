//! The journal as inbox of the worker in a process without a broker.

use async_trait::async_trait;

use super::checkpoint::Position;
use super::open::Journal;
use super::reader::JournalReader;
use super::scan::JournalScan;
use crate::health::FlowCounters;
use crate::port::intake::{Delivery, Inbox, InboxError};

/// Delivers the records of the journal to the worker.
#[derive(Debug)]
pub struct JournalInbox {
    reader: JournalReader,
    /// Position behind the last delivered record, and its sequence number.
    delivered: (Position, u64),
}

impl JournalInbox {
    /// Begins at the released position of the journal.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalInbox> {
        Ok(JournalInbox {
            reader: JournalReader::new(journal)?,
            delivered: (Position::default(), 0),
        })
    }

    /// Begins at the first stored record, released or not, because the database is new and lacks
    /// the records that an earlier one received.
    pub fn rewind_to_start(&mut self, journal: &JournalScan, counters: &FlowCounters) {
        self.reader.follower.rewind_to_start();
        self.reader.progress.unsettle_last(journal.records);
        counters.add_recovered(journal.records - journal.unreleased);
    }
}

#[async_trait]
impl Inbox for JournalInbox {
    async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, InboxError> {
        loop {
            if !self.reader.wait().await {
                return Ok(Vec::new());
            }

            let entries = self
                .reader
                .read(max)
                .map_err(|error| InboxError(error.into()))?;
            if let Some(last) = entries.last() {
                self.delivered = (last.end, last.sequence);
                return Ok(entries
                    .into_iter()
                    .map(|entry| entry.payload.into())
                    .collect());
            }
        }
    }

    async fn settle(&mut self) -> Result<(), InboxError> {
        let (position, sequence) = self.delivered;
        self.reader.progress.settle_up_to(sequence);
        self.reader.release(position);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), InboxError> {
        self.reader.store_checkpoint();
        Ok(())
    }
}
