//! The writer thread of a journal: appends all queued records with one write, syncs once, and
//! answers every append of the group.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::{Position, segment_numbers, segment_path};
use super::disk::{Disk, Segment};
use super::error::{AppendError, is_disk_full};
use super::limits::Limits;
use super::progress::Progress;
use super::record;
use super::retention;
use super::scan::End;
use crate::health::FlowCounters;

/// Records that one sync makes durable.
const GROUP_RECORDS_MAX: usize = 1_024;

/// A full journal accepts appends again when 1/16 of its size limit is free.
const SPARE_DIVISOR: u64 = 16;

/// A queued record whose caller waits for the answer.
#[derive(Debug)]
pub(super) struct Append {
    payload: Vec<u8>,
    is_tick: bool,
    reply: oneshot::Sender<Result<u64, AppendError>>,
}

impl Append {
    /// Returns the append, and the receiver of its sequence number.
    pub(super) fn new(
        payload: Vec<u8>,
        is_tick: bool,
    ) -> (Append, oneshot::Receiver<Result<u64, AppendError>>) {
        let (reply, sequence) = oneshot::channel();
        let append = Append {
            payload,
            is_tick,
            reply,
        };

        (append, sequence)
    }
}

/// The writer's connections to the rest of the journal.
pub(super) struct WriterOutputs {
    /// Durable end of the journal, for followers.
    pub durable: watch::Sender<Position>,
    pub progress: Arc<Progress>,
    pub counters: Arc<FlowCounters>,
}

pub(super) struct JournalWriter {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    limits: Limits,
    /// The open segment; `None` before the first append and after a failed one.
    segment: Option<Box<dyn Segment>>,
    end: End,
    outputs: WriterOutputs,
    /// Encoded records of the current group.
    buffer: Vec<u8>,
}

impl JournalWriter {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        folder: &Path,
        limits: Limits,
        end: End,
        outputs: WriterOutputs,
    ) -> io::Result<JournalWriter> {
        let mut segment = None;
        if end.position.segment > 0 {
            segment = Some(disk.open(
                &segment_path(folder, end.position.segment),
                end.position.offset,
                limits.segment_bytes,
            )?);
        }

        Ok(JournalWriter {
            disk,
            folder: folder.to_owned(),
            limits,
            segment,
            end,
            outputs,
            buffer: Vec::new(),
        })
    }

    /// Appends groups of records until all senders of the queue are dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Append>) {
        let mut group = Vec::new();

        while let Some(append) = queue.blocking_recv() {
            group.push(append);
            while group.len() < GROUP_RECORDS_MAX
                && let Ok(append) = queue.try_recv()
            {
                group.push(append);
            }

            let first_sequence = self.end.next_sequence;
            let result = self.append_group(&group);
            match &result {
                Ok(()) => self.report_durable(&group),
                Err(error) => self.outputs.progress.mark_rejecting(&error.to_string()),
            }

            for (sequence, append) in (first_sequence..).zip(group.drain(..)) {
                // A caller that no longer waits has lost its connection; its record stays durable.
                let _ = append.reply.send(result.clone().map(|()| sequence));
            }
        }
    }

    fn append_group(&mut self, group: &[Append]) -> Result<(), AppendError> {
        self.buffer.clear();
        for (sequence, append) in (self.end.next_sequence..).zip(group) {
            record::encode(sequence, &append.payload, &mut self.buffer);
        }

        self.check_capacity()?;
        loop {
            match self.append_buffer() {
                // New records take precedence over retained segments.
                Err(AppendError::Full) if retention::delete_oldest_retained(&self.folder) => {}
                result => return result,
            }
        }
    }

    fn append_buffer(&mut self) -> Result<(), AppendError> {
        let end = self.end.position.offset;
        if end > 0 && end + self.buffer.len() as u64 > self.limits.segment_bytes {
            self.segment = None;
        }

        if let Some(mut segment) = self.segment.take() {
            match append_and_sync(segment.as_mut(), &self.buffer, end) {
                Ok(()) => {
                    self.segment = Some(segment);
                    return Ok(());
                }
                Err(AppendFailure::DiskFull) => {
                    self.segment = Some(segment);
                    return Err(AppendError::Full);
                }
                Err(AppendFailure::SegmentUnusable(error)) => {
                    tracing::error!(
                        %error,
                        "a segment of the journal cannot be written any more; \
                         queued records go to a new one"
                    );
                }
            }
        }
        self.append_to_new_segment()
    }

    fn append_to_new_segment(&mut self) -> Result<(), AppendError> {
        let number = self.end.position.segment + 1;
        let mut segment = self
            .disk
            .create(
                &segment_path(&self.folder, number),
                self.limits.segment_bytes,
            )
            .map_err(AppendError::from_io)?;

        match append_and_sync(segment.as_mut(), &self.buffer, 0) {
            Ok(()) => {
                self.end.position = Position {
                    segment: number,
                    offset: 0,
                };
                self.segment = Some(segment);
                Ok(())
            }
            Err(AppendFailure::DiskFull) => Err(AppendError::Full),
            Err(AppendFailure::SegmentUnusable(error)) => {
                // The number of an unusable segment is never used again.
                self.end.position = Position {
                    segment: number,
                    offset: 0,
                };
                Err(AppendError::from_io(error))
            }
        }
    }

    fn report_durable(&mut self, group: &[Append]) {
        self.end.next_sequence += group.len() as u64;
        self.end.position.offset += self.buffer.len() as u64;
        self.end.total_bytes += self.buffer.len() as u64;

        let ticks = group.iter().filter(|append| append.is_tick).count();
        self.outputs
            .counters
            .add_accepted((group.len() - ticks) as u64, ticks as u64);
        self.outputs
            .progress
            .mark_durable(self.end.next_sequence - 1, self.end.total_bytes);
        self.outputs.durable.send_replace(self.end.position);
    }

    /// Rejects the group if it exceeds the size limit. Segments that followers have released since
    /// the last measurement are subtracted only when the group seems not to fit. While appends are
    /// rejected, a spare share must be free as well: the journal accepts records again when there
    /// is some room, not whenever one small record happens to fit.
    fn check_capacity(&mut self) -> Result<(), AppendError> {
        let spare = if self.outputs.progress.rejection_reason().is_some() {
            self.limits.total_bytes / SPARE_DIVISOR
        } else {
            0
        };
        let fits = |total: u64| total + self.buffer.len() as u64 + spare <= self.limits.total_bytes;

        if fits(self.end.total_bytes) {
            return Ok(());
        }

        let measured = self
            .measure_segments()
            .map_err(|error| AppendError::Unavailable(Arc::new(error)))?;
        self.end.total_bytes = measured;

        if fits(measured) {
            Ok(())
        } else {
            Err(AppendError::Full)
        }
    }

    fn measure_segments(&self) -> io::Result<u64> {
        let mut total = 0;

        for number in segment_numbers(&self.folder)? {
            total += match segment_path(&self.folder, number).metadata() {
                Ok(metadata) => metadata.len(),
                // A follower released it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }

        Ok(total)
    }
}

/// Why bytes are not durable.
enum AppendFailure {
    /// The disk is full, and the segment is unchanged.
    DiskFull,
    /// The content of the file is undefined after a failed write or sync: the file is never synced
    /// again.
    SegmentUnusable(io::Error),
}

/// Appends and syncs `bytes`. A failed write is undone, so that the next append begins at a record
/// boundary.
fn append_and_sync(
    segment: &mut dyn Segment,
    bytes: &[u8],
    from: u64,
) -> Result<(), AppendFailure> {
    if let Err(error) = segment.append(bytes) {
        return Err(match (segment.truncate(from), is_disk_full(&error)) {
            (Ok(()), true) => AppendFailure::DiskFull,
            _ => AppendFailure::SegmentUnusable(error),
        });
    }

    segment.sync().map_err(|error| {
        // No phone was answered for these bytes. If the truncation fails, readers find the records
        // and know later copies by their ids.
        let _ = segment.truncate(from);
        AppendFailure::SegmentUnusable(error)
    })
}
