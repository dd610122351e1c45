//! A follower for asynchronous tasks: file access blocks no other task, and checkpoint failures
//! stop no work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::checkpoint::Position;
use super::follower::{Entry, Follower};
use super::open::Journal;
use super::progress::Progress;

/// The last records of a journal, up to this many, were written a moment ago and are still in the
/// page cache. Reading them takes less time than handing the other tasks to another thread.
const CACHED_RECORDS: u64 = 1_024;

/// The time after which a checkpoint that failed is tried again.
const CHECKPOINT_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct JournalReader {
    pub follower: Follower,
    pub progress: Arc<Progress>,
    /// The last checkpoint failed. Its error is logged once until one succeeds.
    checkpoint_fails: bool,
}

impl JournalReader {
    /// Reads from the released position of the journal on.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub(super) fn new(journal: &Journal) -> io::Result<JournalReader> {
        Ok(JournalReader {
            follower: journal.follow()?,
            progress: journal.progress(),
            checkpoint_fails: false,
        })
    }

    /// Waits for a durable record to read; false when none can follow. A checkpoint that failed is
    /// tried again meanwhile: in a full journal no record and no release would do it, and it is what
    /// makes room.
    pub(super) async fn wait(&mut self) -> bool {
        while self.checkpoint_fails {
            if let Ok(more) = timeout(CHECKPOINT_AGAIN, self.follower.wait()).await {
                return more;
            }
            let stored = tokio::task::block_in_place(|| self.follower.store_checkpoint());
            self.note_checkpoint(stored);
        }

        self.follower.wait().await
    }

    /// Reads the next records, at most `max`.
    pub(super) fn read(&mut self, max: usize) -> io::Result<Vec<Entry>> {
        if self.progress.depth() <= CACHED_RECORDS {
            self.follower.read(max)
        } else {
            tokio::task::block_in_place(|| self.follower.read(max))
        }
    }

    /// Releases all records up to `position`. A failed checkpoint is logged only: it costs a second
    /// reading of processed records after a restart.
    pub(super) fn release(&mut self, position: Position) {
        let released = if self.follower.is_checkpoint_due(position) {
            tokio::task::block_in_place(|| self.follower.release(position))
        } else {
            self.follower.release(position)
        };

        self.note_checkpoint(released);
    }

    fn note_checkpoint(&mut self, stored: io::Result<()>) {
        match stored {
            Ok(()) => self.checkpoint_fails = false,
            Err(error) if !std::mem::replace(&mut self.checkpoint_fails, true) => {
                tracing::error!(
                    %error,
                    "the journal's checkpoint cannot be written, and no segment of the journal is \
                     deleted until it can; look into its folder"
                );
            }
            Err(_) => {}
        }
    }

    /// Writes the checkpoint before a stop.
    pub(super) fn store_checkpoint(&mut self) {
        if let Err(error) = self.follower.store_checkpoint() {
            tracing::warn!(
                %error,
                "the journal's checkpoint could not be written; \
                 processed records are read again at the next start"
            );
        }
    }
}
