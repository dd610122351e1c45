//! The ledger on `SQLite`: one file, one writer, nothing to install.

mod read;
mod rows;
mod write;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::Mutex;

use crate::port::ledger::LedgerError;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;

/// What `SQLite` answers when the file is damaged, or is no database at all; and when a value is none that may stand there.
const DAMAGED: [i32; 2] = [11, 26];
const NOT_FOR_THIS_TABLE: [i32; 4] = [18, 19, 20, 25];

/// The database file, open.
pub struct SqliteLedger {
    /// The one connection that writes. Statements of two tasks never mix in a transaction.
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
    owner: String,
}

/// A migration, and whether the database has it.
#[derive(Clone, Debug)]
pub struct MigrationStatus {
    pub version: i64,
    pub description: String,
    pub applied: bool,
}

impl SqliteLedger {
    /// Opens the database at a path, making the file if there is none. Migrations are the caller's decision.
    pub async fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
        let options = SqliteConnectOptions::from_str("sqlite::memory:")?;
        let options = options
            .filename(path)
            .in_memory(false)
            .shared_cache(false)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let writer = options.connect().await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options.read_only(true)).await?;
        Ok(SqliteLedger { writer: Mutex::new(writer), readers, owner: uuid::Uuid::now_v7().to_string() })
    }

    /// Brings the database up to date.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        MIGRATIONS.run(&mut *writer).await.map_err(|error| LedgerError::Corrupt(error.to_string()))
    }

    /// Which migrations there are, and which the database has.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, LedgerError> {
        let applied: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&self.readers)
            .await
            .or_else(|error| if is_missing_table(&error) { Ok(Vec::new()) } else { Err(LedgerError::from(error)) })?;
        let up = MIGRATIONS.iter().filter(|migration| !migration.migration_type.is_down_migration());
        Ok(up
            .map(|migration| MigrationStatus {
                version: migration.version,
                description: migration.description.to_string(),
                applied: applied.contains(&migration.version),
            })
            .collect())
    }

    /// What a look through the whole file finds wrong with it.
    pub async fn trouble(&self) -> Result<Option<String>, LedgerError> {
        let told: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.readers).await?;
        Ok((told != "ok").then_some(told))
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(self) {
        self.readers.close().await;
        // Whatever was committed is on disk; a close that fails loses nothing.
        let _closed = sqlx::Connection::close(self.writer.into_inner()).await;
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.message().contains("no such table"))
}

/// Everything `SQLite` says is about the file or the disk, and may pass; except that it holds what cannot be read, or does not take a value.
impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> LedgerError {
        let code = error.as_database_error().and_then(|told| told.code()?.parse::<i32>().ok()).map(|extended| extended & 0xff);
        match (&error, code) {
            (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_), _) => {
                LedgerError::Corrupt(error.to_string())
            }
            (_, Some(code)) if DAMAGED.contains(&code) => LedgerError::Corrupt(error.to_string()),
            (_, Some(code)) if NOT_FOR_THIS_TABLE.contains(&code) => LedgerError::Rejected(error.to_string()),
            _ => LedgerError::Unavailable(error.to_string()),
        }
    }
}
