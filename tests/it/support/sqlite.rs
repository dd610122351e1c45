//! SQLite databases of tests: opened as the service opens them, and behind its back.

use std::path::Path;

use cordboard::adapter::sqlite::SqliteLedger;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::service::run;

/// A database with all migrations. To copy it is cheaper than to apply them for each test.
static EMPTY: OnceCell<Vec<u8>> = OnceCell::const_new();

/// A new ledger in a folder.
pub async fn open(folder: &Path) -> SqliteLedger {
    let file = folder.join("test.db");
    if !file.exists() {
        std::fs::write(&file, EMPTY.get_or_init(migrated).await).unwrap();
    }
    let ledger = SqliteLedger::open(&file).await.unwrap();
    ledger.migrate().await.unwrap();

    ledger
}

async fn migrated() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let [file, copy] = ["migrated.db", "copy.db"].map(|name| folder.path().join(name));

    let ledger = SqliteLedger::open(&file).await.unwrap();
    ledger.migrate().await.unwrap();
    // The file alone lacks what its log still holds.
    sqlx::query("VACUUM INTO ?")
        .bind(copy.to_str().unwrap())
        .execute(&pool(&file).await)
        .await
        .unwrap();

    std::fs::read(copy).unwrap()
}

/// The file itself, as any other program opens it.
pub async fn pool(file: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(file);

    SqlitePool::connect_with(options).await.unwrap()
}

/// The ids of all stored events of a service.
pub async fn stored_events(data: &Path) -> Vec<String> {
    sqlx::query_scalar("SELECT event_id FROM call_events")
        .fetch_all(&pool(&data.join("cordboard.db")).await)
        .await
        .unwrap()
}

/// Writes into the database of a service behind its back.
pub async fn write(data: &Path, sql: &'static str) {
    sqlx::query(sql)
        .execute(&pool(&data.join("cordboard.db")).await)
        .await
        .unwrap();
}

/// Asserts that the stored records are what their facts say.
pub async fn assert_no_difference(data: &Path) {
    let output = run(data, &["rebuild", "--diff"]).await;

    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned()
        ),
        (Some(0), String::new()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
