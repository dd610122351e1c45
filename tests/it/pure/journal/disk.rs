//! A disk that fails: files whose sync failed are not trusted, and a full disk is used again when
//! it has room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use cordboard::adapter::journal::{
    AppendError, Disk, Journal, JournalBacklog, JournalTail, MachineDisk, Segment,
};
use cordboard::port::intake::{JournalDepth, JournalSource};

use super::{ROOMY, append, follow, open, segments, try_append};
use crate::support::wait::{PATIENCE, eventually};

/// A disk that fails as often as its faults say, the way disks do.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
pub struct Faults {
    /// The next so many syncs fail: the contents of the file on the disk are unknown.
    pub syncs: u32,
    /// The next so many appends find no room after half of their bytes.
    pub appends: u32,
    /// The next so many segments cannot be created.
    pub creates: u32,
    /// Segments whose sync has failed: syncing one of them again proves nothing.
    pub given_up: Vec<PathBuf>,
    /// A file was written after its sync had failed.
    pub trusted_again: bool,
}

struct FaultySegment {
    path: PathBuf,
    file: Box<dyn Segment>,
    faults: Arc<Mutex<Faults>>,
}

/// Counts down a fault, and returns whether it occurs this time.
fn due(count: &mut u32) -> bool {
    let is_due = *count > 0;
    *count -= u32::from(is_due);

    is_due
}

impl FaultyDisk {
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap()
    }

    fn segment(&self, path: &Path, file: Box<dyn Segment>) -> Box<dyn Segment> {
        Box::new(FaultySegment {
            path: path.to_owned(),
            file,
            faults: Arc::clone(&self.0),
        })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        if due(&mut self.faults().creates) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = MachineDisk.create(path, reserve_bytes)?;

        Ok(self.segment(path, file))
    }

    fn open(&self, path: &Path, offset: u64, reserve_bytes: u64) -> io::Result<Box<dyn Segment>> {
        let file = MachineDisk.open(path, offset, reserve_bytes)?;

        Ok(self.segment(path, file))
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

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
}

#[tokio::test]
async fn a_file_whose_sync_failed_is_left_alone_and_waiting_records_go_to_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), ROOMY).unwrap();

    append(&journal, b"before").await;
    disk.faults().syncs = 1;
    append(&journal, b"during").await;
    append(&journal, b"after").await;
    assert_eq!(
        follow(&journal),
        [b"before".to_vec(), b"during".to_vec(), b"after".to_vec()]
    );
    assert_eq!(segments(folder.path()).len(), 2);

    // The new file fails too: then no record is answered as durable.
    disk.faults().syncs = 2;
    let refused = try_append(&journal, b"lost").await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(JournalBacklog::new(&journal).refusal_reason().is_some());

    append(&journal, b"again").await;
    assert_eq!(JournalBacklog::new(&journal).refusal_reason(), None);
    assert!(!disk.faults().trusted_again);
    drop(journal);

    let read = follow(&open(folder.path()));
    assert_eq!(read.first().map(Vec::as_slice), Some(&b"before"[..]));
    assert_eq!(read.last().map(Vec::as_slice), Some(&b"again"[..]));
}

#[tokio::test]
async fn a_disk_without_room_refuses_and_is_used_again_when_it_has_some() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (journal, _) = Journal::open_on(Box::new(disk.clone()), folder.path(), ROOMY).unwrap();

    disk.faults().creates = 1;
    let refused = try_append(&journal, b"first").await;
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    append(&journal, b"second").await;

    disk.faults().appends = 1;
    let refused = try_append(&journal, b"third").await;
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    append(&journal, b"fourth").await;

    let accepted = [b"second".to_vec(), b"fourth".to_vec()];
    assert_eq!(follow(&journal), accepted);
    drop(journal);
    assert_eq!(follow(&open(folder.path())), accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_room_for_its_checkpoint_is_cleared_as_soon_as_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for _ in 0..20 {
        append(&journal, &[7; 100]).await;
    }
    let mut tail = JournalTail::new(&journal).unwrap();
    // A folder in its place refuses the checkpoint as a full disk does.
    let place = folder.path().join("checkpoint");
    std::fs::create_dir(&place).unwrap();
    while tail.depth() > 0 {
        let records = tail.read(100).unwrap();
        tail.release(records.last().unwrap().sequence, records.len() as u64);
    }
    assert!(segments(folder.path()).len() > 2, "nothing is deleted");

    // No record comes any more, as in a full journal.
    std::fs::remove_dir(&place).unwrap();
    let cleared = eventually(PATIENCE, "delivered segments to be deleted", async || {
        let left = segments(folder.path()).len();
        (left == 1).then_some(()).ok_or(format!("{left} segments"))
    });
    tokio::select! {
        () = cleared => {}
        _ = tail.wait() => panic!("there is no further record"),
    }
}
