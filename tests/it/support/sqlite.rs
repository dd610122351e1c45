//! SQLite databases of tests: opened as the service opens them, and behind its back.

use std::path::Path;

use cordboard::adapter::sqlite::SqliteLedger;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::service::run;

/// A new ledger in a folder.
pub async fn open(folder: &Path) -> SqliteLedger {
    let ledger = SqliteLedger::open(&folder.join("test.db")).await.unwrap();
    ledger.migrate().await.unwrap();

    ledger
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
