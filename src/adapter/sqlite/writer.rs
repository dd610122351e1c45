//! The one connection that writes. Statements of two tasks never mix in a transaction, and a
//! connection that failed is never used again: what is left of its transaction only `SQLite` knows,
//! and the driver's idea of it may be another.

use std::ops::{Deref, DerefMut};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

pub(super) struct Writer {
    options: SqliteConnectOptions,
    idle: Mutex<Option<SqliteConnection>>,
}

/// The connection, for a while. It goes back only by [`Lease::give_back`]; otherwise it is closed.
pub(super) struct Lease<'w> {
    idle: MutexGuard<'w, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl Writer {
    pub(super) async fn open(options: SqliteConnectOptions) -> Result<Writer, sqlx::Error> {
        let connection = options.connect().await?;
        Ok(Writer {
            options,
            idle: Mutex::new(Some(connection)),
        })
    }

    pub(super) async fn lease(&self) -> Result<Lease<'_>, sqlx::Error> {
        let mut idle = self.idle.lock().await;
        let connection = match idle.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Lease { idle, connection })
    }

    pub(super) async fn close(self) {
        if let Some(connection) = self.idle.into_inner() {
            // Whatever was committed is on disk; a close that fails loses nothing.
            let _closed = sqlx::Connection::close(connection).await;
        }
    }
}

impl Lease<'_> {
    /// Everything went well: the connection serves again.
    pub(super) fn give_back(self) {
        let Lease {
            mut idle,
            connection,
        } = self;
        *idle = Some(connection);
    }
}

impl Deref for Lease<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
