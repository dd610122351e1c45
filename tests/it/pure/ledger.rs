//! The ledger on SQLite: the laws of the port, and its migrations.

use cordboard::adapter::sqlite::SqliteLedger;
use tempfile::TempDir;

use crate::ledger::{Store, conformance};
use crate::support::sqlite::{open, pool};

conformance!(Sqlite);

/// A folder with one database file.
struct Sqlite(TempDir);

impl Sqlite {
    async fn lines<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let pool = pool(&self.0.path().join("test.db")).await;

        sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
    }
}

impl Store for Sqlite {
    type Ledger = SqliteLedger;

    async fn new() -> Sqlite {
        Sqlite(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> SqliteLedger {
        open(self.0.path()).await
    }

    async fn dead_messages(&self) -> Vec<Vec<u8>> {
        self.lines("SELECT message FROM dead_events").await
    }

    async fn rows(&self) -> Vec<String> {
        let sql = "
            SELECT json_array(
                'participant', call_id, place, extension, device, role,
                rang_at, answered_at, left_at, outcome
            ) AS line
            FROM call_participants
            UNION ALL
            SELECT json_array('link', call_id, linked_call_id, kind, confidence, reason)
            FROM call_links
            UNION ALL
            SELECT json_array('missed', call_id, extensions, missed_at)
            FROM missed_call_logs
            WHERE NOT retracted
            UNION ALL
            SELECT json_array(
                'stats', site, minute, direction, calls, answered, missed, ring_us, talk_us
            )
            FROM call_stats
            UNION ALL
            SELECT json_array(
                'state', call_id, site, direction, status, from_number, to_number, ended_at
            )
            FROM live_states
            ORDER BY line";

        self.lines(sql).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_lists_missing_migrations_and_migrating_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let ledger = SqliteLedger::open(&file).await.unwrap();

    let before = ledger.migrations().await.unwrap();
    assert!(before.iter().all(|migration| !migration.applied));

    ledger.migrate().await.unwrap();
    ledger.migrate().await.unwrap();

    let after = ledger.migrations().await.unwrap();
    assert!(!after.is_empty() && after.iter().all(|migration| migration.applied));
}
