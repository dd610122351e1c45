//! Errors of the journal, named by the caller's next step.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a record was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the journal is full")]
    Full,
    #[error("the journal cannot be written: {0}")]
    Unavailable(Arc<io::Error>),
    #[error("the journal is closed")]
    Closed,
}

impl AppendError {
    /// Classifies an I/O error of an append.
    pub(super) fn from_io(error: io::Error) -> AppendError {
        if is_disk_full(&error) {
            AppendError::Full
        } else {
            AppendError::Unavailable(Arc::new(error))
        }
    }
}

/// Whether an I/O error means that disk space or quota is used up.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: another process uses this journal")]
    InUse { path: PathBuf },
    #[error("{path}: not a regular file; a journal has no others. Move it out of the folder")]
    OddFile { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}
