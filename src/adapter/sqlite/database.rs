//! The open database: its connections, its owner id, and its integrity check.

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::connection::WriteConnection;
use super::statements;
use crate::port::ledger::LedgerError;

/// How long a statement waits for another process to unlock the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;
const SEARCHES_MAX: usize = 2;
/// Queries of the interfaces that take longer are ended.
const QUERY_MAX: Duration = Duration::from_secs(2);
/// A query that may read every call is a search from here on. Most take far less.
const QUICK_QUERY_MAX: Duration = Duration::from_millis(100);
/// A request waits no longer than this for a connection.
const READER_WAIT_MAX: Duration = Duration::from_secs(3);
/// Steps of the database's machine between two looks at the time: far less than a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// The only partition without a broker.
pub(super) const PARTITION: i64 = 0;

/// The result of a search.
pub(super) type Found<'r, T> = BoxFuture<'r, Result<T, sqlx::Error>>;

/// The open database file.
pub struct SqliteLedger {
    pub(super) writer: WriteConnection,
    pub(super) readers: SqlitePool,
    /// Searches read very many calls. They leave connections for other reads.
    pub(super) searches: Semaphore,
    /// Reads of the desk are long too, and come one after the other.
    desk: Semaphore,
    /// Id of this process in the fence of the partition.
    pub(super) owner: String,
}

impl SqliteLedger {
    /// Opens the database at a path, or creates it. Migrations are the caller's decision.
    pub async fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
        let options = options(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX);

        SqliteLedger::connect(options, readers).await
    }

    /// Opens an existing database for reads of one moment's state, whatever is written meanwhile.
    pub async fn open_snapshot(path: &Path) -> Result<SqliteLedger, LedgerError> {
        // One connection in one transaction that never ends: all reads see the same state.
        let readers = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::query("BEGIN").execute(connection).await.map(|_| ()) })
            });

        SqliteLedger::connect(options(path), readers).await
    }

    async fn connect(
        options: SqliteConnectOptions,
        readers: SqlitePoolOptions,
    ) -> Result<SqliteLedger, LedgerError> {
        let readers = readers.acquire_timeout(READER_WAIT_MAX);
        let writing = options
            .clone()
            .pragma("cache_size", WRITER_CACHE)
            .pragma("wal_autocheckpoint", WAL_PAGES);
        let writer = WriteConnection::open(writing).await?;
        // The time of the query before must not end another one.
        let readers = readers.before_acquire(|connection, _| {
            Box::pin(async move {
                connection.lock_handle().await?.remove_progress_handler();
                Ok(true)
            })
        });
        let readers = readers.connect_with(options.read_only(true)).await?;

        Ok(SqliteLedger {
            writer,
            readers,
            searches: Semaphore::new(SEARCHES_MAX),
            desk: Semaphore::new(1),
            owner: uuid::Uuid::now_v7().to_string(),
        })
    }

    /// A connection for one query of an interface, which ends it when it takes too long.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, LedgerError> {
        Ok(self.reader_for(QUERY_MAX).await?)
    }

    async fn reader_for(&self, time_max: Duration) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        let mut reader = self.readers.acquire().await?;

        let deadline = Instant::now() + time_max;
        reader
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < deadline);
        Ok(reader)
    }

    /// Runs a query that may read every call. One that is not quick is a search: it begins again when
    /// few others run, so that many searches at once hold up no other request, and each other no longer
    /// than it may take itself.
    pub(super) async fn search<A: Sync, T>(
        &self,
        arguments: &A,
        query: for<'r> fn(&'r mut SqliteConnection, &'r A) -> Found<'r, T>,
    ) -> Result<T, LedgerError> {
        let mut reader = self.reader_for(QUICK_QUERY_MAX).await?;
        match query(&mut reader, arguments).await {
            Err(error) if was_ended(&error) => drop(reader),
            found => return Ok(found?),
        }

        let permit = turn(&self.searches, QUERY_MAX).await?;
        let found = query(&mut *self.reader().await?, arguments).await;
        drop(permit);

        Ok(found?)
    }

    /// Waits until no other request reads the desk.
    pub(super) async fn desk_turn(&self) -> Result<SemaphorePermit<'_>, LedgerError> {
        turn(&self.desk, READER_WAIT_MAX).await
    }

    /// Checks the whole file, and whether it can be written. Returns the first damage found.
    pub async fn find_damage(&self) -> Result<Option<String>, LedgerError> {
        let finding: String = sqlx::query_scalar(statements::QUICK_CHECK)
            .fetch_one(&self.readers)
            .await?;
        if finding != "ok" {
            return Ok(Some(finding));
        }

        let mut writer = self.writer.lease().await?;
        writer
            .begin_with("BEGIN IMMEDIATE")
            .await?
            .rollback()
            .await?;
        writer.put_back();

        Ok(None)
    }

    /// Waits for running statements and closes the file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Waits for a turn among requests that take long.
async fn turn(turns: &Semaphore, wait_max: Duration) -> Result<SemaphorePermit<'_>, LedgerError> {
    match timeout(wait_max, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(LedgerError::Unavailable(
            "too many requests that take long are under way; ask for a shorter time, or later"
                .into(),
        )),
    }
}

/// Whether a query was ended because of its time.
fn was_ended(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);

    code.is_some_and(|code| code == INTERRUPTED)
}

/// `SQLITE_INTERRUPT`.
const INTERRUPTED: &str = "9";
/// In KiB where negative. The pages of a batch of a thousand events stay in memory until it is
/// committed.
const WRITER_CACHE: &str = "-16384";
/// The log is written back in stretches of 16 MiB: most pages change several times until then.
const WAL_PAGES: &str = "4096";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
