//! Why a store or a server cannot be used as the settings say.

use std::io;
use std::path::PathBuf;

use crate::adapter::journal;
use crate::config::BadConfig;
use crate::port::broker::BrokerError;
use crate::port::ledger::LedgerError;

/// Why something cannot be opened, or a command cannot be carried out on it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("{0}")]
    IncompleteServerSettings(&'static str),
    #[error(
        "the clock of this machine shows {0}, before this program was built; calls are recorded by \
         it: set it, then start again"
    )]
    Clock(String),
    /// Another number of partitions is in force.
    #[error("{0}")]
    Partitions(String),
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    #[error(
        "{stretches} stretches of the journal cannot be read, and `journal.refuse_damaged` is set; \
         copies are in its `corrupt` folder"
    )]
    Damaged { stretches: usize },
    #[error("the journal cannot be read: {0}")]
    JournalRead(io::Error),
    #[error("the journal cannot be written: {0}")]
    JournalWrite(#[from] journal::AppendError),
    #[error("events cannot be handed over to the running service: {0}")]
    Handover(io::Error),
    #[error(
        "the running service has not taken the events of {path} yet; it takes them when its \
         journal has room, or at its next start"
    )]
    NotTakenYet { path: PathBuf },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the broker: {0}")]
    Broker(#[from] BrokerError),
    #[error("`live.url`: {0}")]
    Live(String),
    #[error("{path}: there is no database yet; the first start of the service creates it")]
    NoDatabase { path: PathBuf },
    #[error("{0}: stop the service first, it holds calls in memory")]
    Running(journal::OpenError),
}
