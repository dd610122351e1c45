//! Opening a journal: what is readable, what a crash tore off, what is damaged.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Opened;
use super::checkpoint::{self, Position, segment_path, segments, sync_folder};
use super::record::{self, Found};

/// A stretch of a segment that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// Where the next record goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub position: Position,
    pub next_sequence: u64,
    /// Bytes of all segments together.
    pub total_bytes: u64,
}

/// Reads all segments and cuts the torn tail of the last one; damaged stretches are copied aside
/// and left for readers to skip.
pub(super) fn open(folder: &Path) -> io::Result<(Opened, End)> {
    let (opened, end) = look(folder)?;
    // Before anything is cut.
    set_aside(folder, &opened.damages)?;
    if opened.torn_bytes > 0 {
        let file = OpenOptions::new()
            .write(true)
            .open(segment_path(folder, end.position.segment))?;
        file.set_len(end.position.offset)?;
        file.sync_all()?;
    }
    Ok((opened, end))
}

/// Reads all segments and changes nothing.
pub(super) fn look(folder: &Path) -> io::Result<(Opened, End)> {
    let numbers = segments(folder)?;
    let last = Position {
        segment: numbers.last().copied().unwrap_or(0),
        offset: u64::MAX,
    };
    let mut scan = Scan {
        released: checkpoint::start(folder, last)?,
        next_sequence: 1,
        opened: Opened::default(),
    };
    let mut end = End {
        position: Position::default(),
        next_sequence: 1,
        total_bytes: 0,
    };
    for number in &numbers {
        let path = segment_path(folder, *number);
        let bytes = fs::read(&path)?;
        let kept = scan.segment(&path, *number, &bytes, *number == last.segment);
        scan.opened.torn_bytes += (bytes.len() - kept) as u64;
        end.position = Position {
            segment: *number,
            offset: kept as u64,
        };
        end.total_bytes += kept as u64;
    }
    end.next_sequence = scan.next_sequence;
    if scan.released > end.position {
        // A checkpoint of another journal: everything is read, as the follower does.
        scan.opened.waiting = scan.opened.records;
    }
    Ok((scan.opened, end))
}

struct Scan {
    /// What stands before it is done with.
    released: Position,
    next_sequence: u64,
    opened: Opened,
}

impl Scan {
    /// How many bytes of the segment stay.
    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8], is_last: bool) -> usize {
        let mut last = None;
        let mut place = 0;
        let mut kept = bytes.len();
        while place < bytes.len() {
            if let Found::Record {
                sequence,
                payload,
                bytes: size,
            } = record::decode(&bytes[place..])
            {
                self.opened.records += 1;
                if (Position {
                    segment: number,
                    offset: place as u64,
                }) >= self.released
                {
                    self.opened.waiting += 1;
                    self.opened
                        .first_waiting
                        .get_or_insert_with(|| payload.to_vec());
                }
                self.next_sequence = self.next_sequence.max(sequence + 1);
                last = Some(payload);
                place += size;
                continue;
            }
            let next = record::next_readable(bytes, place + 1);
            if next.is_none() && is_last {
                kept = place;
                // What a crash tears off is a beginning, or blocks that were never filled: nobody
                // was answered for it. A record that is all there and wrong may have been answered
                // for.
                let torn = record::decode(&bytes[place..]) == Found::Incomplete
                    || bytes[place..].iter().all(|byte| *byte == 0);
                if torn {
                    break;
                }
            }
            let next = next.unwrap_or(bytes.len());
            self.opened.damages.push(Damage {
                segment: path.to_owned(),
                offset: place as u64,
                bytes: (next - place) as u64,
            });
            place = next;
            if kept < bytes.len() {
                break;
            }
        }
        if let Some(payload) = last {
            self.opened.last = Some(payload.to_vec());
        }
        kept
    }
}

/// Copies damaged segments for whoever wants to look into them.
fn set_aside(folder: &Path, damages: &[Damage]) -> io::Result<()> {
    if damages.is_empty() {
        return Ok(());
    }
    let corrupt = folder.join("corrupt");
    fs::create_dir_all(&corrupt)?;
    for damage in damages {
        if let Some(name) = damage.segment.file_name() {
            let copy = corrupt.join(name);
            if !copy.exists() {
                fs::copy(&damage.segment, copy)?;
            }
        }
    }
    sync_folder(&corrupt)
}
