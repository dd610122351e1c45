//! Messages that no AMQP client which expects text can read: the broker takes them from every program
//! that may publish.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::support::cluster::Cluster;
use crate::support::rabbit::{manage, vhost_of};
use crate::support::servers;
use crate::support::wait::{PATIENCE, within};

/// Publishes a message whose id is not UTF-8 into each queue of the layout.
const PUBLISH: &str = "
import sys, pika
connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
for queue in sys.argv[2:]:
    channel.basic_publish('', queue, b'{}', pika.BasicProperties(message_id=b'\\xff\\xfe'))
connection.close()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_ends_its_connections_costs_no_other_message() {
    let cluster = Cluster::new().await;
    // Five deliveries are enough for a test.
    let policy = json!({
        "pattern": "^grandstream-queue",
        "apply-to": "queues",
        "priority": 10,
        "definition": {
            "delivery-limit": 5,
            "dead-letter-exchange": "grandstream.dlx",
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
        },
    });
    let path = format!("policies/{}/short", vhost_of(&cluster.broker));
    manage(&cluster.urls, "PUT", &path, &policy).await;
    let ingress = cluster.start("ingress", "ingress").await;
    let worker = cluster.start("worker", "worker").await;
    let report = async |number: u32| {
        let target = format!("/gs/cti/incoming?mac=000b82000001&local=201&remote=+493000{number}");
        ingress.send(&target).await.expect("an accepted event");
    };
    for number in 0..20 {
        report(number).await;
    }
    cluster.until_stored(20).await;

    let mut publish = Command::new(servers::python());
    publish.args(["-c", PUBLISH, &cluster.broker, "grandstream-queue.p00"]);
    publish
        .arg("grandstream-queue.p02")
        .stderr(Stdio::inherit());
    let published = within(PATIENCE, "the messages", publish.status()).await;
    assert!(published.unwrap().success());
    for number in 20..40 {
        report(number).await;
    }

    cluster.until_stored(40).await;
    worker
        .until_metric("cordboard_broker_dead_messages", |dead| dead == 2)
        .await;
    let unread = worker.metric("cordboard_broker_unreadable_total").await;
    assert!(unread > 0, "the messages came to the worker");
    worker.stop().await;
    ingress.stop().await;
}
