//! The journal's records on their way to a broker.

use std::sync::Arc;

use super::follower::Entry;
use super::handle::Journal;
use super::reader::JournalReader;
use crate::health::FlowCounters;

/// Reads the journal for a publisher, which releases records when they are confirmed.
#[derive(Debug)]
pub struct JournalTail {
    reader: JournalReader,
    counters: Arc<FlowCounters>,
}

impl JournalTail {
    /// Begins at the released position of the journal.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalTail> {
        Ok(JournalTail {
            reader: JournalReader::new(journal)?,
            counters: journal.books(),
        })
    }

    /// Waits for a durable record to read. Returns false when the journal is closed and no record
    /// can follow.
    pub async fn wait(&mut self) -> bool {
        self.reader.follower.wait().await
    }

    pub fn read(&mut self, most: usize) -> std::io::Result<Vec<Entry>> {
        self.reader.read(most)
    }

    /// Returns the number of durable records that are not released, read or not.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.reader.progress.depth()
    }

    /// Releases `count` records, the last of them `last`: the broker has confirmed them.
    pub fn release(&mut self, last: &Entry, count: u64) {
        self.reader.progress.settle_up_to(last.sequence);
        self.counters.add_handed_over(count);
        self.reader.release(last.end);
    }

    /// Reads all unreleased records again.
    pub fn back(&mut self) {
        self.reader.follower.rewind_to_released();
    }

    /// Writes the checkpoint before a stop.
    pub fn store(&mut self) {
        self.reader.store_checkpoint();
    }
}
