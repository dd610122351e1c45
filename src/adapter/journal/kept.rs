//! What is done with and kept for a while: should what it was taken to be lost, it can be sent
//! again. Nothing here is needed for the journal itself, and none of it ever costs an event: it
//! goes first when there is no room.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::checkpoint::{segment_path, segments, sync_folder};
use super::record::{self, Found};

const FOLDER: &str = "kept";

fn folder(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

/// Puts a segment that is done with among what is kept.
pub(super) fn keep(journal: &Path, segment: u64) -> io::Result<()> {
    fs::create_dir_all(folder(journal))?;
    fs::rename(
        segment_path(journal, segment),
        segment_path(&folder(journal), segment),
    )
}

/// Drops what was written too long before the newest that is kept, and the oldest of what is more
/// than this.
pub(super) fn tidy_up(journal: &Path, age: Duration, bytes_max: u64) -> io::Result<()> {
    let mut newest: Option<SystemTime> = None;
    let mut bytes = 0;
    let mut dropped = false;
    for segment in numbers(journal)?.into_iter().rev() {
        let path = segment_path(&folder(journal), segment);
        let metadata = path.metadata()?;
        let written = metadata.modified()?;
        let newest = *newest.get_or_insert(written);
        bytes += metadata.len();
        if bytes > bytes_max || newest.duration_since(written).is_ok_and(|old| old > age) {
            fs::remove_file(path)?;
            dropped = true;
        }
    }
    if dropped {
        sync_folder(&folder(journal))
    } else {
        Ok(())
    }
}

/// Drops the oldest of what is kept. Says whether there was any.
pub(super) fn drop_oldest(journal: &Path) -> bool {
    let oldest = numbers(journal)
        .ok()
        .and_then(|numbers| numbers.first().copied());
    oldest.is_some_and(|segment| fs::remove_file(segment_path(&folder(journal), segment)).is_ok())
}

fn numbers(journal: &Path) -> io::Result<Vec<u64>> {
    match segments(&folder(journal)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        numbers => numbers,
    }
}

/// Everything a journal still holds, done with or not, segment by segment in its order; damaged
/// stretches are left out. It may be in use.
pub fn history(journal: &Path) -> io::Result<impl Iterator<Item = io::Result<Vec<Vec<u8>>>>> {
    let journal = journal.to_owned();
    // What is in use may be put among what is kept at any moment: it is looked for in both places.
    let (live, kept) = (segments(&journal)?, numbers(&journal)?);
    let mut all: Vec<u64> = kept.into_iter().chain(live).collect();
    all.sort_unstable();
    all.dedup();
    // What is written from now on is none of its history.
    let sizes: Vec<(u64, u64)> = all
        .into_iter()
        .map(|segment| (segment, size(&journal, segment)))
        .collect();
    Ok(sizes.into_iter().map(move |(segment, size)| {
        // In neither place: it was dropped in between.
        let read = read(&segment_path(&journal, segment))?.map_or_else(
            || read(&segment_path(&folder(&journal), segment)),
            |bytes| Ok(Some(bytes)),
        );
        let mut bytes = read?.unwrap_or_default();
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(payloads(&bytes))
    }))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn size(journal: &Path, segment: u64) -> u64 {
    let live = segment_path(journal, segment).metadata();
    live.or_else(|_| segment_path(&folder(journal), segment).metadata())
        .map_or(u64::MAX, |metadata| metadata.len())
}

fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut place) = (Vec::new(), 0);
    while place < bytes.len() {
        match record::decode(&bytes[place..]) {
            Found::Record {
                payload,
                bytes: size,
                ..
            } => {
                found.push(payload.to_vec());
                place += size;
            }
            Found::Incomplete | Found::Damaged => {
                place = record::next_readable(bytes, place + 1).unwrap_or(bytes.len())
            }
        }
    }
    found
}
