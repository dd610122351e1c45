//! Dead letters, of the database and of the broker: listed, shown, sent again and dropped.

use crate::support::cluster::Cluster;
use crate::support::foreign::{ForeignProgram, PLAIN};

/// Unreadable messages; two of them are the same.
const UNREADABLE: [&[u8]; 5] = [
    b"\xff\xfe",
    b"{\"v\":2,\"id\":\"x\"}",
    b"",
    b"[]",
    b"\xff\xfe",
];
const DEAD: &str = "SELECT count(*) FROM dead_events";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_messages_are_set_aside_once_and_can_be_shown_sent_again_and_dropped() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let program = ForeignProgram::connect(&cluster.broker).await;

    for body in UNREADABLE {
        program
            .publish("grandstream", "call.incoming.p01", body)
            .await;
    }
    program
        .publish("grandstream", "call.incoming", PLAIN.as_bytes())
        .await;
    cluster.until(DEAD, 4).await;
    cluster.settled(1).await;
    show_retry_and_drop(&cluster).await;

    // Messages that the broker gave up are in a queue of its own, and are sent again under the id
    // they have. The hangup is new; the ring was stored.
    for key in ["call.hangup", "call.incoming"] {
        program
            .publish("grandstream.dlx", key, PLAIN.as_bytes())
            .await;
    }
    retry_in_broker(&cluster).await;
    cluster.until("SELECT count(*) FROM call_events", 2).await;
    worker
        .until_metric("cordboard_worker_known_total", |known| known > 0)
        .await;
    cluster.settled(2).await;

    let left = cluster.output_of(&["dead-letters", "list", "--in", "broker"]);
    assert_eq!(left.await, "");
    worker.stop().await;
}

async fn show_retry_and_drop(cluster: &Cluster) {
    let listed = cluster.output_of(&["dead-letters", "list"]).await;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("unknown version 2"), "{listed}");
    assert!(listed.contains("database"), "{listed}");

    let show = ["dead-letters", "show", "--reason", "unknown version"];
    let shown = cluster.output_of(&show).await;
    assert!(shown.contains("{\"v\":2,\"id\":\"x\"}"), "{shown}");

    let without_choice = cluster.run(&["dead-letters", "drop"]).await;
    assert_eq!(
        without_choice.status.code(),
        Some(64),
        "a command without a choice drops nothing"
    );

    let retried = cluster.output_of(&["dead-letters", "retry", "--all"]).await;
    let unreadable = |line: &str| line.contains("still cannot be read");
    assert!(retried.lines().all(unreadable), "{retried}");

    let drop = ["dead-letters", "drop", "--reason", "unknown version"];
    let dry_run = [&drop[..], &["--dry-run"]].concat();
    let tried = cluster.output_of(&dry_run).await;
    assert!(tried.contains("would be dropped"), "{tried}");
    assert_eq!(cluster.count(DEAD).await, 4);

    let dropped = cluster.output_of(&drop).await;
    assert_eq!(dropped.lines().count(), 1, "{dropped}");
    assert_eq!(cluster.count(DEAD).await, 3);
}

async fn retry_in_broker(cluster: &Cluster) {
    let list = ["dead-letters", "list", "--in", "broker"];
    let listed = cluster.output_of(&list).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");

    let retry = ["dead-letters", "retry", "--in", "broker"];
    let retried = cluster.output_of(&retry).await;
    let sent = |line: &str| line.ends_with("sent again");
    assert!(retried.lines().all(sent), "{retried}");
}
