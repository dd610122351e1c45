//! The journal against a model: every record that was answered is delivered, in order, whatever
//! happens to the process or to the last bytes.

mod disk;
mod history;
mod laws;
mod queue;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordboard::adapter::journal::{AppendError, Follower, Journal, Limits};

use crate::support::wait::{PATIENCE, within};

const ROOMY: Limits = Limits {
    segment_bytes: 400,
    total_bytes: 1_000_000,
    retention: Duration::ZERO,
};

fn open(folder: &Path) -> Journal {
    Journal::open(folder, ROOMY).unwrap().0
}

/// Appends a record, and returns the journal's answer.
async fn try_append(journal: &Journal, payload: &[u8]) -> Result<(), AppendError> {
    let answer = journal.append(payload.to_vec());

    within(PATIENCE, "an answer of the journal", answer).await
}

/// Appends a record that the journal must accept.
async fn append(journal: &Journal, payload: &[u8]) {
    try_append(journal, payload).await.unwrap();
}

fn read_all(follower: &mut Follower) -> Vec<Vec<u8>> {
    let mut all = Vec::new();

    loop {
        let entries = follower.read(3).unwrap();
        if entries.is_empty() {
            return all;
        }
        all.extend(entries.into_iter().map(|entry| entry.payload));
    }
}

/// All records that a new follower reads.
fn follow(journal: &Journal) -> Vec<Vec<u8>> {
    read_all(&mut journal.follow().unwrap())
}

/// Reads up to so many records and releases them. Returns how many there were.
fn release(follower: &mut Follower, most: usize) -> usize {
    let mut released = 0;
    while released < most
        && let Some(entry) = follower.read(1).unwrap().pop()
    {
        follower.release(entry.end).unwrap();
        released += 1;
    }
    follower.store_checkpoint().unwrap();

    released
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
        .collect();
    paths.sort();

    paths
}
