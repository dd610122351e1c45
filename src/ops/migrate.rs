//! Database migrations.

use crate::adapter::postgres;
use crate::adapter::sql::MigrationStatus;
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;
use crate::setup::{DatabaseAddress, SetupError, database, open_ledger_of};

/// Applies all migrations, or with `only_status` none, and returns the status of each.
///
/// # Errors
/// When the database cannot be opened or changed.
pub async fn migrate(
    settings: &Settings,
    only_status: bool,
) -> Result<Vec<MigrationStatus>, SetupError> {
    let path = match database(settings)? {
        DatabaseAddress::File(path) => path,
        DatabaseAddress::Server(address) => {
            if !only_status {
                postgres::migrate(&address).await?;
            }
            return Ok(postgres::migrations(&address).await?);
        }
    };

    if only_status && !path.exists() {
        return Ok(SqliteLedger::migration_status(&[]));
    }

    let ledger = open_ledger_of(settings, &path).await?;
    if !only_status {
        ledger.migrate().await?;
    }
    let status = ledger.migrations().await?;
    ledger.close().await;

    Ok(status)
}
