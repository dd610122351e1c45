//! Events that a restored backup or a deleted queue lacks.

use crate::support::postgres;
use crate::support::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_restored_backup_or_a_deleted_queue_lacks_are_sent_again() {
    let mut scene = Scene::new().await;
    // Most of the events that ingresses keep are not in the segment they write to.
    scene.cluster.set("JOURNAL__SEGMENT_BYTES", "8192");
    let worker = scene.worker("a").await;
    scene.report().await;
    scene.more().await;
    scene.all_stored().await;
    worker.stop().await;
    back_up(&scene).await;

    let worker = scene.worker("b").await;
    scene.more().await;
    scene.all_stored().await;
    worker.stop().await;

    // The database is lost, and only the backup is left. Later events are in no queue.
    restore(&scene).await;
    let sent = scene.load().sent();
    assert!(scene.cluster.stored().await < sent);
    let worker = scene.worker("c").await;
    scene.more().await;
    assert!(scene.resend().await >= sent);
    scene.all_stored().await;
    worker.stop().await;

    // Queues are deleted in which events wait.
    scene.more().await;
    for ingress in &scene.ingresses {
        ingress
            .until_metric("cordboard_journal_depth_records", |depth| depth == 0)
            .await;
    }
    scene.delete_queues().await;
    let worker = scene.worker("d").await;
    scene.resend().await;
    scene.all_stored().await;

    scene.end(vec![worker]).await;
}

async fn back_up(scene: &Scene) {
    let name = name(scene);

    on_server(scene, format!("CREATE DATABASE backup TEMPLATE {name}")).await;
}

async fn restore(scene: &Scene) {
    let name = name(scene);

    on_server(scene, format!("DROP DATABASE {name}")).await;
    on_server(scene, format!("ALTER DATABASE backup RENAME TO {name}")).await;
}

fn name(scene: &Scene) -> &str {
    scene.cluster.database.rsplit_once('/').unwrap().1
}

/// Executes a statement beside the database of the cluster.
async fn on_server(scene: &Scene, sql: String) {
    postgres::execute(&scene.servers.urls.database, sql).await;
}
