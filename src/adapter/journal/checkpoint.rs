//! The checkpoint of a journal: its released position, in one small file that is replaced as a
//! whole; and the names of the segment files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "checkpoint";
const SEGMENT_SUFFIX: &str = "seg";

/// A position between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from the beginning of the segment.
    pub offset: u64,
}

pub(super) fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:016}.{SEGMENT_SUFFIX}"))
}

/// Lists the numbers of the segments in a folder, in ascending order.
pub(super) fn segment_numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();

    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        let is_segment = path
            .extension()
            .is_some_and(|suffix| suffix == SEGMENT_SUFFIX);

        if let Some(number) = number
            && is_segment
        {
            numbers.push(number);
        }
    }

    numbers.sort_unstable();
    Ok(numbers)
}

/// Finds a file of the journal that is none: a pipe would block its reader for ever, and a link lead
/// out of the folder.
pub(super) fn find_odd_file(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // Folders beside the segments have other uses.
        if !kind.is_file() && !kind.is_dir() {
            return Ok(Some(entry.path()));
        }
    }

    Ok(None)
}

/// Returns the position at which reading begins: the checkpoint, or the beginning of the journal
/// when the checkpoint lies beyond `end` and thus belongs to another journal.
pub(super) fn start_position(folder: &Path, end: Position) -> io::Result<Position> {
    let checkpoint = load(folder)?;

    Ok(if checkpoint <= end {
        checkpoint
    } else {
        Position::default()
    })
}

/// Loads the checkpoint. A missing or unreadable one means the beginning of the journal: reading
/// records twice does no harm.
fn load(folder: &Path) -> io::Result<Position> {
    let text = match fs::read_to_string(folder.join(FILE_NAME)) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            ) =>
        {
            return Ok(Position::default());
        }
        Err(error) => return Err(error),
    };

    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(segment)), Some(Ok(offset)), Some(Ok(sum)))
            if u64::from(checksum(segment, offset)) == sum =>
        {
            Ok(Position { segment, offset })
        }
        _ => Ok(Position::default()),
    }
}

/// The checksum tells a stored position from a torn or damaged one.
fn checksum(segment: u64, offset: u64) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&segment.to_le_bytes()),
        &offset.to_le_bytes(),
    )
}

/// Replaces the checkpoint file durably.
pub(super) fn store(folder: &Path, position: Position) -> io::Result<()> {
    let temporary = folder.join("checkpoint.new");

    let mut file = File::create(&temporary)?;
    writeln!(
        file,
        "{} {} {}",
        position.segment,
        position.offset,
        checksum(position.segment, position.offset)
    )?;
    file.sync_data()?;

    fs::rename(&temporary, folder.join(FILE_NAME))?;
    sync_folder(folder)
}

/// Makes created, renamed and removed names of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
