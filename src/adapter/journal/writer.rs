//! The one thread that writes: it takes whatever waits, appends it with one write, syncs once, and answers all.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::{Position, segment_path, segments, sync_folder};
use super::scan::End;
use super::{Limits, Refused, record};

/// Records answered by one sync.
const GROUP_RECORDS_MAX: usize = 1_024;

/// A record that somebody waits for.
#[derive(Debug)]
pub(super) struct Append {
    payload: Vec<u8>,
    done: oneshot::Sender<Result<(), Refused>>,
}

impl Append {
    pub(super) fn new(payload: Vec<u8>) -> (Append, oneshot::Receiver<Result<(), Refused>>) {
        let (done, wait) = oneshot::channel();
        (Append { payload, done }, wait)
    }
}

pub(super) struct Writer {
    folder: PathBuf,
    limits: Limits,
    /// The open segment; `None` before the first append and after one was given up.
    segment: Option<File>,
    end: End,
    announce: watch::Sender<Position>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(folder: &Path, limits: Limits, end: End, announce: watch::Sender<Position>) -> io::Result<Writer> {
        let mut segment = None;
        if end.position.segment > 0 {
            let mut file = OpenOptions::new().write(true).open(segment_path(folder, end.position.segment))?;
            file.seek(SeekFrom::Start(end.position.offset))?;
            segment = Some(file);
        }
        Ok(Writer { folder: folder.to_owned(), limits, segment, end, announce, buffer: Vec::new() })
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
            let written = self.write(&group);
            for append in group.drain(..) {
                // Whoever no longer waits has lost the connection; the record is there all the same.
                let _gone = append.done.send(written.clone());
            }
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<(), Refused> {
        self.buffer.clear();
        let mut sequence = self.end.next_sequence;
        for append in group {
            record::encode(sequence, &append.payload, &mut self.buffer);
            sequence += 1;
        }
        self.make_room()?;
        let unavailable = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refused::Full,
            _ => Refused::Unavailable(Arc::new(error)),
        };
        if self.end.position.offset >= self.limits.segment_bytes {
            self.segment = None;
        }
        if self.segment.is_some() {
            match self.append_and_sync() {
                Ok(()) => {
                    self.written(sequence);
                    return Ok(());
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    return Err(Refused::Full);
                }
                // What a failed sync left behind nobody knows: never sync that file again, write anew elsewhere.
                Err(_) => self.segment = None,
            }
        }
        self.begin_segment().map_err(unavailable)?;
        self.append_and_sync().map_err(|error| {
            self.segment = None;
            unavailable(error)
        })?;
        self.written(sequence);
        Ok(())
    }

    fn written(&mut self, next_sequence: u64) {
        self.end.next_sequence = next_sequence;
        self.end.position.offset += self.buffer.len() as u64;
        self.end.total_bytes += self.buffer.len() as u64;
        self.announce.send_replace(self.end.position);
    }

    /// Appends the buffer. A write that fails half way is undone, so that the next one begins at a record's boundary.
    fn append_and_sync(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.segment else { return Err(io::Error::other("no segment is open")) };
        let from = self.end.position.offset;
        let written = file.write_all(&self.buffer).and_then(|()| file.sync_data());
        if written.is_err() {
            let undone = file.set_len(from).and_then(|()| file.seek(SeekFrom::Start(from)));
            if undone.is_err() {
                self.segment = None;
            }
        }
        written
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.end.position.segment + 1;
        let path = segment_path(&self.folder, number);
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        sync_folder(&self.folder)?;
        self.segment = Some(file);
        self.end.position = Position { segment: number, offset: 0 };
        Ok(())
    }

    /// Whether the group still fits. What followers released since is counted out only when it seems not to.
    fn make_room(&mut self) -> Result<(), Refused> {
        let fits = |total: u64| total + self.buffer.len() as u64 <= self.limits.total_bytes;
        if fits(self.end.total_bytes) {
            return Ok(());
        }
        let held = self.held_bytes().map_err(|error| Refused::Unavailable(Arc::new(error)))?;
        self.end.total_bytes = held;
        if fits(held) { Ok(()) } else { Err(Refused::Full) }
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
