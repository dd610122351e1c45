//! Followers read durable records in order and release processed ones.
//!
//! A release is durable once the checkpoint is written, at the latest after 256 KiB of progress or
//! at the end of a segment. Records behind the checkpoint are read again after a crash; readers
//! know them by their ids.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::checkpoint::{self, Position, segment_numbers, segment_path, sync_folder};
use super::limits::Limits;
use super::record::{self, Decoded, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::retention;

/// Bytes of one read; a whole record always fits.
const READ_BYTES: usize = 4 * (HEADER_BYTES + PAYLOAD_BYTES_MAX);
/// Progress after which the checkpoint is written again.
const CHECKPOINT_BYTES: u64 = 256 * 1024;

/// A record, and the position behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub payload: Vec<u8>,
    pub end: Position,
}

/// Reads the journal from its released position on.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    limits: Limits,
    durable: watch::Receiver<Position>,
    /// Position of the next read.
    next: Position,
    /// Position in the checkpoint file.
    checkpoint: Position,
    /// Released position, at or after the one in the checkpoint file.
    released: Position,
    /// The open segment, with its number.
    segment: Option<(u64, File)>,
}

impl Follower {
    pub(super) fn new(
        folder: &Path,
        limits: Limits,
        durable: watch::Receiver<Position>,
    ) -> io::Result<Follower> {
        let start = checkpoint::start_position(folder, *durable.borrow())?;

        Ok(Follower {
            folder: folder.to_owned(),
            limits,
            durable,
            next: start,
            checkpoint: start,
            released: start,
            segment: None,
        })
    }

    /// Reads all stored records again, released or not.
    pub(super) fn rewind_to_start(&mut self) {
        self.next = Position::default();
        self.released = Position::default();
        self.segment = None;
    }

    /// Reads all unreleased records again.
    pub(super) fn rewind_to_released(&mut self) {
        self.next = self.released;
        self.segment = None;
    }

    /// Waits for a durable record to read. Returns false when the journal is closed and no record
    /// can follow.
    pub async fn wait(&mut self) -> bool {
        let next = self.next;
        self.durable
            .wait_for(|durable| *durable > next)
            .await
            .is_ok()
    }

    /// Reads the next records, at most `max`. Returns none when all durable records have been
    /// read.
    pub fn read(&mut self, max: usize) -> io::Result<Vec<Entry>> {
        let durable = *self.durable.borrow();
        let mut entries = Vec::new();

        while entries.is_empty() && self.next < durable {
            let limit = if self.next.segment == durable.segment {
                Some(durable.offset)
            } else {
                None
            };
            let Some(bytes) = self.read_chunk(limit)? else {
                if !self.open_next_segment(durable)? {
                    break;
                }
                continue;
            };

            self.decode_records(&bytes, max, &mut entries);
        }

        Ok(entries)
    }

    /// Reads bytes of the current segment up to the offset `limit`. Returns `None` at its end.
    fn read_chunk(&mut self, limit: Option<u64>) -> io::Result<Option<Vec<u8>>> {
        let number = self.next.segment;
        if self
            .segment
            .as_ref()
            .is_none_or(|(open, _)| *open != number)
        {
            match File::open(segment_path(&self.folder, number)) {
                Ok(file) => self.segment = Some((number, file)),
                // The segment was released and deleted, or never created.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &mut self.segment else {
            return Ok(None);
        };

        file.seek(SeekFrom::Start(self.next.offset))?;
        let max = limit.map_or(READ_BYTES as u64, |limit| {
            limit
                .saturating_sub(self.next.offset)
                .min(READ_BYTES as u64)
        });
        let mut bytes = Vec::new();
        file.take(max).read_to_end(&mut bytes)?;

        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn decode_records(&mut self, bytes: &[u8], max: usize, entries: &mut Vec<Entry>) {
        let mut offset = 0;

        while offset < bytes.len() && entries.len() < max {
            match record::decode(&bytes[offset..]) {
                Decoded::Record {
                    sequence,
                    payload,
                    bytes: size,
                } => {
                    offset += size;
                    let end = Position {
                        segment: self.next.segment,
                        offset: self.next.offset + offset as u64,
                    };
                    entries.push(Entry {
                        sequence,
                        payload: payload.to_vec(),
                        end,
                    });
                }

                // The next read begins with this record and may hold all of it. A record that is
                // still incomplete at the beginning of a read is the damaged end of its segment.
                Decoded::Incomplete if offset > 0 => break,

                Decoded::Incomplete | Decoded::Damaged => {
                    offset = record::find_record(bytes, offset + 1).unwrap_or(bytes.len());
                }
            }
        }

        self.next.offset += offset as u64;
    }

    /// Moves to the beginning of the next durable segment. Returns false when there is none.
    fn open_next_segment(&mut self, durable: Position) -> io::Result<bool> {
        let number = segment_numbers(&self.folder)?
            .into_iter()
            .find(|number| *number > self.next.segment && *number <= durable.segment);

        if let Some(number) = number {
            self.next = Position {
                segment: number,
                offset: 0,
            };
            self.segment = None;
        }
        Ok(number.is_some())
    }

    /// Releases all records up to `position`. The checkpoint follows in steps; segments before it
    /// are retained for a while, or deleted.
    pub fn release(&mut self, position: Position) -> io::Result<()> {
        let is_checkpoint_due = self.is_checkpoint_due(position);
        self.released = self.released.max(position);

        if is_checkpoint_due {
            self.store_checkpoint()
        } else {
            Ok(())
        }
    }

    /// Whether a release of all records up to `position` writes the checkpoint.
    pub(super) fn is_checkpoint_due(&self, position: Position) -> bool {
        let released = self.released.max(position);

        released.segment > self.checkpoint.segment
            || released.offset >= self.checkpoint.offset + CHECKPOINT_BYTES
    }

    /// Writes the checkpoint now, as before a stop, and retires the segments before it.
    pub fn store_checkpoint(&mut self) -> io::Result<()> {
        if self.released == self.checkpoint {
            return Ok(());
        }

        checkpoint::store(&self.folder, self.released)?;
        self.checkpoint = self.released;
        self.retire_released_segments()
    }

    /// Retains or deletes the segments before the checkpoint.
    fn retire_released_segments(&self) -> io::Result<()> {
        let mut has_retired = false;
        let mut unreleased_bytes = 0;

        for number in segment_numbers(&self.folder)? {
            if number >= self.checkpoint.segment {
                unreleased_bytes += segment_path(&self.folder, number).metadata()?.len();
                continue;
            }

            if self.limits.retention.is_zero() {
                fs::remove_file(segment_path(&self.folder, number))?;
            } else {
                retention::retain(&self.folder, number)?;
            }
            has_retired = true;
        }

        if has_retired {
            retention::expire_retained(
                &self.folder,
                self.limits.retention,
                self.limits.total_bytes.saturating_sub(unreleased_bytes),
            )?;
            sync_folder(&self.folder)?;
        }
        Ok(())
    }
}
