//! Migrations of the tables.

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{ConnectOptions, Connection};

use super::PostgresAddress;
use crate::adapter::sql::{self, MigrationFiles, MigrationStatus, embed_migrations};
use crate::port::ledger::LedgerError;

static FILES: [MigrationFiles; 12] = embed_migrations!(
    "postgres":
    "0001" "initial",
    "0002" "redelivery_attempts",
    "0003" "accounts",
    "0004" "desk",
    "0005" "directory",
    "0006" "webhooks",
    "0007" "pauses",
    "0008" "programs",
    "0009" "transfers",
    "0010" "senders",
    "0011" "webhook_order",
    "0012" "outdated_states",
);

/// Migrations of a later version are accepted: they only add to the tables as long as this version
/// may run beside that one.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sql::migrator(&FILES);
    migrator.set_ignore_missing(true);

    migrator
});

const FIND_MIGRATIONS_TABLE: &str = "-- find_migrations_table
    SELECT to_regclass('_sqlx_migrations')::text";
const SELECT_APPLIED_MIGRATIONS: &str = "-- select_applied_migrations
    SELECT version
    FROM _sqlx_migrations
    WHERE success
    ORDER BY version";

/// Applies all pending migrations. Needs the role that owns the tables.
pub async fn migrate(address: &PostgresAddress) -> Result<(), LedgerError> {
    // A migration gives up a lock that it cannot get soon, so that workers never queue behind it;
    // the operator runs it again.
    let mut connection = address
        .named("cordboard migrate")
        .options([("lock_timeout", "2s")])
        .connect()
        .await?;

    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => LedgerError::Corrupt(other.into()),
        })?;
    connection.close().await?;

    Ok(())
}

/// Lists the migrations of this version, each with its state in the database.
pub async fn migrations(address: &PostgresAddress) -> Result<Vec<MigrationStatus>, LedgerError> {
    let mut connection = address.named("cordboard migrate").connect().await?;
    let table: Option<String> = sqlx::query_scalar(FIND_MIGRATIONS_TABLE)
        .fetch_one(&mut connection)
        .await?;
    let applied: Vec<i64> = match table {
        None => Vec::new(),
        Some(_) => {
            sqlx::query_scalar(SELECT_APPLIED_MIGRATIONS)
                .fetch_all(&mut connection)
                .await?
        }
    };
    connection.close().await?;

    Ok(sql::status(&MIGRATIONS, &applied))
}
