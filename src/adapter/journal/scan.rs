//! Opening a journal: what is readable, what a crash tore off, what is damaged.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Opened;
use super::checkpoint::{Position, segment_path, segments, sync_folder};
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

/// Reads all segments. The torn tail of the last one is cut; damaged stretches are copied aside and left for readers to skip.
pub(super) fn open(folder: &Path) -> io::Result<(Opened, End)> {
    let numbers = segments(folder)?;
    let mut opened = Opened::default();
    let mut end = End { position: Position::default(), next_sequence: 1, total_bytes: 0 };
    for number in &numbers {
        let path = segment_path(folder, *number);
        let bytes = fs::read(&path)?;
        let last_segment = numbers.last() == Some(number);
        let kept = read_segment(&path, &bytes, last_segment, &mut opened, &mut end.next_sequence);
        if kept < bytes.len() {
            opened.torn_bytes += (bytes.len() - kept) as u64;
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(kept as u64)?;
            file.sync_all()?;
        }
        end.position = Position { segment: *number, offset: kept as u64 };
        end.total_bytes += kept as u64;
    }
    set_aside(folder, &opened.damages)?;
    Ok((opened, end))
}

/// How many bytes of the segment stay.
fn read_segment(path: &Path, bytes: &[u8], last_segment: bool, opened: &mut Opened, next_sequence: &mut u64) -> usize {
    let mut place = 0;
    while place < bytes.len() {
        if let Found::Record { sequence, payload, bytes: size } = record::decode(&bytes[place..]) {
            opened.records += 1;
            opened.last = Some(payload.to_vec());
            *next_sequence = (*next_sequence).max(sequence + 1);
            place += size;
            continue;
        }
        match record::next_readable(bytes, place + 1) {
            Some(next) => {
                opened.damages.push(Damage { segment: path.to_owned(), offset: place as u64, bytes: (next - place) as u64 });
                place = next;
            }
            // Nothing readable follows: in the last segment a crash tore the append that nobody was answered for.
            None if last_segment => return place,
            None => {
                opened.damages.push(Damage { segment: path.to_owned(), offset: place as u64, bytes: (bytes.len() - place) as u64 });
                return bytes.len();
            }
        }
    }
    bytes.len()
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
