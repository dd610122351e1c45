//! Faults of an ingress under load.

use crate::support::load::Load;
use crate::support::scene::{SOME, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_that_is_cut_off_is_not_waited_for_and_its_late_events_correct_the_records() {
    let mut scene = Scene::new().await;
    let worker = scene.worker("a").await;
    let (far, proxy) = scene.start_behind_proxy("far", "ingress").await;
    let near = scene.cluster.start("near", "ingress").await;
    let load = Load::start(&[far.ingress, near.ingress]);
    load.more(SOME).await;

    proxy.lose_everything();
    load.more(SOME).await;
    far.until_part("publisher", false).await;
    load.more(SOME).await;

    proxy.restore();
    far.until_part("publisher", true).await;
    for _ in 0..20 {
        load.more(5).await;
        proxy.cut();
    }

    let sent = load.end().await;
    scene.cluster.check(&sent).await;
    for service in [far, near, worker] {
        service.stop().await;
    }
}
