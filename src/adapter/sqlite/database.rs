//! The open database: its connections, its owner id, and its integrity check.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connection::WriteConnection;
use super::statements;
use crate::port::ledger::LedgerError;

/// How long a statement waits for another process to unlock the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;
const SEARCHES_MAX: usize = 2;
/// Queries of the interfaces that take longer are ended.
const QUERY_MAX: Duration = Duration::from_secs(2);
/// Steps of the database's machine between two looks at the time: far less than a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// The only partition without a broker.
pub(super) const PARTITION: i64 = 0;

/// The open database file.
pub struct SqliteLedger {
    pub(super) writer: WriteConnection,
    pub(super) readers: SqlitePool,
    /// Searches may read every call. They leave connections for other reads.
    pub(super) searches: Semaphore,
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
            owner: uuid::Uuid::now_v7().to_string(),
        })
    }

    /// A connection for one query of an interface, which ends it when it takes too long.
    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, LedgerError> {
        let mut reader = self.readers.acquire().await?;

        let deadline = Instant::now() + QUERY_MAX;
        reader
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < deadline);
        Ok(reader)
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
