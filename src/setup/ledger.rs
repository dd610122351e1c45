//! Opening the embedded ledger.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::SetupError;
use crate::adapter::sqlite::SqliteLedger;
use crate::config::Settings;

/// The data folder is readable by the service's user alone.
const DATA_FOLDER_MODE: u32 = 0o700;

/// The ledger of a file.
pub async fn open_ledger_of(settings: &Settings, path: &Path) -> Result<SqliteLedger, SetupError> {
    create_data_folder(settings)?;

    Ok(SqliteLedger::open(path).await?)
}

pub(super) fn create_data_folder(settings: &Settings) -> Result<(), SetupError> {
    let path = &settings.data_dir;
    let created = DirBuilder::new()
        .recursive(true)
        .mode(DATA_FOLDER_MODE)
        .create(path);

    created.map_err(|source| SetupError::Folder {
        path: path.clone(),
        source,
    })
}
