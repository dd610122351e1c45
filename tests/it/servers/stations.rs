//! One event can be followed through the processes of a service.

use crate::support::cluster::Cluster;
use crate::support::stations::{DEBUG, once, stations_of};
use crate::support::wait::{PATIENCE, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_shows_an_event_once_at_every_station() {
    let mut cluster = Cluster::new().await;
    cluster.set("LOG__FILTER", DEBUG);
    let ingress = cluster.start("ingress", "ingress").await;
    let worker = cluster.start("worker", "worker").await;

    let target = "/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222";
    let id = ingress.send(target).await.unwrap();
    cluster.until_stored(1).await;

    let ingress_log = ingress.log.clone();
    let worker_log = worker.log.clone();
    ingress.stop().await;
    worker.stop().await;
    for log in [&ingress_log, &worker_log] {
        within(PATIENCE, "the end of the log", log.ended()).await;
    }

    assert_eq!(
        stations_of(&ingress_log, &id),
        once(&["request", "append", "publish"])
    );
    assert_eq!(
        stations_of(&worker_log, &id),
        once(&["deliver", "batch", "commit", "notify"])
    );
}
