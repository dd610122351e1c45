//! An upgrade of the tables under load, and the way back.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::http;
use crate::support::scene::Scene;
use crate::support::wait::{PATIENCE, eventually};

const TABLES: &str = "
SELECT relname::text
FROM pg_class
WHERE relnamespace = 'public'::regnamespace
  AND relkind IN ('r', 'p')
  AND NOT relispartition
  AND relname NOT IN ('_sqlx_migrations', 'commit_audit')";

/// The next version leaves a record of its migration.
const MIGRATION: &str = "
INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
VALUES (20990101000000, 'next', true, '', 0)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_version_goes_on_and_starts_on_the_tables_of_the_next() {
    let mut scene = Scene::new().await;
    let before = scene.worker("a").await;
    scene.report().await;
    scene.more().await;

    scene.load().allow(10_000);
    upgrade(&scene.cluster.database).await;
    scene.more().await;
    scene.all_stored().await;

    // A version that is rolled back finds the tables as the next version left them.
    before.stop().await;
    let worker = scene.worker("b").await;
    let gateway = scene.cluster.start("gateway", "gateway").await;
    scene.more().await;
    let (status, body) = http::get(gateway.gateway, "/api/v1/calls?limit=200").await;
    assert_eq!(status, 200, "{body}");
    scene.cluster.output_of(&["migrate"]).await;

    scene.end(vec![worker, gateway]).await;
}

/// Adds a column to each table, as soon as it can be locked.
async fn upgrade(database: &str) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    sqlx::query("SET lock_timeout = '100ms'")
        .execute(&mut connection)
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(tables.len() > 10, "{tables:?}");

    for table in tables {
        let sql = format!("ALTER TABLE {table} ADD COLUMN of_the_next_version text DEFAULT 'x'");
        eventually(PATIENCE, &sql, async || {
            let altered = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut connection);
            altered.await.map_err(|error| error.to_string())
        })
        .await;
    }

    sqlx::query(MIGRATION)
        .execute(&mut connection)
        .await
        .unwrap();
}
