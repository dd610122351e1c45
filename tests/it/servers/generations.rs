//! Another number of partitions, in a new generation.

use std::ops::Range;

use crate::support::cluster::Cluster;
use crate::support::foreign::{ForeignProgram, PLAIN};
use crate::support::service::Service;
use crate::support::wait::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_partitions_changes_in_generations_and_no_call_is_affected() {
    let mut cluster = Cluster::new().await;
    let ingress = cluster.start("ingress", "ingress").await;
    let old = cluster.start("old", "worker").await;
    report(&ingress, 0..20, "incoming").await;
    cluster.until("SELECT count(*) FROM call_events", 20).await;
    ingress.stop().await;

    // Calls of before go on, and new ones begin.
    cluster.set("BROKER__PARTITIONS", "6");
    cluster.set("BROKER__GENERATION", "2");
    let ingress = cluster.start("ingress", "ingress").await;
    report(&ingress, 0..10, "answered").await;
    report(&ingress, 20..30, "incoming").await;

    let refused = cluster.run(&["broker", "adopt"]).await;
    let code = refused.status.code();
    assert_eq!(code, Some(78), "the old worker still reads");
    old.stop().await;
    let new = cluster.start("new", "worker").await;
    until_waiting(&new).await;

    until_adopted(&cluster).await;
    cluster.until("SELECT count(*) FROM call_events", 40).await;
    report(&ingress, 0..30, "hangup").await;
    cluster.settled(70).await;
    check_calls(&cluster).await;

    // A message that still comes to an old queue is forwarded.
    let program = ForeignProgram::connect(&cluster.broker).await;
    program
        .publish("grandstream", "call.incoming.p01", PLAIN.as_bytes())
        .await;
    let adopted = cluster.output_of(&["broker", "adopt"]).await;
    assert!(
        adopted.contains("generation 2 with 6 partitions"),
        "{adopted}"
    );

    ingress.stop().await;
    new.stop().await;
}

async fn report(ingress: &Service, calls: Range<u32>, event: &str) {
    for call in calls {
        let target = format!(
            "/gs/cti/{event}?mac=000b8200{call:04}&local=2{call:02}&remote=+49301{call:04}&c={call}"
        );

        ingress.send(&target).await.unwrap();
    }
}

/// Waits until a worker with the new settings says that they are not in force yet.
async fn until_waiting(worker: &Service) {
    worker
        .eventually("the generation in force", async |worker| {
            let (_, readiness) = worker.readiness().await;
            let text = readiness.to_string();
            if text.contains("another number needs a new generation")
                || text.contains("generation 1")
            {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
}

/// Repeats the command until everything that the old worker had not read is processed.
async fn until_adopted(cluster: &Cluster) {
    eventually(PATIENCE, "generation 2 in force", async || {
        let output = cluster.run(&["broker", "adopt"]).await;
        if output.status.code() == Some(0) {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
    .await;
}

async fn check_calls(cluster: &Cluster) {
    let open = "SELECT count(*) FROM call_logs WHERE outcome IS NULL";
    cluster.until(open, 0).await;

    for (sql, expected) in [
        (
            "SELECT count(*) FROM call_logs WHERE outcome = 'answered'",
            10,
        ),
        (
            "SELECT count(*) FROM call_logs WHERE outcome = 'missed'",
            20,
        ),
        ("SELECT count(*) FROM missed_call_logs WHERE retracted", 0),
    ] {
        assert_eq!(cluster.count(sql).await, expected, "{sql}");
    }
    assert_eq!(cluster.output_of(&["rebuild", "--diff"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_partitions_is_refused_at_the_start() {
    let mut cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;

    for other in ["2", "9"] {
        cluster.set("BROKER__PARTITIONS", other);
        for arguments in [
            &["serve", "--role", "ingress"][..],
            &["serve", "--role", "worker"],
            &["broker", "apply"],
        ] {
            let refused = cluster.run_beside("other", arguments).await;
            let error = String::from_utf8(refused.stderr).unwrap();
            let last = error.lines().last().unwrap_or_default();
            assert_ne!(refused.status.code(), Some(0), "{arguments:?} with {other}");
            assert!(
                last.contains("broker.partitions") && last.contains("another number"),
                "{arguments:?} with {other}: {error}"
            );
        }
    }

    // Nothing was declared that belongs to another number.
    cluster.set("BROKER__PARTITIONS", "4");
    let status = cluster.output_of(&["broker", "status"]).await;
    assert!(!status.contains("missing"), "{status}");
    let ingress = cluster.start("ingress", "ingress").await;
    report(&ingress, 0..4, "incoming").await;
    cluster.settled(4).await;

    ingress.stop().await;
    worker.stop().await;
}
