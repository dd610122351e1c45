//! Where the journal has been released up to: one small file, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "checkpoint";
const SEGMENT_SUFFIX: &str = "seg";

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

pub(super) fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:016}.{SEGMENT_SUFFIX}"))
}

/// The numbers of the segments there are, in order.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        if let (Some(number), true) = (
            number,
            path.extension()
                .is_some_and(|suffix| suffix == SEGMENT_SUFFIX),
        ) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where reading begins: at the last released place. A checkpoint beyond the end belongs to another
/// journal: then at the beginning.
pub(super) fn start(folder: &Path, end: Position) -> io::Result<Position> {
    let released = load(folder)?;
    Ok(if released <= end {
        released
    } else {
        Position::default()
    })
}

/// The last released place. A checkpoint that is missing or cannot be read means the beginning:
/// reading twice does no harm.
fn load(folder: &Path) -> io::Result<Position> {
    let text = match fs::read_to_string(folder.join(NAME)) {
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

/// A place that was never written down must not look like one.
fn checksum(segment: u64, offset: u64) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&segment.to_le_bytes()),
        &offset.to_le_bytes(),
    )
}

pub(super) fn store(folder: &Path, position: Position) -> io::Result<()> {
    let fresh = folder.join("checkpoint.new");
    let mut file = File::create(&fresh)?;
    writeln!(
        file,
        "{} {} {}",
        position.segment,
        position.offset,
        checksum(position.segment, position.offset)
    )?;
    file.sync_data()?;
    fs::rename(&fresh, folder.join(NAME))?;
    sync_folder(folder)
}

/// Makes names that were created, renamed or removed durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
