//! The journal as source of the shipper.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;

use super::checkpoint::Position;
use super::open::Journal;
use super::reader::JournalReader;
use crate::health::FlowCounters;
use crate::port::intake::{InboxError, JournalRecord, JournalSource};

/// Reads the journal for the shipper, which releases records when they are confirmed.
#[derive(Debug)]
pub struct JournalTail {
    reader: JournalReader,
    counters: Arc<FlowCounters>,
    /// Sequence numbers of the records that were read and are not released, and the positions
    /// behind them.
    unreleased: VecDeque<(u64, Position)>,
}

impl JournalTail {
    /// Begins at the released position of the journal.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn new(journal: &Journal) -> std::io::Result<JournalTail> {
        Ok(JournalTail {
            reader: JournalReader::new(journal)?,
            counters: journal.flow_counters(),
            unreleased: VecDeque::new(),
        })
    }
}

#[async_trait]
impl JournalSource for JournalTail {
    async fn wait(&mut self) -> bool {
        self.reader.wait().await
    }

    fn read(&mut self, max: usize) -> Result<Vec<JournalRecord>, InboxError> {
        let entries = self
            .reader
            .read(max)
            .map_err(|error| InboxError(error.into()))?;

        let positions = entries.iter().map(|entry| (entry.sequence, entry.end));
        self.unreleased.extend(positions);
        let records = entries.into_iter().map(|entry| JournalRecord {
            sequence: entry.sequence,
            payload: entry.payload,
        });
        Ok(records.collect())
    }

    fn depth(&self) -> u64 {
        self.reader.progress.depth()
    }

    fn release(&mut self, sequence: u64, count: u64) {
        let mut released = None;
        while let Some((read, position)) = self.unreleased.front().copied()
            && read <= sequence
        {
            released = Some(position);
            self.unreleased.pop_front();
        }

        self.reader.progress.settle_up_to(sequence);
        self.counters.add_handed_over(count);
        if let Some(position) = released {
            self.reader.release(position);
        }
    }

    fn rewind(&mut self) {
        self.unreleased.clear();
        self.reader.follower.rewind_to_released();
    }

    fn checkpoint(&mut self) {
        self.reader.store_checkpoint();
    }
}
