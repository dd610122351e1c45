//! Faults of nodes of a broker cluster under load.

use std::time::Duration;

use serde_json::json;

use crate::support::rabbit::{self, vhost_of};
use crate::support::scene::{PARTITIONS, Scene};
use crate::support::wait::eventually;

const SERVERS: [&str; 5] = ["rabbitmq", "rabbitmq2", "rabbitmq3", "redis", "postgres"];
/// Nodes restart and elect leaders within this, on a small machine that other tests keep busy.
const RECOVERY: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_nodes_or_its_majority_or_is_parted_costs_nothing() {
    let mut scene = Scene::on(&SERVERS).await;
    scene.cluster.patience = RECOVERY;
    let workers = vec![scene.worker("a").await, scene.worker("b").await];
    scene.report().await;
    scene.more().await;

    lose_one_node(&mut scene).await;
    lose_majority(&mut scene).await;
    freeze_node(&mut scene).await;
    part_nodes(&mut scene).await;

    until_consumers(&scene, workers.len() * PARTITIONS).await;
    scene.end(workers).await;
}

/// Any one of three may be away, also the node of all connections, and the others go on.
async fn lose_one_node(scene: &mut Scene) {
    for node in ["rabbitmq3", "rabbitmq"] {
        scene.servers.order(&format!("kill {node}")).await;
        scene.more().await;
        scene.all_stored().await;

        scene.servers.order(&format!("start {node}")).await;
        scene.more().await;
    }
}

/// With two of three away, the last one confirms nothing, and phones are served all the same.
async fn lose_majority(scene: &mut Scene) {
    scene.servers.order("kill rabbitmq2").await;
    scene.servers.order("kill rabbitmq3").await;
    scene.more().await;
    scene.ingresses[0].until_part("publisher", false).await;
    let (_, readiness) = scene.ingresses[0].readiness().await;
    assert_eq!(readiness["status"], "degraded");

    scene.servers.order("paused rabbitmq").await;
    scene.servers.order("start rabbitmq2").await;
    scene.more().await;
    scene.all_stored().await;
    scene.servers.order("start rabbitmq3").await;
}

/// One node keeps its connections and does nothing, as behind a broken switch.
async fn freeze_node(scene: &mut Scene) {
    scene.servers.order("freeze rabbitmq2").await;
    scene.more().await;
    scene.all_stored().await;
    scene.servers.order("thaw rabbitmq2").await;
}

/// The network parts each node from the others: it pauses until they meet again.
async fn part_nodes(scene: &mut Scene) {
    for node in ["rabbitmq", "rabbitmq2", "rabbitmq3"] {
        scene.servers.order(&format!("cut {node}")).await;
        scene.more().await;
        scene.all_stored().await;

        scene.servers.order(&format!("mend {node}")).await;
        scene.more().await;
    }
}

/// Waits until every worker consumes every queue once: no consumer is left of a lost connection.
async fn until_consumers(scene: &Scene, expected: usize) {
    let urls = &scene.servers.urls;
    let path = format!("consumers/{}", vhost_of(&scene.cluster.broker));

    eventually(RECOVERY, "one consumer of each worker", async || {
        let consumers = rabbit::manage(urls, "GET", &path, &json!({})).await;
        let queues = consumers
            .as_array()
            .unwrap()
            .iter()
            .map(|consumer| consumer["queue"]["name"].as_str().unwrap());
        let count = queues
            .filter(|queue| queue.starts_with("grandstream-queue.p"))
            .count();

        if count == expected {
            Ok(())
        } else {
            Err(format!("{count} of {expected}"))
        }
    })
    .await;
}
