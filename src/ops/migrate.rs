//! Database migrations, and the state of a database.

use crate::adapter::postgres;
use crate::adapter::sql::{MigrationStatus, TableStatus};
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::setup::{DatabaseAddress, SetupError, database, open_ledger_of};

/// The state of a database.
pub struct DatabaseStatus {
    pub migrations: Vec<MigrationStatus>,
    pub tables: Vec<TableStatus>,
    /// Kind and version; `None` where there is no database yet.
    pub server: Option<String>,
    pub bytes: i64,
    /// The first damage found.
    pub damage: Option<String>,
}

/// Applies all migrations, and returns the status of each.
///
/// # Errors
/// When the database cannot be opened or changed.
pub async fn migrate(settings: &Settings) -> Result<Vec<MigrationStatus>, SetupError> {
    match database(settings)? {
        DatabaseAddress::Server(address) => {
            postgres::migrate(&address).await?;
            Ok(postgres::migrations(&address).await?)
        }
        DatabaseAddress::File(path) => {
            let ledger = open_ledger_of(settings, &path).await?;
            ledger.migrate().await?;
            let migrations = ledger.migrations().await?;
            ledger.close().await;
            Ok(migrations)
        }
    }
}

/// Looks at the database and changes nothing.
///
/// # Errors
/// When the database cannot be opened.
pub async fn database_status(settings: &Settings) -> Result<DatabaseStatus, SetupError> {
    let path = match database(settings)? {
        DatabaseAddress::Server(address) => {
            let migrations = postgres::migrations(&address).await?;
            let (version, tables) = postgres::tables(&address).await?;
            return Ok(DatabaseStatus {
                migrations,
                server: Some(format!("PostgreSQL {version}")),
                bytes: tables.iter().filter_map(|table| table.bytes).sum(),
                tables,
                damage: None,
            });
        }
        DatabaseAddress::File(path) => path,
    };
    if !path.exists() {
        return Ok(DatabaseStatus {
            migrations: SqliteLedger::migration_status(&[]),
            tables: Vec::new(),
            server: None,
            bytes: 0,
            damage: None,
        });
    }

    let ledger = open_ledger_of(settings, &path).await?;
    let (version, bytes, tables) = ledger.tables().await?;
    let status = DatabaseStatus {
        migrations: ledger.migrations().await?,
        tables,
        server: Some(format!("SQLite {version}")),
        bytes,
        damage: ledger.find_damage().await?,
    };
    ledger.close().await;
    Ok(status)
}
