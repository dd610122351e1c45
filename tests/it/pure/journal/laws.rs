//! Laws of the journal under arbitrary acts, faults and damage.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use cordboard::adapter::journal::{Follower, Journal, OpenError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::disk::FaultyDisk;
use super::{ROOMY, append, follow, open, read_all, segments, try_append};
use crate::support::wait::{PATIENCE, eventually};

#[derive(Clone, Debug)]
enum Act {
    Append(u8, usize),
    Restart,
    /// The process dies while it writes: some bytes of a record are on the disk, and the request
    /// was not answered.
    TornWrite(usize),
    ReadAndRelease(usize),
    /// So many syncs, appends and new segments fail from now on.
    Fail(u32, u32, u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (any::<u8>(), 0..200_usize).prop_map(|(byte, length)| Act::Append(byte, length)),
        1 => Just(Act::Restart),
        1 => (1..60_usize).prop_map(Act::TornWrite),
        2 => (1..10_usize).prop_map(Act::ReadAndRelease),
        1 => (0..3_u32, 0..3_u32, 0..2_u32)
            .prop_map(|(syncs, appends, creates)| Act::Fail(syncs, appends, creates)),
    ]
}

/// Runs one case. The runner of properties is synchronous; the journal has a thread of its own.
fn run<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(case)
}

/// A journal beside its model.
struct Modelled<'a> {
    folder: &'a Path,
    disk: FaultyDisk,
    journal: Journal,
    follower: Follower,
    /// The model: records that were answered and not yet read.
    waiting: VecDeque<Vec<u8>>,
}

impl Modelled<'_> {
    fn open(folder: &Path) -> Modelled<'_> {
        let disk = FaultyDisk::default();
        let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder, ROOMY).unwrap();
        let follower = journal.follow().unwrap();

        Modelled {
            folder,
            disk,
            journal,
            follower,
            waiting: VecDeque::new(),
        }
    }

    async fn apply(mut self, act: Act) -> Result<Self, TestCaseError> {
        match act {
            Act::Append(byte, length) => {
                // A refused record was never answered: it may be gone.
                let payload = vec![byte; length];
                if try_append(&self.journal, &payload).await.is_ok() {
                    self.waiting.push_back(payload);
                }
            }
            Act::Fail(syncs, appends, creates) => {
                let mut faults = self.disk.faults();
                faults.syncs = syncs;
                faults.appends = appends;
                faults.creates = creates;
            }
            Act::ReadAndRelease(most) => {
                let entries = self.follower.read(most).unwrap();
                prop_assert_eq!(entries.is_empty(), self.waiting.is_empty());
                for entry in entries {
                    prop_assert_eq!(Some(entry.payload), self.waiting.pop_front());
                    self.follower.release(entry.end).unwrap();
                }
            }
            Act::Restart => self = self.restart(None).await,
            Act::TornWrite(bytes) => self = self.restart(Some(bytes)).await,
        }

        Ok(self)
    }

    /// Closes the journal and opens it again, with so many bytes of a torn record at its end.
    async fn restart(mut self, torn_bytes: Option<usize>) -> Self {
        self.follower.store_checkpoint().unwrap();
        drop(self.follower);
        drop(self.journal);
        // Another process reads the contents of the disk.
        self.disk.faults().given_up.clear();

        let last = segments(self.folder).pop();
        if let (Some(bytes), Some(last)) = (torn_bytes, last) {
            let mut record = fs::read(&last).unwrap();
            record.truncate(bytes);
            // A complete record is at least as long as its header: here the end is missing.
            record.truncate(17.min(record.len()));
            let mut file = OpenOptions::new().append(true).open(last).unwrap();
            file.write_all(&record).unwrap();
        }

        // A program that a test beside this one begins holds all locks of this process for a moment.
        let opened = eventually(PATIENCE, "the lock of the closed journal", async || {
            let disk = Box::new(self.disk.clone());
            match Journal::open_on(disk, self.folder, ROOMY) {
                Err(error @ OpenError::InUse { .. }) => Err(error.to_string()),
                opened => Ok(opened.unwrap()),
            }
        });
        let (journal, _) = opened.await;
        let follower = journal.follow().unwrap();

        Modelled {
            journal,
            follower,
            ..self
        }
    }
}

async fn check_queue(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let mut modelled = Modelled::open(folder.path());
    for act in acts {
        modelled = modelled.apply(act).await?;
    }

    let rest = read_all(&mut modelled.follower);
    prop_assert_eq!(rest, Vec::from(modelled.waiting));
    prop_assert!(
        !modelled.disk.faults().trusted_again,
        "a file is never trusted again after its sync failed"
    );

    Ok(())
}

/// Flips bits of the byte at this place of a segment.
fn damage(segment: &Path, place: usize, flip: u8) {
    let length = usize::try_from(segment.metadata().unwrap().len()).unwrap();
    let place = SeekFrom::Start((place % length) as u64);
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(segment)
        .unwrap();

    let mut byte = [0];
    file.seek(place).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(place).unwrap();
    file.write_all(&[byte[0] ^ flip]).unwrap();
}

async fn check_damage(lengths: Vec<usize>, hits: Vec<(usize, u8)>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for (index, length) in lengths.iter().enumerate() {
        append(&journal, &vec![u8::try_from(index).unwrap(); *length]).await;
    }
    drop(journal);

    let paths = segments(folder.path());
    for (place, flip) in &hits {
        damage(&paths[place % paths.len()], *place, *flip);
    }

    let journal = open(folder.path());
    let read = follow(&journal);
    prop_assert!(
        read.len() + hits.len() >= lengths.len(),
        "each hit costs one record at most: {} of {}",
        read.len(),
        lengths.len()
    );
    let numbers: Vec<u8> = read
        .iter()
        .filter_map(|payload| payload.first().copied())
        .collect();
    prop_assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, none twice"
    );

    // And the journal goes on.
    append(&journal, b"after").await;
    let all = follow(&journal);
    prop_assert_eq!(all.last().map(Vec::as_slice), Some(&b"after"[..]));

    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_journal_is_a_queue_whatever_happens_to_the_process(
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        run(check_queue(acts))?;
    }

    #[test]
    fn damage_costs_only_the_damaged_records(
        lengths in proptest::collection::vec(0..120_usize, 3..30),
        hits in proptest::collection::vec((0..10_000_usize, 1..255_u8), 1..4),
    ) {
        run(check_damage(lengths, hits))?;
    }
}
