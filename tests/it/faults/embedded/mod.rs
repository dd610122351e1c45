//! Faults around the embedded service: a database that is locked or damaged, a journal without
//! room, unreadable settings, signals, kills. No test here needs a server.

mod database;
mod doctor;
mod journal;
mod kills;
mod log;
mod process;
mod restarts;
mod restore;
mod settings;
mod world;

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::support::service::Service;

/// Another program that holds the write lock of the database.
struct WriteLock(SqliteConnection);

impl WriteLock {
    async fn take(data: &Path) -> WriteLock {
        let options = SqliteConnectOptions::new().filename(data.join("cordboard.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .unwrap();

        WriteLock(connection)
    }

    async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// A folder in which the service has run before, and stored one event.
async fn used() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;

    service
        .send("/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111000&c=old")
        .await
        .unwrap();
    service.stop().await;

    data
}
