//! Faults of a database under load.

use sqlx::{Connection, PgConnection};

use crate::support::proxy::{Proxy, server_of};
use crate::support::scene::Scene;
use crate::support::service::Service;

const TERMINATE: &str = "
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE application_name LIKE 'cordboard%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_locks_or_ends_our_connections_changes_no_record() {
    let mut scene = Scene::new().await;
    let direct = scene.cluster.database.clone();
    let proxy = Proxy::to(server_of(&direct)).await;
    scene.cluster.set("DATABASE__URL", &proxy.url(&direct));
    let workers = vec![scene.worker("a").await, scene.worker("b").await];
    scene.cluster.set("DATABASE__URL", &direct);
    scene.report().await;
    scene.more().await;

    crash(&mut scene, &workers[0]).await;
    fill_disk(&mut scene, &workers[0]).await;

    // An upgrade may find the tables in use.
    scene.cluster.output_of(&["migrate"]).await;
    scene.more().await;

    end_connections(&scene, &proxy).await;
    fall_silent(&scene, &proxy, &workers[0]).await;
    lock_table(&scene, &workers[0]).await;
    refuse_writes(&scene).await;

    scene.end(workers).await;
}

async fn crash(scene: &mut Scene, worker: &Service) {
    for _ in 0..2 {
        scene.servers.order("kill postgres").await;
        scene.more().await;
        worker.until_part("database", false).await;

        scene.servers.order("start postgres").await;
        worker.until_part("database", true).await;
        scene.more().await;
    }
}

/// The server cannot write its log, and ends; that is not taken for a fault of messages.
async fn fill_disk(scene: &mut Scene, worker: &Service) {
    scene.servers.order("full postgres").await;
    scene.more().await;
    worker.until_part("database", false).await;

    scene.servers.order("kill postgres").await;
    scene.servers.order("start postgres").await;
    worker.until_part("database", true).await;
}

/// Connections end at any moment: the result of a commit is unknown.
async fn end_connections(scene: &Scene, proxy: &Proxy) {
    for _ in 0..40 {
        scene.load().more(7).await;
        proxy.cut();
    }

    // The server ends them itself.
    scene.execute(TERMINATE).await;
    scene.more().await;
}

async fn fall_silent(scene: &Scene, proxy: &Proxy, worker: &Service) {
    proxy.lose_everything();
    scene.more().await;
    worker.until_part("database", false).await;

    proxy.restore();
    worker.until_part("database", true).await;
}

/// Statements wait for a table, time out, and are repeated.
async fn lock_table(scene: &Scene, worker: &Service) {
    let mut locker = PgConnection::connect(&scene.cluster.database)
        .await
        .unwrap();
    let mut lock = locker.begin().await.unwrap();
    sqlx::query("LOCK TABLE call_logs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();

    scene.more().await;
    worker.until_part("database", false).await;

    lock.rollback().await.unwrap();
}

/// New transactions are read-only for a while.
async fn refuse_writes(scene: &Scene) {
    scene
        .execute("ALTER ROLE postgres SET default_transaction_read_only = on")
        .await;
    scene.execute(TERMINATE).await;
    scene.more().await;

    let mut connection = PgConnection::connect(&scene.cluster.database)
        .await
        .unwrap();
    for sql in [
        "SET default_transaction_read_only = off",
        "ALTER ROLE postgres RESET default_transaction_read_only",
        TERMINATE,
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
}
