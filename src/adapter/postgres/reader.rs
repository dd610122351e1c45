//! A connection of the shared pool, leased for reads.
//!
//! A lease that ends without [`Reader::release`] closes its connection: an error, a time limit or a
//! caller that went away may have left an answer outstanding, and the next query would take it for
//! its own. The pool opens another connection in its place.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};

use super::SNAPSHOT_PATIENCE;
use super::writer::with_timeout;
use crate::port::ledger::LedgerError;

const HAS_CONNECTION: &str = "a lease holds its connection until it ends";

pub(super) struct Reader {
    connection: Option<PoolConnection<Postgres>>,
    /// The server ends its statements later than the pool's other connections.
    is_slow: bool,
    /// The longest wait for one answer.
    pub time_limit: Duration,
}

impl Reader {
    pub(super) async fn lease(pool: &PgPool, time_limit: Duration) -> Result<Reader, LedgerError> {
        Ok(Reader {
            connection: Some(pool.acquire().await?),
            is_slow: false,
            time_limit,
        })
    }

    /// Leases a connection for reads of a whole history.
    pub(super) async fn lease_slow(pool: &PgPool) -> Result<Reader, LedgerError> {
        let mut reader = Reader::lease(pool, SNAPSHOT_PATIENCE).await?;
        let raise = sqlx::query("SET statement_timeout = '10min'").execute(&mut *reader);
        with_timeout(SNAPSHOT_PATIENCE, raise).await?;
        reader.is_slow = true;

        Ok(reader)
    }

    /// Returns the connection to the pool, with the pool's settings.
    pub(super) async fn release(mut self) -> Result<(), LedgerError> {
        if self.is_slow {
            let reset = sqlx::query("SET statement_timeout = '2s'").execute(&mut *self);
            with_timeout(SNAPSHOT_PATIENCE, reset).await?;
        }
        drop(self.connection.take());

        Ok(())
    }
}

impl Deref for Reader {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(HAS_CONNECTION)
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(HAS_CONNECTION)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // A pool connection dropped in the middle of an answer is returned to its pool by a
            // task that waits for the server, and a silent server then holds the slot for ever.
            drop(connection.detach());
        }
    }
}
