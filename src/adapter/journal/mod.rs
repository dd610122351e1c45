//! The journal: what was answered with 200 is in it, whatever dies next.
//!
//! Appends are grouped: whoever waits is answered after one `fdatasync` for all. A torn tail is
//! cut, a damaged stretch is set aside and skipped, a full disk refuses until there is room again.
//! Followers read what is durable, in order; what they release is kept for a while and then
//! deleted.

mod checkpoint;
mod disk;
mod follower;
mod kept;
mod marks;
mod ports;
mod record;
mod scan;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::health::FlowCounters;
pub use checkpoint::Position;
pub use disk::{Disk, MachineDisk, Segment};
pub use follower::{Entry, Follower};
pub use kept::history;
use marks::Marks;
pub use ports::{ConfirmedIntake, JournalBacklog, JournalInbox, JournalTail};
pub use scan::Damage;
use writer::{Append, Writer};

/// Appends waiting for the next sync; more have to wait before they may wait.
const QUEUE_RECORDS_MAX: usize = 4_096;
const LOCK_NAME: &str = "lock";
/// The name of the journal over all its lives; other machines know its ingress by it.
const ID_NAME: &str = "id";

/// How large the journal may grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A new segment begins after this many bytes; so many are reserved on the disk when it begins.
    pub segment_bytes: u64,
    /// All segments together; beyond it appends are refused.
    pub total_bytes: u64,
    /// How long segments that are done with are kept, as far as there is room.
    pub kept: Duration,
}

/// Why a record was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the journal is full")]
    Full,
    #[error("the journal cannot be written: {0}")]
    Unavailable(Arc<io::Error>),
    #[error("the journal is closed")]
    Closed,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: another process uses this journal")]
    InUse { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// What was found when the journal was opened.
#[derive(Debug, Default)]
pub struct Opened {
    pub records: u64,
    /// Records that no follower has released.
    pub waiting: u64,
    /// The payload of the first of them.
    pub first_waiting: Option<Vec<u8>>,
    /// The payload of the last record.
    pub last: Option<Vec<u8>>,
    /// Stretches that could not be read; copies are in `corrupt/`.
    pub damages: Vec<Damage>,
    /// Bytes of an append that a crash interrupted, and nobody was answered for.
    pub torn_bytes: u64,
}

/// An open journal. Clones share it; it closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: mpsc::Sender<Append>,
    durable: watch::Receiver<Position>,
    folder: PathBuf,
    limits: Limits,
    marks: Arc<Marks>,
    books: Arc<FlowCounters>,
    _lock: Arc<File>,
}

impl Journal {
    /// Opens the journal in `folder`, making it if there is none.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Journal, Opened), OpenError> {
        Journal::open_on(Box::new(MachineDisk), folder, limits)
    }

    /// What opening would find; changes nothing.
    pub fn inspect(folder: &Path) -> Result<Opened, OpenError> {
        let failed = |source| OpenError::Io {
            path: folder.to_owned(),
            source,
        };
        match File::open(folder.join(LOCK_NAME)) {
            Ok(lock) if lock.try_lock_shared().is_err() => Err(OpenError::InUse {
                path: folder.to_owned(),
            }),
            Ok(_) => scan::look(folder).map(|(opened, _)| opened).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Opened::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Opens the journal on a disk of the caller's.
    pub fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        limits: Limits,
    ) -> Result<(Journal, Opened), OpenError> {
        let failed = |source| OpenError::Io {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join(LOCK_NAME)).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(OpenError::InUse {
                path: folder.to_owned(),
            });
        }
        let (opened, end) = scan::open(folder).map_err(failed)?;
        let (announce, durable) = watch::channel(end.position);
        let (queue, appends) = mpsc::channel(QUEUE_RECORDS_MAX);
        let last = end.next_sequence - 1;
        let marks = Arc::new(Marks::new(
            last,
            last.saturating_sub(opened.waiting),
            end.total_bytes,
        ));
        let books = Arc::new(FlowCounters::default());
        books.add_recovered(opened.waiting);
        let writer = Writer::new(
            disk,
            folder,
            limits,
            end,
            announce,
            Arc::clone(&marks),
            Arc::clone(&books),
        )
        .map_err(failed)?;
        let spawned = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(appends));
        spawned.map_err(failed)?;
        Ok((
            Journal {
                queue,
                durable,
                folder: folder.to_owned(),
                limits,
                marks,
                books,
                _lock: Arc::new(lock),
            },
            opened,
        ))
    }

    /// Makes a record durable. Returns when it is, or says why it is not.
    pub async fn append(&self, payload: Vec<u8>) -> Result<(), Refused> {
        self.write(payload, false).await.map(|_| ())
    }

    /// Counts what comes in and what becomes of it.
    #[must_use]
    pub fn books(&self) -> Arc<FlowCounters> {
        Arc::clone(&self.books)
    }

    /// The number of the record.
    async fn write(&self, payload: Vec<u8>, is_tick: bool) -> Result<u64, Refused> {
        let (append, done) = Append::new(payload, is_tick);
        self.queue.send(append).await.map_err(|_| Refused::Closed)?;
        done.await.map_err(|_| Refused::Closed)?
    }

    /// The id of the journal: made with it, and kept as long as it.
    pub fn id(&self) -> io::Result<uuid::Uuid> {
        let path = self.folder.join(ID_NAME);
        let known = match fs::read_to_string(&path) {
            Ok(text) => uuid::Uuid::try_parse(text.trim()).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(id) = known {
            return Ok(id);
        }
        let id = uuid::Uuid::now_v7();
        let fresh = self.folder.join("id.new");
        fs::write(&fresh, id.to_string())?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, &path)?;
        checkpoint::sync_folder(&self.folder)?;
        Ok(id)
    }

    /// Reads from where the last follower released.
    pub fn follow(&self) -> io::Result<Follower> {
        Follower::new(&self.folder, self.limits, self.durable.clone())
    }
}
