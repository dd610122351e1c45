//! The handle of an open journal: opening, locking, appending, and the journal's id.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::checkpoint::{self, Position};
use super::disk::{Disk, MachineDisk};
use super::error::{AppendError, OpenError};
use super::follower::Follower;
use super::limits::Limits;
use super::progress::Progress;
use super::scan::{self, JournalScan};
use super::writer::{Append, JournalWriter, WriterOutputs};
use crate::health::FlowCounters;
use crate::port::intake::{Intake, NotDurable};

/// Appends queued for the next sync; further callers wait for a slot in the queue.
const QUEUE_RECORDS_MAX: usize = 4_096;
const LOCK_FILE: &str = "lock";
/// File with the id of the journal. The id stays the same over restarts; other machines know the
/// journal's ingress by it.
const ID_FILE: &str = "id";

/// An open journal. Clones share it; it closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: mpsc::Sender<Append>,
    durable: watch::Receiver<Position>,
    folder: PathBuf,
    limits: Limits,
    progress: Arc<Progress>,
    counters: Arc<FlowCounters>,
    _lock: Arc<File>,
}

impl Journal {
    /// Opens the journal in `folder`, or creates it there.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Journal, JournalScan), OpenError> {
        Journal::open_on(Box::new(MachineDisk), folder, limits)
    }

    /// Scans a journal without opening or changing it.
    pub fn inspect(folder: &Path) -> Result<JournalScan, OpenError> {
        let io_error = |source| OpenError::Io {
            path: folder.to_owned(),
            source,
        };

        if folder.exists() {
            check_files(folder)?;
        }

        match File::open(folder.join(LOCK_FILE)) {
            Ok(lock) if lock.try_lock_shared().is_err() => Err(OpenError::InUse {
                path: folder.to_owned(),
            }),
            Ok(_) => scan::scan(folder)
                .map(|(opened, _)| opened)
                .map_err(io_error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(JournalScan::default()),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Opens the journal on the given disk.
    pub fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        limits: Limits,
    ) -> Result<(Journal, JournalScan), OpenError> {
        let io_error = |source| OpenError::Io {
            path: folder.to_owned(),
            source,
        };
        let lock = lock(folder)?;
        let (opened, end) = scan::scan_and_repair(folder).map_err(io_error)?;

        let last_sequence = end.next_sequence - 1;
        let progress = Arc::new(Progress::new(
            last_sequence,
            last_sequence.saturating_sub(opened.unreleased),
            end.total_bytes,
        ));
        let counters = Arc::new(FlowCounters::default());
        counters.add_recovered(opened.unreleased);

        let (durable_sender, durable) = watch::channel(end.position);
        let outputs = WriterOutputs {
            durable: durable_sender,
            progress: Arc::clone(&progress),
            counters: Arc::clone(&counters),
        };
        let writer = JournalWriter::new(disk, folder, limits, end, outputs).map_err(io_error)?;
        let (queue, appends) = mpsc::channel(QUEUE_RECORDS_MAX);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(appends))
            .map_err(io_error)?;

        let journal = Journal {
            queue,
            durable,
            folder: folder.to_owned(),
            limits,
            progress,
            counters,
            _lock: Arc::new(lock),
        };
        Ok((journal, opened))
    }

    /// Appends a record and returns when it is durable.
    pub async fn append(&self, payload: Vec<u8>) -> Result<(), AppendError> {
        self.append_record(payload, false).await.map(|_| ())
    }

    /// Appends a record and returns its sequence number when it is durable. Ticks are counted apart
    /// from events.
    pub(super) async fn append_record(
        &self,
        payload: Vec<u8>,
        is_tick: bool,
    ) -> Result<u64, AppendError> {
        let (append, sequence) = Append::new(payload, is_tick);

        self.queue
            .send(append)
            .await
            .map_err(|_| AppendError::Closed)?;
        sequence.await.map_err(|_| AppendError::Closed)?
    }

    /// Counters of accepted, recovered and handed-over records.
    #[must_use]
    pub fn flow_counters(&self) -> Arc<FlowCounters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Returns the id of the journal, created with the first call and stable since.
    pub fn id(&self) -> io::Result<uuid::Uuid> {
        let path = self.folder.join(ID_FILE);
        let stored = match fs::read_to_string(&path) {
            Ok(text) => uuid::Uuid::try_parse(text.trim()).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(id) = stored {
            return Ok(id);
        }

        let id = uuid::Uuid::now_v7();
        let temporary = self.folder.join("id.new");
        fs::write(&temporary, id.to_string())?;
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, &path)?;
        checkpoint::sync_folder(&self.folder)?;

        Ok(id)
    }

    /// Returns a follower that reads from the released position on.
    pub fn follow(&self) -> io::Result<Follower> {
        Follower::new(&self.folder, self.limits, self.durable.clone())
    }
}

/// Refuses a folder with files that cannot be opened without harm.
fn check_files(folder: &Path) -> Result<(), OpenError> {
    match checkpoint::find_odd_file(folder) {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(OpenError::OddFile { path }),
        Err(source) => Err(OpenError::Io {
            path: folder.to_owned(),
            source,
        }),
    }
}

/// Creates the folder if necessary and locks it for this process.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let io_error = |source| OpenError::Io {
        path: folder.to_owned(),
        source,
    };

    fs::create_dir_all(folder).map_err(io_error)?;
    check_files(folder)?;
    let lock = File::create(folder.join(LOCK_FILE)).map_err(io_error)?;
    if lock.try_lock().is_err() {
        return Err(OpenError::InUse {
            path: folder.to_owned(),
        });
    }

    Ok(lock)
}

#[async_trait]
impl Intake for Journal {
    async fn accept(&self, message: Vec<u8>) -> Result<(), NotDurable> {
        self.append_record(message, false)
            .await
            .map(|_| ())
            .map_err(not_durable)
    }

    async fn accept_tick(&self, tick: Vec<u8>) -> Result<(), NotDurable> {
        self.append_record(tick, true)
            .await
            .map(|_| ())
            .map_err(not_durable)
    }
}

pub(super) fn not_durable(error: AppendError) -> NotDurable {
    match error {
        AppendError::Full => NotDurable::Full,
        other => NotDurable::Unavailable(other.into()),
    }
}
