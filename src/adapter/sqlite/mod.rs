//! The ledger on `SQLite`: one file, one writer, nothing to install.

mod dead_letters;
mod read;
mod rows;
mod states;
mod write;
mod writer;

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::sql::MigrationStatus;
use crate::port::ledger::LedgerError;
use writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;

/// What `SQLite` answers when the file is damaged, or is no database at all; and when a value is
/// none that may stand there.
const DAMAGED: [i32; 2] = [11, 26];
const NOT_FOR_THIS_TABLE: [i32; 4] = [18, 19, 20, 25];

/// The database file, open.
pub struct SqliteLedger {
    writer: Writer,
    readers: SqlitePool,
    owner: String,
}

impl SqliteLedger {
    /// Opens the database at a path, making the file if there is none. Migrations are the caller's
    /// decision.
    pub async fn open(path: &Path) -> Result<SqliteLedger, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let writer = Writer::open(options.clone()).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.read_only(true))
            .await?;
        Ok(SqliteLedger {
            writer,
            readers,
            owner: uuid::Uuid::now_v7().to_string(),
        })
    }

    /// Opens a database that exists, to be read as it stands at one moment, whatever is written
    /// meanwhile.
    pub async fn open_snapshot(path: &Path) -> Result<SqliteLedger, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let writer = Writer::open(options.clone()).await?;
        // One connection, in one transaction that never ends: everything is read from the same
        // moment.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::query("BEGIN").execute(connection).await.map(|_| ()) })
            });
        let readers = pool.connect_with(options.read_only(true)).await?;
        Ok(SqliteLedger {
            writer,
            readers,
            owner: uuid::Uuid::now_v7().to_string(),
        })
    }

    /// Brings the database up to date.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;
        MIGRATIONS
            .run(&mut *writer)
            .await
            .map_err(|error| match error {
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                    error.into()
                }
                other => LedgerError::Corrupt(other.to_string()),
            })?;
        writer.give_back();
        Ok(())
    }

    /// Which migrations there are, and which the database has.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, LedgerError> {
        let applied: Vec<i64> = sqlx::query_scalar(
            "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version",
        )
        .fetch_all(&self.readers)
        .await
        .or_else(|error| {
            if is_missing_table(&error) {
                Ok(Vec::new())
            } else {
                Err(LedgerError::from(error))
            }
        })?;
        Ok(SqliteLedger::all_migrations(&applied))
    }

    /// The migrations there are, with those that a database has.
    #[must_use]
    pub fn all_migrations(applied: &[i64]) -> Vec<MigrationStatus> {
        let up = MIGRATIONS
            .iter()
            .filter(|migration| !migration.migration_type.is_down_migration());
        up.map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect()
    }

    /// What a look through the whole file finds wrong with it, and whether it takes writes.
    pub async fn trouble(&self) -> Result<Option<String>, LedgerError> {
        let told: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&self.readers)
            .await?;
        if told != "ok" {
            return Ok(Some(told));
        }
        let mut writer = self.writer.lease().await?;
        writer
            .begin_with("BEGIN IMMEDIATE")
            .await?
            .rollback()
            .await?;
        writer.give_back();
        Ok(None)
    }

    /// Whether a newer version of this program has changed the tables.
    pub async fn is_from_the_future(&self) -> Result<bool, LedgerError> {
        let ours = MIGRATIONS.iter().map(|migration| migration.version).max();
        let theirs: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&self.readers)
            .await
            .or_else(|error| {
                if is_missing_table(&error) {
                    Ok(None)
                } else {
                    Err(LedgerError::from(error))
                }
            })?;
        Ok(theirs > ours)
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.message().contains("no such table"))
}

/// Everything `SQLite` says is about the file or the disk, and may pass; except that it holds what
/// cannot be read, or does not take a value.
pub(super) fn classify(error: &SqliteError) -> LedgerError {
    match error
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .map(|extended| extended & 0xff)
    {
        Some(code) if DAMAGED.contains(&code) => LedgerError::Corrupt(error.to_string()),
        Some(code) if NOT_FOR_THIS_TABLE.contains(&code) => {
            LedgerError::Rejected(error.to_string())
        }
        _ => LedgerError::Unavailable(error.to_string()),
    }
}
