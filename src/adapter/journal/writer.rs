//! The one thread that writes: it takes whatever waits, appends it with one write, syncs once, and
//! answers all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::{Position, segment_path, segments};
use super::disk::{Disk, Segment};
use super::kept;
use super::marks::Marks;
use super::scan::End;
use super::{Limits, Refused, record};
use crate::health::FlowCounters;

/// Records answered by one sync.
const GROUP_RECORDS_MAX: usize = 1_024;

/// The part of a full journal that must be free before it takes anything again.
const SPARE: u64 = 16;

/// A record that somebody waits for.
#[derive(Debug)]
pub(super) struct Append {
    payload: Vec<u8>,
    is_tick: bool,
    done: oneshot::Sender<Result<u64, Refused>>,
}

impl Append {
    pub(super) fn new(
        payload: Vec<u8>,
        is_tick: bool,
    ) -> (Append, oneshot::Receiver<Result<u64, Refused>>) {
        let (done, wait) = oneshot::channel();
        (
            Append {
                payload,
                is_tick,
                done,
            },
            wait,
        )
    }
}

pub(super) struct Writer {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    limits: Limits,
    /// The open segment; `None` before the first append and after one was given up.
    segment: Option<Box<dyn Segment>>,
    end: End,
    announce: watch::Sender<Position>,
    marks: Arc<Marks>,
    books: Arc<FlowCounters>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        folder: &Path,
        limits: Limits,
        end: End,
        announce: watch::Sender<Position>,
        marks: Arc<Marks>,
        books: Arc<FlowCounters>,
    ) -> io::Result<Writer> {
        let mut segment = None;
        if end.position.segment > 0 {
            segment = Some(disk.open(
                &segment_path(folder, end.position.segment),
                end.position.offset,
                limits.segment_bytes,
            )?);
        }
        Ok(Writer {
            disk,
            folder: folder.to_owned(),
            limits,
            segment,
            end,
            announce,
            marks,
            books,
            buffer: Vec::new(),
        })
    }

    pub(super) fn run(mut self, mut appends: mpsc::Receiver<Append>) {
        let mut group = Vec::new();
        while let Some(first) = appends.blocking_recv() {
            group.push(first);
            while group.len() < GROUP_RECORDS_MAX
                && let Ok(next) = appends.try_recv()
            {
                group.push(next);
            }
            let first = self.end.next_sequence;
            let written = self.write(&group);
            match &written {
                Ok(()) => self.written(&group),
                Err(refused) => self.marks.refused(&refused.to_string()),
            }
            for (sequence, append) in (first..).zip(group.drain(..)) {
                // Whoever no longer waits has lost the connection; the record is there all the
                // same.
                let _gone = append.done.send(written.clone().map(|()| sequence));
            }
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<(), Refused> {
        self.buffer.clear();
        for (sequence, append) in (self.end.next_sequence..).zip(group) {
            record::encode(sequence, &append.payload, &mut self.buffer);
        }
        self.make_room()?;
        loop {
            match self.put() {
                // What is only kept goes first.
                Err(Refused::Full) if kept::drop_oldest(&self.folder) => {}
                put => return put,
            }
        }
    }

    fn put(&mut self) -> Result<(), Refused> {
        let end = self.end.position.offset;
        if end > 0 && end + self.buffer.len() as u64 > self.limits.segment_bytes {
            self.segment = None;
        }
        if let Some(mut segment) = self.segment.take() {
            match append(segment.as_mut(), &self.buffer, end) {
                Ok(()) => {
                    self.segment = Some(segment);
                    return Ok(());
                }
                Err(Failed::NoRoom) => {
                    self.segment = Some(segment);
                    return Err(Refused::Full);
                }
                Err(Failed::GivenUp(error)) => {
                    tracing::error!(%error, "a segment of the journal cannot be written any more; what waits goes to a new one");
                }
            }
        }
        self.write_to_new_segment()
    }

    fn write_to_new_segment(&mut self) -> Result<(), Refused> {
        let number = self.end.position.segment + 1;
        let mut segment = self
            .disk
            .create(
                &segment_path(&self.folder, number),
                self.limits.segment_bytes,
            )
            .map_err(refusal)?;
        match append(segment.as_mut(), &self.buffer, 0) {
            Ok(()) => {
                self.end.position = Position {
                    segment: number,
                    offset: 0,
                };
                self.segment = Some(segment);
                Ok(())
            }
            Err(Failed::NoRoom) => Err(Refused::Full),
            Err(Failed::GivenUp(error)) => {
                // Its name is not used again either.
                self.end.position = Position {
                    segment: number,
                    offset: 0,
                };
                Err(refusal(error))
            }
        }
    }

    fn written(&mut self, group: &[Append]) {
        self.end.next_sequence += group.len() as u64;
        self.end.position.offset += self.buffer.len() as u64;
        self.end.total_bytes += self.buffer.len() as u64;
        let ticks = group.iter().filter(|append| append.is_tick).count();
        self.books
            .add_accepted((group.len() - ticks) as u64, ticks as u64);
        self.marks
            .wrote(self.end.next_sequence - 1, self.end.total_bytes);
        self.announce.send_replace(self.end.position);
    }

    /// Whether the group still fits. What followers released since is counted out only when it
    /// seems not to. A journal that was full takes something again when it has some room to spare,
    /// not whenever something small happens to fit.
    fn make_room(&mut self) -> Result<(), Refused> {
        let spare = if self.marks.trouble().is_some() {
            self.limits.total_bytes / SPARE
        } else {
            0
        };
        let fits = |total: u64| total + self.buffer.len() as u64 + spare <= self.limits.total_bytes;
        if fits(self.end.total_bytes) {
            return Ok(());
        }
        let held = self
            .held_bytes()
            .map_err(|error| Refused::Unavailable(Arc::new(error)))?;
        self.end.total_bytes = held;
        if fits(held) {
            Ok(())
        } else {
            Err(Refused::Full)
        }
    }

    fn held_bytes(&self) -> io::Result<u64> {
        let mut total = 0;
        for number in segments(&self.folder)? {
            total += match segment_path(&self.folder, number).metadata() {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
        Ok(total)
    }
}

/// Why bytes are not durable.
enum Failed {
    /// The segment is as it was.
    NoRoom,
    /// What a failed sync left behind nobody knows: that file is never synced again.
    GivenUp(io::Error),
}

/// Appends and syncs. What fails half way is undone, so that the next append begins at a record's
/// boundary.
fn append(segment: &mut dyn Segment, bytes: &[u8], from: u64) -> Result<(), Failed> {
    if let Err(error) = segment.append(bytes) {
        return Err(match (segment.cut(from), is_no_room(&error)) {
            (Ok(()), true) => Failed::NoRoom,
            _ => Failed::GivenUp(error),
        });
    }
    segment.sync().map_err(|error| {
        // Nobody was answered for these bytes. If they stay they are known by their ids when they
        // are read.
        let _kept = segment.cut(from);
        Failed::GivenUp(error)
    })
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn refusal(error: io::Error) -> Refused {
    if is_no_room(&error) {
        Refused::Full
    } else {
        Refused::Unavailable(Arc::new(error))
    }
}
