//! The one writing connection. Statements of two tasks never mix in a transaction. A connection is
//! closed after a failure and replaced: only `SQLite` knows the state of its transaction, and the
//! driver may assume another one.

use std::ops::{Deref, DerefMut};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

/// Owner of the writing connection. One task at a time leases it.
pub(super) struct WriteConnection {
    options: SqliteConnectOptions,
    idle: Mutex<Option<SqliteConnection>>,
}

/// The leased connection. It stays open only by [`Lease::put_back`]; dropping the lease closes it.
pub(super) struct Lease<'w> {
    idle: MutexGuard<'w, Option<SqliteConnection>>,
    connection: SqliteConnection,
}

impl WriteConnection {
    pub(super) async fn open(
        options: SqliteConnectOptions,
    ) -> Result<WriteConnection, sqlx::Error> {
        let connection = options.connect().await?;

        Ok(WriteConnection {
            options,
            idle: Mutex::new(Some(connection)),
        })
    }

    /// Waits for the connection, and reconnects where the last lease has failed.
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
            // All commits are on disk; a failed close loses nothing.
            let _ = sqlx::Connection::close(connection).await;
        }
    }
}

impl Lease<'_> {
    /// Ends the lease after success: the connection serves the next one.
    pub(super) fn put_back(self) {
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
