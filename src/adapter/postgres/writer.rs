//! The connection of one partition. It is opened when it is needed, serves as long as nothing fails
//! on it, and is closed when something did: what is left of its transaction only the server knows.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, MutexGuard};

use super::written_rows::WrittenRows;
use super::{CONNECT_PATIENCE, WRITE_PATIENCE};
use crate::port::ledger::LedgerError;

pub(super) struct Writer {
    options: PgConnectOptions,
    idle: Mutex<Option<Session>>,
}

/// A connection, and what was written over it.
struct Session {
    connection: PgConnection,
    written: WrittenRows,
}

/// The connection, for a while. It goes back only by [`Lease::give_back`]; otherwise it is closed.
pub(super) struct Lease<'w> {
    idle: MutexGuard<'w, Option<Session>>,
    session: Session,
}

impl Writer {
    pub(super) fn new(options: PgConnectOptions) -> Writer {
        Writer {
            options,
            idle: Mutex::new(None),
        }
    }

    pub(super) async fn lease(&self) -> Result<Lease<'_>, LedgerError> {
        let mut idle = self.idle.lock().await;
        let session = if let Some(session) = idle.take() {
            session
        } else {
            let connection = with_timeout(CONNECT_PATIENCE, self.options.connect()).await?;
            Session {
                connection,
                written: WrittenRows::default(),
            }
        };
        Ok(Lease { idle, session })
    }

    pub(super) async fn close(self) {
        if let Some(session) = self.idle.into_inner() {
            // Whatever was committed is safe; a close that fails loses nothing.
            let _closed = session.connection.close().await;
        }
    }
}

/// Does what needs the server, unless it takes longer than any statement may. What was under way is
/// dropped with its connection.
pub(super) async fn with_timeout<T, E>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, LedgerError>
where
    LedgerError: From<E>,
{
    let late = |_| LedgerError::Unavailable("it does not answer".to_owned());
    Ok(tokio::time::timeout(patience, work).await.map_err(late)??)
}

pub(super) async fn write<T>(
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    with_timeout(WRITE_PATIENCE, work).await
}

impl Lease<'_> {
    /// Everything went well: the connection serves again.
    pub(super) fn give_back(self) {
        let Lease { mut idle, session } = self;
        *idle = Some(session);
    }

    /// The connection, and what was written over it.
    pub(super) fn parts_mut(&mut self) -> (&mut PgConnection, &mut WrittenRows) {
        (&mut self.session.connection, &mut self.session.written)
    }

    /// Somebody else may have written since.
    pub(super) fn forget_rows(&mut self) {
        self.session.written = WrittenRows::default();
    }
}

impl Deref for Lease<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session.connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session.connection
    }
}
