//! Migrations of the tables.

use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{ConnectOptions, Connection, Row};

use super::PostgresAddress;
use crate::adapter::sql::{self, MigrationFiles, MigrationStatus, TableStatus, embed_migrations};
use crate::port::ledger::LedgerError;

static FILES: [MigrationFiles; 23] = embed_migrations!(
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
    "0013" "transfer_facts",
    "0014" "desk_waiting",
    "0015" "contacts",
    "0016" "link_makers",
    "0017" "repeats",
    "0018" "desk_changes",
    "0019" "phones",
    "0020" "agent_windows",
    "0021" "desk_causes",
    "0022" "link_changes",
    "0023" "site_rules",
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

/// A partitioned table has the rows and the size of its parts. Rows are as many as the server has
/// counted last.
const SELECT_TABLES: &str = "-- select_tables
    SELECT
        root.relname,
        sum(coalesce(counted.n_live_tup, 0))::bigint,
        sum(pg_total_relation_size(coalesce(part.relid, root.oid)))::bigint
    FROM pg_class AS root
    LEFT JOIN LATERAL pg_partition_tree(root.oid) AS part ON true
    LEFT JOIN pg_stat_all_tables AS counted ON counted.relid = coalesce(part.relid, root.oid)
    WHERE root.relkind IN ('r', 'p')
        AND NOT root.relispartition
        AND root.relnamespace = 'public'::regnamespace
    GROUP BY root.relname
    ORDER BY root.relname";

const SELECT_VERSION: &str = "-- select_version
    SELECT current_setting('server_version')";

/// The version of the server, and its tables.
pub async fn tables(address: &PostgresAddress) -> Result<(String, Vec<TableStatus>), LedgerError> {
    let mut connection = address.named("cordboard migrate").connect().await?;
    let version: String = sqlx::query_scalar(SELECT_VERSION)
        .fetch_one(&mut connection)
        .await?;
    let table = |row: PgRow| TableStatus {
        name: row.get(0),
        rows: row.get(1),
        bytes: Some(row.get(2)),
    };
    let tables = sqlx::query(SELECT_TABLES)
        .map(table)
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;

    Ok((version, tables))
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
