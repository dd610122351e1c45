//! Connections of the shared pool, leased for reads.
//!
//! A lease that ends without [`Reader::put_back`] closes its connection: an error, a time limit or a
//! caller that went away may have left an answer outstanding, and the next query would take it for
//! its own. The pool opens another connection in its place.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};

use super::time_limits::{HISTORY_LIMIT, with_timeout};
use crate::port::ledger::LedgerError;

const RAISE_STATEMENT_TIMEOUT: &str = "SET statement_timeout = '10min'";
/// Back to the setting of the pool.
const RESET_STATEMENT_TIMEOUT: &str = "SET statement_timeout = '2s'";

const HAS_CONNECTION: &str = "a lease holds its connection until it ends";

pub(super) struct Reader {
    connection: Option<PoolConnection<Postgres>>,
    /// Whether the statement timeout is raised above that of the pool.
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

    /// Leases a connection with time limits for reads of a whole history.
    pub(super) async fn lease_slow(pool: &PgPool) -> Result<Reader, LedgerError> {
        let mut reader = Reader::lease(pool, HISTORY_LIMIT).await?;
        let raise = sqlx::query(RAISE_STATEMENT_TIMEOUT).execute(&mut *reader);
        with_timeout(HISTORY_LIMIT, raise).await?;
        reader.is_slow = true;

        Ok(reader)
    }

    /// Returns the connection to the pool, with the pool's settings.
    pub(super) async fn put_back(mut self) -> Result<(), LedgerError> {
        if self.is_slow {
            let reset = sqlx::query(RESET_STATEMENT_TIMEOUT).execute(&mut *self);
            with_timeout(HISTORY_LIMIT, reset).await?;
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
            // sqlx returns a dropped connection to its pool in a task that first awaits the rest of
            // the answer: a silent server would occupy the slot of the pool for ever.
            drop(connection.detach());
        }
    }
}
