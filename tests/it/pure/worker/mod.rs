//! The worker over a real ledger. Restarts at any batch, repeated, late and unreadable messages,
//! and a failing database end in the records that a fold of all messages at once gives.

mod failures;
mod hostile;
mod late;
mod rejected;
mod restarts;

use std::sync::Arc;

use cordboard::adapter::sqlite::SqliteLedger;
use tempfile::TempDir;

use crate::support::sqlite;

/// A new ledger, and the folder that holds it.
async fn new_ledger() -> (TempDir, Arc<SqliteLedger>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite::open(folder.path()).await;

    (folder, Arc::new(ledger))
}
