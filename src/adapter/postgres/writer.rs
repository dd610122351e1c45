//! The connection of one partition for its writes.
//!
//! It is opened for the first write and serves until something fails on it. After a failure only
//! the server knows the state of the transaction, so the connection is closed, and its cache is
//! dropped with it.

use std::ops::{Deref, DerefMut};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, MutexGuard};

use super::time_limits::{CONNECT_LIMIT, with_timeout};
use super::written_rows::WrittenRows;
use crate::port::ledger::LedgerError;

pub(super) struct Writer {
    options: PgConnectOptions,
    idle: Mutex<Option<Session>>,
}

/// A connection, and the rows that were written over it.
struct Session {
    connection: PgConnection,
    written: WrittenRows,
}

/// The leased connection. Only [`Lease::put_back`] stores it for the next lease; a lease that is
/// dropped closes it.
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

    /// Waits until no other lease is out, and connects where no connection is idle.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, LedgerError> {
        let mut idle = self.idle.lock().await;

        let session = if let Some(session) = idle.take() {
            session
        } else {
            // Boxed, since connecting is rare and its large future would be part of every write.
            let connect = Box::pin(with_timeout(CONNECT_LIMIT, self.options.connect()));
            let connection = connect.await?;
            Session {
                connection,
                written: WrittenRows::default(),
            }
        };

        Ok(Lease { idle, session })
    }

    /// Closes the connection. The next lease connects again.
    pub(super) async fn close(&self) {
        if let Some(session) = self.idle.lock().await.take() {
            // An idle connection has no open transaction: a failed close loses nothing.
            let _ = session.connection.close().await;
        }
    }
}

impl Lease<'_> {
    /// Stores the connection for the next lease. Only for a connection on which nothing failed.
    pub(super) fn put_back(self) {
        let Lease { mut idle, session } = self;
        *idle = Some(session);
    }

    /// The connection, and the cache of the rows that were written over it.
    pub(super) fn parts_mut(&mut self) -> (&mut PgConnection, &mut WrittenRows) {
        (&mut self.session.connection, &mut self.session.written)
    }

    /// Empties the cache: another owner may have written since.
    pub(super) fn clear_written_rows(&mut self) {
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
