//! The journal against a model: what was answered is delivered, in order, whatever happens to the
//! process or to the last bytes.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordboard::adapter::journal::{
    self, Disk, Follower, Journal, JournalBacklog, Limits, MachineDisk, OpenError, Position,
    Refused, Segment,
};
use cordboard::port::intake::Backlog;
use proptest::prelude::*;

const ROOMY: Limits = Limits {
    segment_bytes: 400,
    total_bytes: 1_000_000,
    kept: Duration::ZERO,
};

fn open(folder: &Path) -> Journal {
    Journal::open(folder, ROOMY).unwrap().0
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn append(journal: &Journal, payload: &[u8]) {
    block_on(journal.append(payload.to_vec())).unwrap();
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

/// Closes the journal for good: the writer has ended when the lock is free.
fn close(journal: Journal) {
    drop(journal);
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

#[test]
fn what_was_appended_is_delivered_in_order_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let sent: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; usize::from(n)]).collect();
    for payload in &sent {
        append(&journal, payload);
    }
    assert_eq!(read_all(&mut journal.follow().unwrap()), sent);
    close(journal);
    let (journal, opened) = Journal::open(folder.path(), ROOMY).unwrap();
    assert_eq!(
        (opened.records, opened.last.as_ref(), opened.torn_bytes),
        (50, sent.last(), 0)
    );
    assert_eq!(read_all(&mut journal.follow().unwrap()), sent);
    assert!(
        segments(folder.path()).len() > 2,
        "small segments were asked for"
    );
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    assert!(matches!(
        Journal::open(folder.path(), ROOMY),
        Err(OpenError::InUse { .. })
    ));
}

#[test]
fn what_is_released_is_not_delivered_again_and_its_segments_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for n in 0..100_u8 {
        append(&journal, &[n; 60]);
    }
    let before = segments(folder.path()).len();
    let mut follower = journal.follow().unwrap();
    let entries = follower.read(60).unwrap();
    let mut last = Position::default();
    let mut read = entries.len();
    for entry in entries {
        last = entry.end;
    }
    while read < 60 {
        for entry in follower.read(60 - read).unwrap() {
            last = entry.end;
            read += 1;
        }
    }
    follower.release(last).unwrap();
    follower.store().unwrap();
    assert!(segments(folder.path()).len() < before);
    close(journal);
    let journal = open(folder.path());
    assert_eq!(
        read_all(&mut journal.follow().unwrap()),
        (60..100_u8).map(|n| vec![n; 60]).collect::<Vec<_>>()
    );
}

#[test]
fn a_full_journal_refuses_and_accepts_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(
        folder.path(),
        Limits {
            segment_bytes: 200,
            total_bytes: 1_000,
            kept: Duration::ZERO,
        },
    )
    .unwrap();
    let mut accepted = 0;
    while block_on(journal.append(vec![1; 80])).is_ok() {
        accepted += 1;
        assert!(accepted < 100, "the limit is small");
    }
    assert!(matches!(
        block_on(journal.append(vec![1; 80])),
        Err(Refused::Full)
    ));
    let mut follower = journal.follow().unwrap();
    let mut read = 0;
    while let Some(entry) = follower.read(1).unwrap().pop() {
        read += 1;
        follower.release(entry.end).unwrap();
    }
    follower.store().unwrap();
    assert_eq!(read, accepted);
    append(&journal, &[2; 80]);
    assert_eq!(read_all(&mut follower), vec![vec![2; 80]]);
}

/// What is kept of a journal, and what it holds besides.
fn history(folder: &Path) -> Vec<Vec<u8>> {
    journal::history(folder)
        .unwrap()
        .flat_map(Result::unwrap)
        .collect()
}

/// Appends these one by one, and is done with all of them.
fn pass(journal: &Journal, numbers: std::ops::Range<u8>) {
    numbers.for_each(|n| append(journal, &[n; 60]));
    let mut follower = journal.follow().unwrap();
    while let Some(entry) = follower.read(1).unwrap().pop() {
        follower.release(entry.end).unwrap();
    }
    follower.store().unwrap();
}

#[test]
fn what_is_done_with_is_kept_for_a_while_and_is_none_of_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        kept: Duration::from_hours(1),
        ..ROOMY
    };
    let (journal, _) = Journal::open(folder.path(), limits).unwrap();
    pass(&journal, 0..50);
    append(&journal, &[50; 60]);
    let all: Vec<Vec<u8>> = (0..51_u8).map(|n| vec![n; 60]).collect();
    assert_eq!(history(folder.path()), all);
    close(journal);
    let (journal, opened) = Journal::open(folder.path(), limits).unwrap();
    assert_eq!((opened.waiting, opened.damages), (1, vec![]));
    assert_eq!(read_all(&mut journal.follow().unwrap()), [vec![50; 60]]);
    // Two segments are from two hours ago: they go with the next one that is done with.
    let kept = segments(&folder.path().join("kept"));
    for path in &kept[..2] {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_hours(2))
            .unwrap();
    }
    pass(&journal, 51..60);
    let left = segments(&folder.path().join("kept"));
    assert!(!left.contains(&kept[1]) && left.contains(&kept[2]));
    assert_eq!(history(folder.path()).last(), Some(&vec![59; 60]));
}

#[test]
fn what_is_kept_never_takes_the_room_of_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let limits = Limits {
        segment_bytes: 400,
        total_bytes: 2_000,
        kept: Duration::from_hours(1),
    };
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), limits).unwrap();
    (0..10_u8).for_each(|n| pass(&journal, 10 * n..10 * n + 10));
    let size = |folder: &Path| {
        segments(folder)
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum::<u64>()
    };
    let kept = size(&folder.path().join("kept"));
    assert!(
        kept > 0 && kept + size(folder.path()) <= limits.total_bytes,
        "{kept}"
    );
    // The disk has no room for one more segment until two that are only kept are gone.
    let before = segments(&folder.path().join("kept")).len();
    disk.0.lock().unwrap().creates = 2;
    (0..6_u8).for_each(|n| append(&journal, &[n; 60]));
    assert_eq!(segments(&folder.path().join("kept")).len(), before - 2);
}

#[test]
fn a_missing_first_segment_or_checkpoint_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for n in 0..30_u8 {
        append(&journal, &[n; 60]);
    }
    close(journal);
    fs::remove_file(&segments(folder.path())[0]).unwrap();
    fs::write(folder.path().join("checkpoint"), b"\xff\xfe junk").unwrap();
    let journal = open(folder.path());
    let read = read_all(&mut journal.follow().unwrap());
    assert!(!read.is_empty() && read.last() == Some(&vec![29; 60]));
}

/// A disk that fails when it is told to, the way disks do.
#[derive(Clone, Default)]
struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Clone, Debug, Default)]
struct Faults {
    /// The next so many syncs fail, and nobody knows what of the file is on the disk.
    syncs: u32,
    /// The next so many appends find no room after half of their bytes.
    appends: u32,
    /// The next so many segments cannot be made.
    creates: u32,
    /// Segments whose sync has failed: syncing one of them again proves nothing.
    given_up: Vec<PathBuf>,
    /// A file was written after its sync had failed.
    trusted_again: bool,
}

struct FaultySegment {
    path: PathBuf,
    file: Box<dyn Segment>,
    faults: Arc<Mutex<Faults>>,
}

/// Says whether this time it fails.
fn due(count: &mut u32) -> bool {
    let due = *count > 0;
    *count -= u32::from(due);
    due
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        if due(&mut self.0.lock().unwrap().creates) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = MachineDisk.create(path, reserve_bytes)?;
        Ok(Box::new(FaultySegment {
            path: path.to_owned(),
            file,
            faults: Arc::clone(&self.0),
        }))
    }

    fn open(&self, path: &Path, offset: u64, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        let file = MachineDisk.open(path, offset, reserve_bytes)?;
        Ok(Box::new(FaultySegment {
            path: path.to_owned(),
            file,
            faults: Arc::clone(&self.0),
        }))
    }
}

impl Segment for FaultySegment {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut faults = self.faults.lock().unwrap();
        faults.trusted_again |= faults.given_up.contains(&self.path);
        if due(&mut faults.appends) {
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut faults = self.faults.lock().unwrap();
        if due(&mut faults.syncs) {
            faults.given_up.push(self.path.clone());
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.cut(length)
    }
}

#[test]
fn a_file_whose_sync_failed_is_left_alone_and_what_waited_goes_to_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), ROOMY).unwrap();
    append(&journal, b"before");
    disk.0.lock().unwrap().syncs = 1;
    append(&journal, b"during");
    append(&journal, b"after");
    assert_eq!(
        read_all(&mut journal.follow().unwrap()),
        [b"before".to_vec(), b"during".to_vec(), b"after".to_vec()]
    );
    assert_eq!(segments(folder.path()).len(), 2);
    // The new one fails too: then nobody is told that anything is safe.
    disk.0.lock().unwrap().syncs = 2;
    let refused = block_on(journal.append(b"lost".to_vec()));
    assert!(
        matches!(refused, Err(Refused::Unavailable(_))),
        "{refused:?}"
    );
    assert!(JournalBacklog::new(&journal).refusal_reason().is_some());
    append(&journal, b"again");
    assert_eq!(JournalBacklog::new(&journal).refusal_reason(), None);
    assert!(!disk.0.lock().unwrap().trusted_again);
    close(journal);
    let read = read_all(&mut open(folder.path()).follow().unwrap());
    assert_eq!(read.first().map(Vec::as_slice), Some(&b"before"[..]));
    assert_eq!(read.last().map(Vec::as_slice), Some(&b"again"[..]));
}

#[test]
fn a_disk_without_room_refuses_and_is_taken_again_when_it_has_some() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), ROOMY).unwrap();
    disk.0.lock().unwrap().creates = 1;
    assert!(matches!(
        block_on(journal.append(b"first".to_vec())),
        Err(Refused::Full)
    ));
    append(&journal, b"second");
    disk.0.lock().unwrap().appends = 1;
    assert!(matches!(
        block_on(journal.append(b"third".to_vec())),
        Err(Refused::Full)
    ));
    append(&journal, b"fourth");
    assert_eq!(
        read_all(&mut journal.follow().unwrap()),
        [b"second".to_vec(), b"fourth".to_vec()]
    );
    close(journal);
    assert_eq!(
        read_all(&mut open(folder.path()).follow().unwrap()),
        [b"second".to_vec(), b"fourth".to_vec()]
    );
}

#[test]
fn the_room_of_a_segment_is_taken_when_it_begins() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(
        folder.path(),
        Limits {
            segment_bytes: 1 << 20,
            total_bytes: 1 << 30,
            kept: Duration::ZERO,
        },
    )
    .unwrap();
    append(&journal, b"little");
    let metadata = segments(folder.path())[0].metadata().unwrap();
    assert!(metadata.len() < 100);
    // A file system that cannot reserve takes what is written, and no more.
    let reserved = metadata.blocks() * 512;
    assert!(reserved >= 1 << 20 || reserved <= 64 * 1024, "{reserved}");
}

#[test]
fn a_last_record_that_is_all_there_and_wrong_is_damage_and_half_a_record_is_not() {
    for (cut, flip) in [(0, true), (3, false)] {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        append(&journal, b"first");
        append(&journal, b"second");
        close(journal);
        let path = segments(folder.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= u8::from(flip);
        bytes.truncate(bytes.len() - cut);
        fs::write(&path, &bytes).unwrap();
        let (journal, opened) = Journal::open(folder.path(), ROOMY).unwrap();
        assert_eq!(
            (opened.damages.len(), opened.records),
            (usize::from(flip), 1)
        );
        assert_eq!(
            folder.path().join("corrupt").exists(),
            flip,
            "what may have been answered for is kept"
        );
        append(&journal, b"third");
        assert_eq!(
            read_all(&mut journal.follow().unwrap()),
            [b"first".to_vec(), b"third".to_vec()]
        );
    }
}

#[derive(Clone, Debug)]
enum Act {
    Append(u8, usize),
    Restart,
    /// The process dies while it writes: some bytes of a record are there, and nobody was answered.
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
        1 => (0..3_u32, 0..3_u32, 0..2_u32).prop_map(|(syncs, appends, creates)| Act::Fail(syncs, appends, creates)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_is_a_queue_whatever_happens_to_the_process(acts in proptest::collection::vec(act(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let open = || Journal::open_on(Box::new(disk.clone()), folder.path(), ROOMY).unwrap().0;
        let mut journal = open();
        let mut follower = journal.follow().unwrap();
        // The model: what was answered and not yet read.
        let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
        for act in acts {
            match act {
                Act::Append(byte, length) => {
                    // What is refused was never answered: it may be gone.
                    if block_on(journal.append(vec![byte; length])).is_ok() {
                        waiting.push_back(vec![byte; length]);
                    }
                }
                Act::Fail(syncs, appends, creates) => {
                    let mut faults = disk.0.lock().unwrap();
                    (faults.syncs, faults.appends, faults.creates) = (syncs, appends, creates);
                }
                Act::ReadAndRelease(most) => {
                    let entries = follower.read(most).unwrap();
                    prop_assert_eq!(entries.is_empty(), waiting.is_empty());
                    for entry in entries {
                        prop_assert_eq!(Some(entry.payload), waiting.pop_front());
                        follower.release(entry.end).unwrap();
                    }
                }
                Act::Restart | Act::TornWrite(_) => {
                    follower.store().unwrap();
                    drop(follower);
                    close(journal);
                    // Another process reads what is really there.
                    disk.0.lock().unwrap().given_up.clear();
                    if let (Act::TornWrite(bytes), Some(last)) = (&act, segments(folder.path()).last()) {
                        let mut record = fs::read(last).unwrap();
                        record.truncate(*bytes);
                        // A record always misses its end here: whole ones are at least as long as
                        // their header.
                        record.truncate(17.min(record.len()));
                        OpenOptions::new().append(true).open(last).unwrap().write_all(&record).unwrap();
                    }
                    journal = open();
                    follower = journal.follow().unwrap();
                }
            }
        }
        prop_assert_eq!(read_all(&mut follower), Vec::from(waiting));
        prop_assert!(!disk.0.lock().unwrap().trusted_again, "a file is never trusted again after its sync failed");
    }

    #[test]
    fn damage_costs_only_what_it_hits(lengths in proptest::collection::vec(0..120_usize, 3..30), hits in proptest::collection::vec((0..10_000_usize, 1..255_u8), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        for (index, length) in lengths.iter().enumerate() {
            append(&journal, &vec![u8::try_from(index).unwrap(); *length]);
        }
        close(journal);
        let paths = segments(folder.path());
        for (place, flip) in &hits {
            let path = &paths[place % paths.len()];
            let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
            let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
            let mut byte = [0];
            file.seek(SeekFrom::Start((place % length) as u64)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start((place % length) as u64)).unwrap();
            file.write_all(&[byte[0] ^ flip]).unwrap();
        }
        let journal = open(folder.path());
        let read = read_all(&mut journal.follow().unwrap());
        prop_assert!(read.len() + hits.len() >= lengths.len(), "each hit costs one record at most: {} of {}", read.len(), lengths.len());
        let numbers: Vec<u8> = read.iter().filter_map(|payload| payload.first().copied()).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        // And the journal goes on.
        append(&journal, b"after");
        let all = read_all(&mut journal.follow().unwrap());
        prop_assert_eq!(all.last().map(Vec::as_slice), Some(&b"after"[..]));
    }
}
