//! Why the service cannot start, or ended.

use std::io;
use std::net::SocketAddr;

use crate::config::BadConfig;
use crate::port::ledger::LedgerError;
use crate::port::webhooks::SendError;
use crate::setup::SetupError;
use crate::worker::WorkerError;

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(
        "{listener} cannot listen on {address}: {source}; is another process there? Choose another \
         address in the settings"
    )]
    Bind {
        listener: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "`gateway.listen` is {0}, where other machines read calls, and no account exists: make the \
         first one with `cordboard user add NAME --role admin`, or set \
         `gateway.allow_unauthenticated = true` behind an authenticating reverse proxy"
    )]
    NoAccounts(SocketAddr),
    #[error("the client of webhooks cannot be made: {0}")]
    Webhooks(#[from] SendError),
    #[error("`contacts.lookup_url`: {0}")]
    LookUp(SendError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A task ended without an error, or panicked.
    #[error("{0} ended before the service was stopped")]
    Ended(&'static str),
}

impl From<BadConfig> for ServiceError {
    fn from(error: BadConfig) -> ServiceError {
        SetupError::from(error).into()
    }
}

impl From<LedgerError> for ServiceError {
    fn from(error: LedgerError) -> ServiceError {
        SetupError::from(error).into()
    }
}
