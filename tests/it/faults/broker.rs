//! Faults of a broker under load.

use crate::support::proxy::{Proxy, server_of};
use crate::support::rabbit::vhost_of;
use crate::support::scene::Scene;
use crate::support::service::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_frozen_or_refuses_us_costs_nothing() {
    let mut scene = Scene::new().await;
    let direct = scene.cluster.broker.clone();
    let proxy = Proxy::to(server_of(&direct)).await;
    scene.cluster.set("BROKER__URL", &proxy.url(&direct));
    let workers = vec![scene.worker("a").await, scene.worker("b").await];
    scene.report().await;
    scene.more().await;

    // Killed twice in a row, with a backlog in its queues and in the journals.
    for _ in 0..2 {
        kill_and_start(&mut scene, &workers[0]).await;
    }
    scene.ingresses[0].until_part("publisher", true).await;

    // Frozen: its connections stay open, and only heartbeats stay out.
    scene.servers.order("freeze rabbitmq").await;
    scene.more().await;
    scene.ingresses[0].until_part("publisher", false).await;
    scene.servers.order("thaw rabbitmq").await;
    scene.ingresses[0].until_part("publisher", true).await;

    // Short of memory: it blocks publishers, and says so.
    let watermark = "ctl set_vm_memory_high_watermark";
    scene.servers.order(&format!("{watermark} 0.00001")).await;
    scene.ingresses[0].until_part("publisher", false).await;
    scene.more().await;
    scene.servers.order(&format!("{watermark} 0.4")).await;
    scene.ingresses[0].until_part("publisher", true).await;

    // The password changes, or the permissions are cleared; and then they are as before.
    let vhost = vhost_of(&direct);
    for [refuse, admit] in [
        [
            "ctl change_password guest another".to_owned(),
            "ctl change_password guest guest".to_owned(),
        ],
        [
            format!("ctl clear_permissions -p {vhost} guest"),
            format!("ctl set_permissions -p {vhost} guest .* .* .*"),
        ],
    ] {
        scene.servers.order(&refuse).await;
        proxy.cut();
        scene.ingresses[0].until_part("publisher", false).await;
        workers[0].until_part("consumer", false).await;
        scene.more().await;

        scene.servers.order(&admit).await;
        scene.ingresses[0].until_part("publisher", true).await;
        workers[0].until_part("consumer", true).await;
    }

    scene.end(workers).await;
}

/// Kills the broker and starts it again, while phones report.
async fn kill_and_start(scene: &mut Scene, worker: &Service) {
    scene.servers.order("kill rabbitmq").await;
    scene.more().await;

    scene.ingresses[0].until_part("publisher", false).await;
    let (_, readiness) = scene.ingresses[0].readiness().await;
    assert_eq!(
        readiness["status"], "degraded",
        "phones are served all the same"
    );
    worker.until_part("consumer", false).await;
    let (status, _) = worker.readiness().await;
    assert_eq!(status, 503, "a worker without a broker is of no use");

    scene.servers.order("start rabbitmq").await;
    scene.more().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_that_are_deleted_under_us_are_declared_again() {
    let mut scene = Scene::new().await;
    let worker = scene.worker("a").await;
    scene.report().await;
    scene.more().await;
    let before = scene.take_load().end().await;
    scene.cluster.check(&before).await;

    // The queues are empty: messages in a deleted queue are lost with it.
    scene.delete_queues().await;
    for event in ["incoming", "missed"] {
        let target = format!("/gs/cti/{event}?mac=000b82ffffff&local=299&remote=+499999&c=x");
        let id = scene.ingresses[0].send(&target).await.unwrap();
        assert!(!id.is_empty());
    }
    scene.cluster.settled(before.accepted.len() + 2).await;

    for service in scene.ingresses.drain(..) {
        service.stop().await;
    }
    worker.stop().await;
}
