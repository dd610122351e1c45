//! Time limits of connections, statements and answers.

use std::time::Duration;

use crate::port::ledger::LedgerError;

/// To open a connection, or to lease one from the pool.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The server ends a read of the interfaces after this long.
pub(super) const READ_STATEMENT_TIMEOUT: &str = "2s";
/// The server ends its statements itself; a silent server is abandoned after this long.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(5);
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(15);
/// A statement is a whole batch: on a slow disk it may take as long as ten small ones. With a
/// shorter timeout it would never succeed.
pub(super) const BATCH_STATEMENT_TIMEOUT: &str = "12s";
/// A comparison of records may read a whole history at once.
pub(super) const HISTORY_LIMIT: Duration = Duration::from_hours(1);

/// Awaits work that needs the server, at most for the time limit. Unfinished work is dropped, and
/// its lease closes the connection.
pub(super) async fn with_timeout<T, E>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, LedgerError>
where
    LedgerError: From<E>,
{
    let late = |_| LedgerError::Unavailable(format!("no answer within {limit:?}").into());

    Ok(tokio::time::timeout(limit, work).await.map_err(late)??)
}

/// Awaits a write, at most for [`WRITE_LIMIT`].
pub(super) async fn with_write_timeout<T>(
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    with_timeout(WRITE_LIMIT, work).await
}
