//! Failures of the ledger, named by what the caller does next.

/// The cause of a failure.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation of the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The same may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] BoxError),
    /// Another worker owns the partition now: the state in memory is stale.
    #[error("another worker has taken over the partition")]
    Fenced,
    /// The database holds another number of partitions than the settings.
    #[error("{0}")]
    LayoutMismatch(String),
    /// Stored data cannot be read, now or later.
    #[error("the database holds unreadable data")]
    Corrupt(#[source] BoxError),
    /// A row of the batch can never be stored. The rest can, without it.
    #[error("the database rejects a row: {0}")]
    Rejected(String),
}
