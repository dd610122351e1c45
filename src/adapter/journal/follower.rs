//! Reading the journal in order, up to what is durable, and releasing what is done with.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::Limits;
use super::checkpoint::{self, Position, segment_path, segments, sync_folder};
use super::kept;
use super::record::{self, Found, HEADER_BYTES, PAYLOAD_BYTES_MAX};

/// Bytes read at once; a whole record always fits.
const READ_BYTES: usize = 4 * (HEADER_BYTES + PAYLOAD_BYTES_MAX);
/// The checkpoint is written anew after this much progress; what is read twice after a crash is
/// known already.
const CHECKPOINT_BYTES: u64 = 256 * 1024;

/// A record, and the place behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub payload: Vec<u8>,
    pub end: Position,
}

/// Reads the journal from where it was released.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    limits: Limits,
    durable: watch::Receiver<Position>,
    next: Position,
    /// What was last written to the checkpoint.
    released: Position,
    /// What the next checkpoint will say.
    done: Position,
    open: Option<(u64, File)>,
}

impl Follower {
    pub(super) fn new(
        folder: &Path,
        limits: Limits,
        durable: watch::Receiver<Position>,
    ) -> io::Result<Follower> {
        let start = checkpoint::start(folder, *durable.borrow())?;
        Ok(Follower {
            folder: folder.to_owned(),
            limits,
            durable,
            next: start,
            released: start,
            done: start,
            open: None,
        })
    }

    /// Reads everything again that is still there.
    pub(super) fn rewind(&mut self) {
        (self.next, self.done, self.open) = (Position::default(), Position::default(), None);
    }

    /// Reads again what is not done with.
    pub(super) fn back(&mut self) {
        (self.next, self.open) = (self.done, None);
    }

    /// Waits until there is something to read. Returns whether there will ever be.
    pub async fn wait(&mut self) -> bool {
        let next = self.next;
        self.durable
            .wait_for(|durable| *durable > next)
            .await
            .is_ok()
    }

    /// Bytes that are durable and not yet read, as far as the last segment tells.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.next >= *self.durable.borrow()
    }

    /// The next records, at most `most`. Nothing when everything durable has been read.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<Entry>> {
        let durable = *self.durable.borrow();
        let mut entries = Vec::new();
        while entries.is_empty() && self.next < durable {
            let limit = if self.next.segment == durable.segment {
                Some(durable.offset)
            } else {
                None
            };
            let Some(bytes) = self.read_bytes(limit)? else {
                if !self.next_segment(durable)? {
                    break;
                }
                continue;
            };
            self.take_records(&bytes, most, &mut entries);
        }
        Ok(entries)
    }

    /// Bytes from the current place of the current segment, up to the limit; `None` at its end.
    fn read_bytes(&mut self, limit: Option<u64>) -> io::Result<Option<Vec<u8>>> {
        let number = self.next.segment;
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            match File::open(segment_path(&self.folder, number)) {
                Ok(file) => self.open = Some((number, file)),
                // Released and deleted, or never begun.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &mut self.open else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(self.next.offset))?;
        let most = limit.map_or(READ_BYTES as u64, |limit| {
            limit
                .saturating_sub(self.next.offset)
                .min(READ_BYTES as u64)
        });
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    fn take_records(&mut self, bytes: &[u8], most: usize, entries: &mut Vec<Entry>) {
        let mut place = 0;
        while place < bytes.len() && entries.len() < most {
            match record::decode(&bytes[place..]) {
                Found::Record {
                    sequence,
                    payload,
                    bytes: size,
                } => {
                    place += size;
                    let end = Position {
                        segment: self.next.segment,
                        offset: self.next.offset + place as u64,
                    };
                    entries.push(Entry {
                        sequence,
                        payload: payload.to_vec(),
                        end,
                    });
                }
                // More of it may stand behind what was read; at the very end of a segment it is
                // damage, and the rest of it.
                Found::Incomplete if place > 0 => break,
                Found::Incomplete | Found::Damaged => {
                    place = record::next_readable(bytes, place + 1).unwrap_or(bytes.len())
                }
            }
        }
        self.next.offset += place as u64;
    }

    /// Goes on to the next segment there is. Says whether there is one.
    fn next_segment(&mut self, durable: Position) -> io::Result<bool> {
        let number = segments(&self.folder)?
            .into_iter()
            .find(|number| *number > self.next.segment && *number <= durable.segment);
        if let Some(number) = number {
            self.next = Position {
                segment: number,
                offset: 0,
            };
            self.open = None;
        }
        Ok(number.is_some())
    }

    /// Everything up to `position` is done with. The checkpoint follows in steps, segments before
    /// it are kept for a while, or deleted.
    pub fn release(&mut self, position: Position) -> io::Result<()> {
        let near = self.is_near(position);
        self.done = self.done.max(position);
        if near { Ok(()) } else { self.store() }
    }

    /// Whether nothing is written when everything up to `position` is done with.
    pub(super) fn is_near(&self, position: Position) -> bool {
        let done = self.done.max(position);
        done.segment <= self.released.segment
            && done.offset < self.released.offset + CHECKPOINT_BYTES
    }

    /// Writes the checkpoint now, as before a stop.
    pub fn store(&mut self) -> io::Result<()> {
        if self.done == self.released {
            return Ok(());
        }
        checkpoint::store(&self.folder, self.done)?;
        self.released = self.done;
        let mut moved = false;
        let mut left = 0;
        for number in segments(&self.folder)? {
            if number >= self.done.segment {
                left += segment_path(&self.folder, number).metadata()?.len();
            } else if self.limits.kept.is_zero() {
                fs::remove_file(segment_path(&self.folder, number))?;
                moved = true;
            } else {
                kept::keep(&self.folder, number)?;
                moved = true;
            }
        }
        if moved {
            kept::tidy_up(
                &self.folder,
                self.limits.kept,
                self.limits.total_bytes.saturating_sub(left),
            )?;
            sync_folder(&self.folder)?;
        }
        Ok(())
    }
}
