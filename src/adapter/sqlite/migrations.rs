//! Migrations of the `SQLite` tables.

use std::sync::LazyLock;

use sqlx::AssertSqlSafe;
use sqlx::migrate::{MigrateError, Migrator};

use super::database::SqliteLedger;
use super::statements;
use crate::adapter::sql::{self, MigrationFiles, MigrationStatus, TableStatus, embed_migrations};
use crate::port::ledger::LedgerError;

static FILES: [MigrationFiles; 27] = embed_migrations!(
    "sqlite":
    "0001" "initial",
    "0002" "notices",
    "0003" "stats_by_minute",
    "0004" "several_ingresses",
    "0005" "redelivery_attempts",
    "0006" "accounts",
    "0007" "desk",
    "0008" "directory",
    "0009" "webhooks",
    "0010" "pauses",
    "0011" "programs",
    "0012" "transfers",
    "0013" "senders",
    "0014" "webhook_order",
    "0015" "outdated_states",
    "0016" "pages",
    "0017" "transfer_facts",
    "0018" "desk_waiting",
    "0019" "contacts",
    "0020" "link_makers",
    "0021" "repeats",
    "0022" "desk_changes",
    "0023" "phones",
    "0024" "agent_windows",
    "0025" "desk_causes",
    "0026" "link_changes",
    "0027" "site_rules",
);

const SELECT_VERSION: &str = "\
-- select_version
SELECT sqlite_version(), page_count * page_size
FROM pragma_page_count, pragma_page_size";

const SELECT_TABLES: &str = "\
-- select_tables
SELECT name
FROM sqlite_master
WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
ORDER BY name";

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| sql::migrator(&FILES));

impl SqliteLedger {
    /// Applies all pending migrations.
    pub async fn migrate(&self) -> Result<(), LedgerError> {
        let mut writer = self.writer.lease().await?;

        MIGRATIONS
            .run(&mut *writer)
            .await
            .map_err(|error| match error {
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                    error.into()
                }
                other => LedgerError::Corrupt(other.into()),
            })?;
        writer.put_back();

        Ok(())
    }

    /// The version of the library, the size of the file, and its tables.
    pub async fn tables(&self) -> Result<(String, i64, Vec<TableStatus>), LedgerError> {
        let (version, bytes) = sqlx::query_as(SELECT_VERSION)
            .fetch_one(&self.readers)
            .await?;
        let names: Vec<String> = sqlx::query_scalar(SELECT_TABLES)
            .fetch_all(&self.readers)
            .await?;

        let mut tables = Vec::new();
        for name in names {
            // The names are those of the migrations.
            let count = AssertSqlSafe(format!("SELECT count(*) FROM \"{name}\""));
            let rows = sqlx::query_scalar(count).fetch_one(&self.readers).await?;
            tables.push(TableStatus {
                name,
                rows,
                bytes: None,
            });
        }
        Ok((version, bytes, tables))
    }

    /// Lists the migrations of this version, with those that the database has.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, LedgerError> {
        let applied: Vec<i64> = sqlx::query_scalar(statements::SELECT_APPLIED_MIGRATIONS)
            .fetch_all(&self.readers)
            .await
            .or_else(|error| {
                if is_missing_table(&error) {
                    Ok(Vec::new())
                } else {
                    Err(LedgerError::from(error))
                }
            })?;

        Ok(SqliteLedger::migration_status(&applied))
    }

    /// Lists the migrations of this version and marks the applied ones.
    #[must_use]
    pub fn migration_status(applied: &[i64]) -> Vec<MigrationStatus> {
        sql::status(&MIGRATIONS, applied)
    }

    /// Whether a newer version of this program has changed the tables.
    pub async fn has_newer_schema(&self) -> Result<bool, LedgerError> {
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        let applied: Option<i64> = sqlx::query_scalar(statements::SELECT_NEWEST_MIGRATION)
            .fetch_one(&self.readers)
            .await
            .or_else(|error| {
                if is_missing_table(&error) {
                    Ok(None)
                } else {
                    Err(LedgerError::from(error))
                }
            })?;

        Ok(applied > newest)
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.message().contains("no such table"))
}
