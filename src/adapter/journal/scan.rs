//! The scan of a journal at its opening: counts readable records, finds damaged stretches, and
//! truncates the tail that a crash tore off.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Position, segment_numbers, segment_path, sync_folder};
use super::record::{self, Decoded};

/// An unreadable stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// Records and damage of a journal at its opening.
#[derive(Debug, Default)]
pub struct JournalScan {
    pub records: u64,
    /// Records that no follower has released.
    pub unreleased: u64,
    /// The payload of the first unreleased record.
    pub first_unreleased: Option<Vec<u8>>,
    /// The payload of the last record.
    pub last_payload: Option<Vec<u8>>,
    /// Unreadable stretches; copies of their segments are in `corrupt/`.
    pub damages: Vec<Damage>,
    /// Bytes of an append that a crash interrupted. Their phones received no answer.
    pub torn_bytes: u64,
}

/// The end of a journal, where the next record is appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub position: Position,
    pub next_sequence: u64,
    /// Bytes of all segments together.
    pub total_bytes: u64,
}

/// Reads all segments and truncates the torn tail of the last one. Damaged segments are copied
/// aside; readers skip their damaged stretches.
pub(super) fn scan_and_repair(folder: &Path) -> io::Result<(JournalScan, End)> {
    let (found, end) = scan(folder)?;

    // The copies must hold the bytes that the truncation removes.
    copy_damaged_segments(folder, &found.damages)?;

    if found.torn_bytes > 0 {
        let file = OpenOptions::new()
            .write(true)
            .open(segment_path(folder, end.position.segment))?;
        file.set_len(end.position.offset)?;
        file.sync_all()?;
    }
    Ok((found, end))
}

/// Reads all segments without changing them.
pub(super) fn scan(folder: &Path) -> io::Result<(JournalScan, End)> {
    let numbers = segment_numbers(folder)?;
    let last = Position {
        segment: numbers.last().copied().unwrap_or(0),
        offset: u64::MAX,
    };
    let mut scan = Scan {
        released: checkpoint::start_position(folder, last)?,
        next_sequence: 1,
        found: JournalScan::default(),
    };
    let mut end = End {
        position: Position::default(),
        next_sequence: 1,
        total_bytes: 0,
    };

    for number in &numbers {
        let path = segment_path(folder, *number);
        let bytes = fs::read(&path)?;
        let usable = scan.scan_segment(&path, *number, &bytes, *number == last.segment);

        scan.found.torn_bytes += (bytes.len() - usable) as u64;
        end.position = Position {
            segment: *number,
            offset: usable as u64,
        };
        end.total_bytes += usable as u64;
    }
    end.next_sequence = scan.next_sequence;

    if scan.released > end.position {
        // The checkpoint belongs to another journal: a follower reads all records.
        scan.found.unreleased = scan.found.records;
    }
    Ok((scan.found, end))
}

/// State of a scan over all segments.
struct Scan {
    /// Records before this position are released.
    released: Position,
    next_sequence: u64,
    found: JournalScan,
}

impl Scan {
    /// Scans one segment. Returns its usable length; the rest is truncated.
    fn scan_segment(&mut self, path: &Path, number: u64, bytes: &[u8], is_last: bool) -> usize {
        let mut usable = bytes.len();
        let mut last_payload = None;
        let mut offset = 0;

        while offset < bytes.len() {
            let rest = &bytes[offset..];
            if let Decoded::Record {
                sequence,
                payload,
                bytes: size,
            } = record::decode(rest)
            {
                let position = Position {
                    segment: number,
                    offset: offset as u64,
                };
                self.count_record(position, sequence, payload);
                last_payload = Some(payload);
                offset += size;
                continue;
            }

            let next = record::find_record(bytes, offset + 1);
            if next.is_none() && is_last {
                usable = offset;
                if is_torn(rest) {
                    break;
                }
            }

            let damage_end = next.unwrap_or(bytes.len());
            self.found.damages.push(Damage {
                segment: path.to_owned(),
                offset: offset as u64,
                bytes: (damage_end - offset) as u64,
            });
            offset = damage_end;
        }

        if let Some(payload) = last_payload {
            self.found.last_payload = Some(payload.to_vec());
        }
        usable
    }

    fn count_record(&mut self, position: Position, sequence: u64, payload: &[u8]) {
        self.found.records += 1;
        self.next_sequence = self.next_sequence.max(sequence + 1);

        if position >= self.released {
            self.found.unreleased += 1;
            self.found
                .first_unreleased
                .get_or_insert_with(|| payload.to_vec());
        }
    }
}

/// Whether the unreadable end of a journal is a torn append. A crash leaves the beginning of a
/// record, or blocks that were never filled, and no phone was answered for them. A complete but
/// damaged record may have been answered for, so it counts as damage.
fn is_torn(tail: &[u8]) -> bool {
    record::decode(tail) == Decoded::Incomplete || tail.iter().all(|byte| *byte == 0)
}

/// Copies damaged segments to `corrupt/` for later inspection.
fn copy_damaged_segments(folder: &Path, damages: &[Damage]) -> io::Result<()> {
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
