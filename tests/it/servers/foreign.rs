//! Other programs at the broker: they publish plain messages, and read reports and calls.

use std::process::Stdio;

use cordboard::adapter::clock::SystemClock;
use cordboard::domain::fact::Site;
use cordboard::port::clock::Clock;
use cordboard::wire::partition::Layout;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::cluster::Cluster;
use crate::support::foreign::{ForeignProgram, Message, Messages, PLAIN};
use crate::support::servers;
use crate::support::wait::{PATIENCE, within};

const PYTHON_PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/foreign.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_publish_plain_messages_and_receive_reports_and_calls() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    let mut reports = program.subscribe("grandstream", "call.incoming.#").await;
    let mut calls = program.subscribe("cordboard.calls", "call.#").await;

    // The site belongs to another partition than the one that plain messages come to.
    let layout = Layout {
        generation: 1,
        partitions: 4,
    };
    let berlin = Site::parse("berlin").unwrap();
    assert_ne!(layout.partition_of(&berlin), 0);

    program
        .publish("grandstream", "call.incoming", PLAIN.as_bytes())
        .await;
    assert_eq!(reports.next().await.key, "call.incoming");
    check_started_call(&calls.next().await);

    let target = "/gs/cti/incoming?mac=000b82000002&local=204&remote=+4930999";
    let id = ingress.send(target).await.unwrap();
    check_report(&report_of(&mut reports, &id).await, &id);

    // The same plain message again is the same event.
    program
        .publish("grandstream", "call.incoming", PLAIN.as_bytes())
        .await;
    worker
        .until_metric("cordboard_worker_known_total", |known| known > 0)
        .await;
    cluster.settled(2).await;

    ingress.stop().await;
    worker.stop().await;
}

/// A key with more words than an event, or as many as that of a partition, is not lost with the
/// listeners that receive it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_messages_of_any_key_reach_a_worker() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    let mut calls = program.subscribe("grandstream", "call.#").await;
    let mut devices = program.subscribe("grandstream", "device.#").await;

    let keys = [
        "call.incoming",
        "call.incoming.berlin",
        "call.incoming.g9.p99",
        "device.dnd_on",
        "device.dnd_on.berlin",
    ];
    for (number, key) in (1..).zip(keys) {
        let report = json!({ "remote": "+4930111222", "local": "203", "mac": "000b82000001" });
        let report = report.to_string();
        program.publish("grandstream", key, report.as_bytes()).await;
        let listener = if key.starts_with("call.") {
            &mut calls
        } else {
            &mut devices
        };
        assert_eq!(listener.next().await.key, key);

        cluster.settled(number).await;
    }
    worker.stop().await;
}

/// Bindings that know no partitions, as programs have them that were written for plain messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bindings_without_a_partition_receive_every_event_of_a_phone_once() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    let mut incoming = program.subscribe("grandstream", "call.incoming").await;
    let mut all = program.subscribe("grandstream", "call.*").await;

    let parameters = "?mac=000b82000002&local=204&remote=%2B4930999&c=7%40pbx";
    for event in ["incoming", "answered", "hangup"] {
        let target = format!("/gs/cti/{event}{parameters}");
        let id = ingress.send(&target).await.unwrap();

        let mut received = vec![all.next().await];
        if event == "incoming" {
            received.push(incoming.next().await);
        }
        for message in received {
            assert_eq!(message.body["id"], id);
            let data = json!({
                "call_id": "7@pbx",
                "remote": "+4930999",
                "local": "204",
                "mac": "000b82000002",
                "status": event,
                "v": 1,
            });
            for (field, value) in data.as_object().unwrap() {
                assert_eq!(message.body[field], *value, "{field}");
            }
            let timestamp = message.body["timestamp"].as_f64().unwrap();
            let at = message.body["at"].as_f64().unwrap();
            assert!((timestamp * 1e6 - at).abs() < 1.0);
        }
    }
    cluster.settled(3).await;
    assert_eq!(worker.metric("cordboard_broker_forwarded_total").await, 0);

    // Plain messages come to the same bindings, and to a worker.
    program
        .publish("grandstream", "call.incoming", PLAIN.as_bytes())
        .await;
    assert_eq!(incoming.next().await.key, "call.incoming");
    assert_eq!(all.next().await.key, "call.incoming");
    cluster.settled(4).await;
    assert_eq!(worker.metric("cordboard_broker_forwarded_total").await, 1);

    ingress.stop().await;
    worker.stop().await;
}

/// A program that mirrors a site publishes its copies as fast as it receives the events, and they may
/// be processed before them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_for_another_site_takes_no_event_away_however_early_it_comes() {
    let cluster = Cluster::new().await;
    let ingress = cluster.start("ingress", "ingress").await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    let mut incoming = program.subscribe("grandstream", "call.incoming").await;

    for phone in 1..=8 {
        let target =
            format!("/gs/cti/incoming?mac=000b8200000{phone}&local=20{phone}&remote=+4930999");
        let id = ingress.send(&target).await.unwrap();
        // The copies come back as well.
        let mut copy = report_of(&mut incoming, &id).await.body;
        for site in ["mirror", "berlin"] {
            copy["site"] = site.into();
            let copy = copy.to_string();
            program
                .publish("grandstream", "call.incoming", copy.as_bytes())
                .await;
        }
    }
    let worker = cluster.start("worker", "worker").await;

    for site in [
        "SELECT count(*) FROM call_events WHERE site = 'default'",
        "SELECT count(*) FROM call_events WHERE site = 'mirror'",
        "SELECT count(*) FROM call_events WHERE site = 'berlin'",
    ] {
        cluster.until(site, 8).await;
    }
    cluster.until("SELECT count(*) FROM dead_events", 0).await;
    let taken = "SELECT count(*) FROM call_logs WHERE record->>'site' <> site";
    assert_eq!(cluster.count(taken).await, 0);
    worker.stop().await;
    ingress.stop().await;
}

fn check_started_call(message: &Message) {
    assert_eq!(message.key, "call.started");
    let call = &message.body["call"];
    assert_eq!(call["site"], "berlin");
    assert_eq!(call["from"]["number"], "+4930111222");

    let properties = &message.properties;
    let content_type = properties.content_type().as_ref().unwrap();
    assert_eq!(content_type.as_str(), "application/json");
    assert!(properties.message_id().is_some());
    assert_eq!(properties.delivery_mode(), &Some(2));
}

/// The published report with this id.
async fn report_of(reports: &mut Messages, id: &str) -> Message {
    let search = async {
        loop {
            let report = reports.next().await;
            if report.body["id"] == id {
                return report;
            }
        }
    };

    within(PATIENCE, &format!("the report {id}"), search).await
}

fn check_report(report: &Message, id: &str) {
    assert!(report.key.starts_with("call.incoming.p0"), "{}", report.key);
    assert_eq!(report.body["v"], 1);

    let properties = &report.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "incoming");
    assert_eq!(properties.app_id().as_ref().unwrap().as_str(), "cordboard");

    let headers = properties.headers().as_ref().unwrap();
    let trace = headers.inner()["traceparent"].as_long_string().unwrap();
    let trace = trace.to_string();
    assert!(trace.contains(&id.replace('-', "")), "{trace} of {id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_in_python_publishes_reports_and_receives_the_missed_call() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;

    // Other programs report whole seconds. Nothing is decided about calls until a moment has
    // passed.
    let now = SystemClock::default().now().0 / 1_000_000;
    let reports = [
        plain_report("incoming", "ringing", now - 9),
        plain_report("hangup", "hangup", now),
    ];
    let messages = run_python(&cluster.broker, &reports.concat()).await;

    let of = |exchange: &str| -> Vec<&Value> {
        let of_exchange = messages
            .iter()
            .filter(|message| message["exchange"] == exchange);
        of_exchange.collect()
    };
    let numbers: Vec<&Value> = of("grandstream")
        .iter()
        .map(|report| &report["body"]["remote"])
        .collect();
    assert_eq!(numbers, ["+4930111222"]);

    // The end of the ring is a notification of its own only where the end of the call was not
    // committed with it.
    let keys: Vec<&str> = of("cordboard.calls")
        .iter()
        .filter_map(|notification| notification["key"].as_str())
        .filter(|key| *key != "call.ring_ended")
        .collect();
    assert_eq!(keys, ["call.started", "call.ended", "call.missed"]);

    let missed = &messages.last().unwrap()["body"]["call"];
    assert_eq!(missed["outcome"], "missed");
    assert_eq!(missed["ring_seconds"], 9.0);
    assert_eq!(missed["missed_extensions"], json!(["203"]));

    cluster.settled(2).await;
    ingress.stop().await;
    worker.stop().await;
}

/// A routing key and a report, as a line for the program.
fn plain_report(event: &str, status: &str, at: i64) -> String {
    let report = json!({
        "call_id": "7",
        "remote": "+4930111222",
        "local": "203",
        "mac": "000b82000001",
        "status": status,
        "timestamp": at,
    });

    format!("call.{event} {report}\n")
}

/// Publishes reports, and returns all received messages up to the missed call.
async fn run_python(broker: &str, reports: &str) -> Vec<Value> {
    let mut python = Command::new(servers::python())
        .args([PYTHON_PROGRAM, broker, "call.missed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let mut input = python.stdin.take().unwrap();
    input.write_all(reports.as_bytes()).await.unwrap();
    drop(input);

    let ended = python.wait_with_output();
    let output = within(PATIENCE, "the end of the program", ended)
        .await
        .unwrap();
    assert!(output.status.success());

    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
