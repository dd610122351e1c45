//! Retention of released segments in the folder `kept`: if the consumer loses its data, the records
//! can be sent again. The journal itself needs none of these segments, and they never cost an
//! event: they are deleted first when disk space is short.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::checkpoint::{segment_numbers, segment_path, sync_folder};
use super::record::{self, Decoded};

const FOLDER: &str = "kept";

fn retention_folder(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

/// Moves a released segment to the retained ones.
pub(super) fn retain(journal: &Path, segment: u64) -> io::Result<()> {
    let folder = retention_folder(journal);

    fs::create_dir_all(&folder)?;
    fs::rename(
        segment_path(journal, segment),
        segment_path(&folder, segment),
    )
}

/// Deletes retained segments that were written more than `age` before the newest one, and the
/// oldest ones beyond `bytes_max` bytes.
pub(super) fn expire_retained(journal: &Path, age: Duration, bytes_max: u64) -> io::Result<()> {
    let folder = retention_folder(journal);
    let mut newest: Option<SystemTime> = None;
    let mut bytes = 0;
    let mut deleted = false;

    for segment in retained_numbers(journal)?.into_iter().rev() {
        let path = segment_path(&folder, segment);
        let metadata = path.metadata()?;
        let written = metadata.modified()?;
        let newest = *newest.get_or_insert(written);
        bytes += metadata.len();

        let is_too_old = newest
            .duration_since(written)
            .is_ok_and(|elapsed| elapsed > age);
        if bytes > bytes_max || is_too_old {
            fs::remove_file(path)?;
            deleted = true;
        }
    }

    if deleted {
        sync_folder(&folder)
    } else {
        Ok(())
    }
}

/// Deletes the oldest retained segment. Returns false when there is none.
pub(super) fn delete_oldest_retained(journal: &Path) -> bool {
    let oldest = retained_numbers(journal)
        .ok()
        .and_then(|numbers| numbers.first().copied());

    oldest.is_some_and(|segment| {
        fs::remove_file(segment_path(&retention_folder(journal), segment)).is_ok()
    })
}

fn retained_numbers(journal: &Path) -> io::Result<Vec<u64>> {
    match segment_numbers(&retention_folder(journal)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        numbers => numbers,
    }
}

/// Reads all records of a journal, released or not, segment by segment in their order. Damaged
/// stretches are left out. The journal may be in use: records that are appended after this call are
/// not part of the history.
pub fn history(journal: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<Vec<u8>>>>> {
    let journal = journal.to_owned();

    // The live folder is listed first: a segment may be moved to the retained ones at any moment,
    // and is then found in both lists rather than in none.
    let live = segment_numbers(&journal)?;
    let retained = retained_numbers(&journal)?;
    let mut numbers: Vec<u64> = retained.into_iter().chain(live).collect();
    numbers.sort_unstable();
    numbers.dedup();

    // The sizes of this moment bound the history.
    let sizes: Vec<(u64, u64)> = numbers
        .into_iter()
        .map(|segment| (segment, segment_bytes(&journal, segment)))
        .collect();

    Ok(sizes.into_iter().map(move |(segment, size)| {
        let live = read_if_present(&segment_path(&journal, segment))?;
        let bytes = match live {
            Some(bytes) => Some(bytes),
            None => read_if_present(&segment_path(&retention_folder(&journal), segment))?,
        };

        // A segment in neither folder was deleted in the meantime.
        let mut bytes = bytes.unwrap_or_default();
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(decode_payloads(&bytes))
    }))
}

fn read_if_present(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn segment_bytes(journal: &Path, segment: u64) -> u64 {
    segment_path(journal, segment)
        .metadata()
        .or_else(|_| segment_path(&retention_folder(journal), segment).metadata())
        .map_or(u64::MAX, |metadata| metadata.len())
}

fn decode_payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut offset = 0;

    while offset < bytes.len() {
        match record::decode(&bytes[offset..]) {
            Decoded::Record {
                payload,
                bytes: size,
                ..
            } => {
                payloads.push(payload.to_vec());
                offset += size;
            }
            Decoded::Incomplete | Decoded::Damaged => {
                offset = record::find_record(bytes, offset + 1).unwrap_or(bytes.len());
            }
        }
    }

    payloads
}
