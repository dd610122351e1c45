//! Faults of workers under load.

use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use crate::support::wait::{PATIENCE, eventually};

/// Grows by one with every partition that is taken over.
const EPOCHS: &str = "SELECT sum(epoch)::bigint FROM partition_owner";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_restarted_or_frozen_change_no_record() {
    let mut scene = Scene::new().await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(scene.worker(name).await);
    }
    scene.report().await;
    scene.more().await;

    // Killed at any moment, and restarted in turn, while events come in.
    for round in 0..6 {
        let worker = workers.remove(0);
        if round % 2 == 0 {
            worker.kill().await;
        } else {
            worker.stop().await;
        }
        scene.more().await;
        workers.push(scene.worker(&format!("next-{round}")).await);
    }

    // Frozen while they own partitions, until others have taken them over; then they go on.
    workers[0].freeze();
    workers[1].freeze();
    let before = scene.cluster.count(EPOCHS).await;
    eventually(PATIENCE, "partitions that are taken over", async || {
        scene.more().await;
        match scene.cluster.count(EPOCHS).await {
            same if same == before => Err(format!("epochs are still {before}")),
            _ => Ok(()),
        }
    })
    .await;
    workers[0].thaw();
    workers[1].thaw();
    scene.more().await;

    scene.end(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_cut_off_from_the_broker_and_go_on_change_no_record() {
    let mut scene = Scene::new().await;
    let mut workers = Vec::new();
    let mut proxies = Vec::new();
    for name in ["a", "b"] {
        let (worker, proxy) = scene.start_behind_proxy(name, "worker").await;
        workers.push(worker);
        proxies.push(proxy);
    }
    scene.report().await;
    scene.more().await;

    // Bytes are lost both ways; then only one way, and only the other. All workers reach the
    // database all the time, and the one that is cut off may have a batch under way.
    for (cut_off, lose) in [
        (0, Proxy::lose_everything as fn(&Proxy)),
        (1, Proxy::lose_requests),
        (0, Proxy::lose_answers),
    ] {
        let worker = &workers[cut_off];
        let proxy = &proxies[cut_off];
        for worker in &workers {
            worker
                .until_metric("cordboard_worker_partitions", |owned| owned == 2)
                .await;
        }
        let before = scene.cluster.count(EPOCHS).await;

        lose(proxy);
        scene.more().await;
        worker.until_part("consumer", false).await;

        // Every event is stored by the worker that received it, also where the broker does not
        // receive its acknowledgement; and then the other worker owns the partitions.
        scene.all_stored().await;
        let taken_over = "the partitions of the worker that is cut off";
        scene
            .cluster
            .until_count(taken_over, EPOCHS, |epochs| epochs >= before + 2)
            .await;

        proxy.restore();
        scene.more().await;
        worker.until_part("consumer", true).await;
    }

    scene.end(workers).await;
}
