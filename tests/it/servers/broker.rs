//! The broker as other programs and operations see it: foreign messages, derived events, dead
//! letters, what exists already.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::cluster::Cluster;
use crate::support::ledger::block_on;
use crate::support::rabbit;
use crate::support::servers;
use crate::support::service::Service;
use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::rabbit::{BrokerAddress, Held, Layout, Mouth, declare};
use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::notice::NoticeKind;
use cordboard::health::HealthCheck;
use cordboard::port::clock::Clock;
use cordboard::port::intake::Inbox;
use cordboard::port::outbox::{Notification, Outbox};
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const PLAIN: &str = r#"{"call_id":"7","remote":"+4930111222","local":"203","mac":"000b82000001","status":"ringing","timestamp":1767225600,"site":"berlin"}"#;

/// Another program.
struct Foreigner {
    channel: Channel,
    _connection: Connection,
}

impl Foreigner {
    async fn connect(url: &str) -> Foreigner {
        let address: BrokerAddress = url.parse().unwrap();
        let connection = address.connect("somebody else").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Foreigner {
            channel,
            _connection: connection,
        }
    }

    async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let sent = self
            .channel
            .basic_publish(
                exchange.into(),
                key.into(),
                options,
                body,
                BasicProperties::default(),
            )
            .await
            .unwrap();
        let confirmed = sent.await.unwrap();
        assert!(
            confirmed.is_ack() && confirmed.take_message().is_none(),
            "{key} is routed"
        );
    }

    /// What is published with these keys from now on.
    async fn listen(&self, exchange: &str, key: &str) -> Consumer {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare("".into(), options, FieldTable::default())
            .await
            .unwrap();
        let (name, options) = (queue.name().clone(), QueueBindOptions::default());
        self.channel
            .queue_bind(
                name.clone(),
                exchange.into(),
                key.into(),
                options,
                FieldTable::default(),
            )
            .await
            .unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        self.channel
            .basic_consume(name, "".into(), options, FieldTable::default())
            .await
            .unwrap()
    }
}

async fn next(from: &mut Consumer) -> (String, BasicProperties, Value) {
    let delivery = from.next().await.unwrap().unwrap();
    (
        delivery.routing_key.to_string(),
        delivery.properties,
        serde_json::from_slice(&delivery.data).unwrap(),
    )
}

#[test]
fn other_programs_publish_plain_messages_and_hear_what_became_of_them() {
    let cluster = Cluster::new();
    let worker = cluster.start("worker", "worker");
    let ingress = cluster.start("ingress", "ingress");
    block_on(async {
        let foreigner = Foreigner::connect(&cluster.broker).await;
        let mut rings = foreigner.listen("grandstream", "call.incoming.#").await;
        let mut calls = foreigner.listen("cordboard.calls", "call.#").await;

        // A site that belongs to another partition than the one plain messages come to.
        assert_ne!(
            Layout {
                generation: 1,
                partitions: 4
            }
            .partition_of(&Site::parse("berlin").unwrap()),
            0
        );
        foreigner
            .publish("grandstream", "call.incoming", PLAIN.as_bytes())
            .await;
        assert_eq!(next(&mut rings).await.0, "call.incoming");
        let (key, properties, told) = next(&mut calls).await;
        assert_eq!(
            (
                &*key,
                &told["call"]["site"],
                &told["call"]["from"]["number"]
            ),
            ("call.started", &json!("berlin"), &json!("+4930111222"))
        );
        assert_eq!(
            properties.content_type().as_ref().unwrap().as_str(),
            "application/json"
        );
        assert!(properties.message_id().is_some() && properties.delivery_mode() == &Some(2));

        let id = ingress
            .send("/gs/cti/incoming?mac=000b82000002&local=204&remote=+4930999")
            .unwrap();
        let (key, properties, envelope) = loop {
            let heard = next(&mut rings).await;
            if heard.2["id"] == json!(id) {
                break heard;
            }
        };
        assert!(key.starts_with("call.incoming.p0"), "{key}");
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!(
            (
                properties.kind().as_ref().unwrap().as_str(),
                properties.app_id().as_ref().unwrap().as_str()
            ),
            ("incoming", "cordboard")
        );
        let trace = properties.headers().as_ref().unwrap().inner()["traceparent"]
            .as_long_string()
            .unwrap()
            .to_string();
        assert!(trace.contains(&id.replace('-', "")), "{trace} of {id}");
        assert_eq!(envelope["v"], json!(1));
    });
    // The same plain message again is the same event.
    block_on(async {
        Foreigner::connect(&cluster.broker)
            .await
            .publish("grandstream", "call.incoming", PLAIN.as_bytes())
            .await
    });
    while worker.metric("cordboard_worker_known_total") == 0 {}
    cluster.settled(2);
    ingress.stop();
    worker.stop();
}

#[test]
fn a_program_in_python_publishes_its_reports_and_hears_what_became_of_them() {
    let python = servers::python();
    let cluster = Cluster::new();
    let worker = cluster.start("worker", "worker");
    let ingress = cluster.start("ingress", "ingress");
    let mut python = Command::new(python)
        .args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/foreign.py"),
            &cluster.broker,
            "call.missed",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let report = |event: &str, at: i64| {
        let status = if event == "incoming" {
            "ringing"
        } else {
            event
        };
        let report = json!({ "call_id": "7", "remote": "+4930111222", "local": "203", "mac": "000b82000001", "status": status, "timestamp": at });
        format!("call.{event} {report}\n")
    };
    let mut reports = python.stdin.take().unwrap();
    // In whole seconds, as other programs do; nothing is decided about what is no longer than a
    // moment ago.
    let now = SystemClock::default().now().0 / 1_000_000;
    reports
        .write_all((report("incoming", now - 9) + &report("hangup", now)).as_bytes())
        .unwrap();
    drop(reports);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let heard: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let of = |exchange: &str| -> Vec<&Value> {
        heard
            .iter()
            .filter(|message| message["exchange"] == exchange)
            .collect()
    };
    assert_eq!(
        of("grandstream")
            .iter()
            .map(|ring| &ring["body"]["remote"])
            .collect::<Vec<_>>(),
        ["+4930111222"]
    );
    let keys: Vec<&str> = of("cordboard.calls")
        .iter()
        .filter_map(|told| told["key"].as_str())
        .collect();
    assert_eq!(keys, ["call.started", "call.ended", "call.missed"]);
    let missed = &heard.last().unwrap()["body"]["call"];
    assert_eq!(
        (
            &missed["outcome"],
            &missed["ring_seconds"],
            &missed["missed_extensions"]
        ),
        (&json!("missed"), &json!(9.0), &json!(["203"]))
    );
    cluster.settled(2);
    ingress.stop();
    worker.stop();
}

#[test]
fn news_for_which_there_is_no_room_are_told_later_in_their_order_and_once() {
    const LAYOUT: Layout = Layout {
        generation: 1,
        partitions: 4,
    };
    const ALL: u64 = 30_000;
    let cluster = Cluster::new();
    let news = |numbers: std::ops::RangeInclusive<u64>| -> Vec<Notification> {
        numbers
            .map(|number| Notification {
                number,
                kind: NoticeKind::Started,
                call: EventId(7),
                data: "{}".into(),
            })
            .collect()
    };
    block_on(async {
        let address: BrokerAddress = cluster.broker.parse().unwrap();
        declare(&address.connect("test").await.unwrap(), LAYOUT)
            .await
            .unwrap();
        let mut calls = Foreigner::connect(&cluster.broker)
            .await
            .listen("cordboard.calls", "call.#")
            .await;
        let (mouth, speaking) = Mouth::open(
            address,
            LAYOUT,
            HealthCheck::pending("news"),
            CancellationToken::new(),
        );
        // The last owner wrote nine, and knew of four that they were told.
        let relay = mouth.of(LAYOUT, 2, 9, 4);
        drop(mouth);
        let mut written = 9;
        let mut heard = 4;
        while heard < ALL {
            while let Some(after) = relay.resume_after() {
                relay.enqueue_backlog(news(after + 1..=written.min(after + 512)), written);
            }
            if written < ALL {
                let more = ALL.min(written + 10_000);
                relay.enqueue(news(written + 1..=more));
                written = more;
            }
            heard += 1;
            let number =
                next(&mut calls).await.1.headers().as_ref().unwrap().inner()["x-cordboard-number"]
                    .as_long_long_int();
            assert_eq!(number, Some(heard.cast_signed()));
        }
        drop(relay);
        speaking.await.unwrap();
    });
}

#[test]
fn what_exists_otherwise_is_told_and_left_alone() {
    let cluster = Cluster::bare(servers::shared());
    block_on(async {
        let foreigner = Foreigner::connect(&cluster.broker).await;
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        foreigner
            .channel
            .queue_declare(
                "grandstream-queue.p02".into(),
                options,
                FieldTable::default(),
            )
            .await
            .unwrap();
        foreigner
            .publish("", "grandstream-queue.p02", b"somebody's")
            .await;
    });
    let output = cluster.run(&["broker", "apply"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(
        told.contains("grandstream-queue.p02")
            && told.contains("nothing was changed")
            && told.lines().count() == 1,
        "{told}"
    );
    assert!(cluster.told(&["broker", "status"]).contains("1 messages"));
}

#[test]
fn policies_are_set_through_the_management_api_or_printed_as_commands() {
    let mut cluster = Cluster::new();
    let printed = cluster.told(&["broker", "apply"]);
    assert!(
        printed.contains("rabbitmqctl set_policy") && printed.contains("\"delivery-limit\":100"),
        "{printed}"
    );
    cluster.set("BROKER__MANAGEMENT_URL", &cluster.urls.management.clone());
    assert!(
        cluster
            .told(&["broker", "apply"])
            .contains("cordboard-events")
    );
    let vhost = cluster.broker.rsplit_once('/').unwrap().1.to_owned();
    let set = block_on(rabbit::manage(
        &cluster.urls,
        "GET",
        &format!("policies/{vhost}"),
        &json!({}),
    ));
    let limits: Vec<&Value> = set
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|policy| policy["definition"].get("delivery-limit"))
        .collect();
    assert_eq!(limits, [&json!(100)]);
    cluster.set("BROKER__MANAGEMENT_URL", "http://guest:wrong@127.0.0.1:1");
    let output = cluster.run(&["broker", "apply"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(69)
            && told.contains("management API")
            && !told.contains("wrong"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_read_is_set_aside_once_and_can_be_looked_at_sent_again_and_dropped() {
    let cluster = Cluster::new();
    let worker = cluster.start("worker", "worker");
    block_on(async {
        let foreigner = Foreigner::connect(&cluster.broker).await;
        for body in [
            &b"\xff\xfe"[..],
            b"{\"v\":2,\"id\":\"x\"}",
            b"",
            b"[]",
            b"\xff\xfe",
        ] {
            foreigner
                .publish("grandstream", "call.incoming.p01", body)
                .await;
        }
        foreigner
            .publish("grandstream", "call.incoming", PLAIN.as_bytes())
            .await;
    });
    cluster.until("SELECT count(*) FROM dead_events", 4);
    cluster.settled(1);
    let listed = cluster.told(&["dead-letters", "list"]);
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.contains("unknown version 2") && listed.contains("database"));
    let shown = cluster.told(&["dead-letters", "show", "--reason", "unknown version"]);
    assert!(shown.contains("{\"v\":2,\"id\":\"x\"}"), "{shown}");

    assert_eq!(
        cluster.run(&["dead-letters", "drop"]).status.code(),
        Some(64),
        "nothing is dropped without a word which"
    );
    assert!(
        cluster
            .told(&["dead-letters", "retry", "--all"])
            .lines()
            .all(|line| line.contains("still cannot be read"))
    );
    assert!(
        cluster
            .told(&[
                "dead-letters",
                "drop",
                "--reason",
                "unknown version",
                "--dry-run"
            ])
            .contains("would be dropped")
    );
    assert_eq!(cluster.count("SELECT count(*) FROM dead_events"), 4);
    assert_eq!(
        cluster
            .told(&["dead-letters", "drop", "--reason", "unknown version"])
            .lines()
            .count(),
        1
    );
    assert_eq!(cluster.count("SELECT count(*) FROM dead_events"), 3);

    // What the broker gave up lies in its own queue, and is sent again under the id it has.
    block_on(async {
        let foreigner = Foreigner::connect(&cluster.broker).await;
        foreigner
            .publish("grandstream.dlx", "call.hangup", PLAIN.as_bytes())
            .await;
        foreigner
            .publish("grandstream.dlx", "call.incoming", PLAIN.as_bytes())
            .await;
    });
    assert!(
        cluster
            .told(&["dead-letters", "list", "--in", "broker"])
            .lines()
            .count()
            == 2
    );
    assert!(
        cluster
            .told(&["dead-letters", "retry", "--in", "broker"])
            .lines()
            .all(|line| line.ends_with("sent again"))
    );
    // The hangup is new; the ring was known.
    cluster.until("SELECT count(*) FROM call_events", 2);
    while worker.metric("cordboard_worker_known_total") == 0 {}
    cluster.settled(2);
    assert_eq!(
        cluster.told(&["dead-letters", "list", "--in", "broker"]),
        ""
    );
    worker.stop();
}

#[test]
fn messages_that_came_back_too_often_are_suspects_and_keep_their_order() {
    block_on(async {
        let url = rabbit::vhost().await;
        let address: BrokerAddress = url.parse().unwrap();
        let layout = Layout {
            generation: 1,
            partitions: 1,
        };
        let connection = address.connect("test").await.unwrap();
        declare(&connection, layout).await.unwrap();
        let foreigner = Foreigner::connect(&url).await;
        for number in 0..5 {
            foreigner
                .publish(
                    "grandstream",
                    "call.incoming.p00",
                    format!("{{\"v\":9,\"n\":{number}}}").as_bytes(),
                )
                .await;
        }
        let clock = Arc::new(SystemClock::default());
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let mut held = Held::subscribe(
                &connection,
                layout,
                0,
                clock.clone(),
                CancellationToken::new(),
            )
            .await
            .unwrap();
            held.first().await.unwrap();
            let mut inbox = held.into_inbox();
            let mut handed = Vec::new();
            while handed.len() < 5 {
                handed.extend(
                    inbox
                        .next_batch(10)
                        .await
                        .unwrap()
                        .into_iter()
                        .map(|handed| (handed.message, handed.redelivered_often)),
                );
            }
            let in_order = handed
                .iter()
                .enumerate()
                .all(|(n, (message, _))| message.ends_with(format!("{n}}}").as_bytes()));
            sizes.push((in_order, handed[0].1));
            inbox.close().await.unwrap();
        }
        assert_eq!(
            sizes,
            [(true, false), (true, false), (true, true), (true, true)]
        );
    });
}

#[test]
fn the_number_of_partitions_changes_in_generations_and_no_call_notices() {
    let mut cluster = Cluster::new();
    let (ingress, worker) = (
        cluster.start("ingress", "ingress"),
        cluster.start("old", "worker"),
    );
    let report = |ingress: &Service, calls: std::ops::Range<u32>, event: &str| {
        for call in calls {
            ingress.send(&format!("/gs/cti/{event}?mac=000b8200{call:04}&local=2{call:02}&remote=+49301{call:04}&c={call}")).unwrap();
        }
    };
    report(&ingress, 0..20, "incoming");
    cluster.until("SELECT count(*) FROM call_events", 20);
    ingress.stop();
    cluster.set("BROKER__PARTITIONS", "6");
    cluster.set("BROKER__GENERATION", "2");
    let ingress = cluster.start("ingress", "ingress");
    // Calls that are going on, and new ones.
    report(&ingress, 0..10, "answered");
    report(&ingress, 20..30, "incoming");
    let refused = cluster.run(&["broker", "adopt"]);
    assert_eq!(
        refused.status.code(),
        Some(78),
        "the old worker still reads"
    );
    worker.stop();
    // A worker with the new settings waits until they are in force.
    let early = cluster.start("new", "worker");
    while !told(&early).contains("another number needs a new generation")
        && !told(&early).contains("generation 1")
    {}
    // What the old worker had not read is not left behind.
    while cluster.run(&["broker", "adopt"]).status.code() != Some(0) {}
    cluster.until("SELECT count(*) FROM call_events", 40);
    report(&ingress, 0..30, "hangup");
    cluster.settled(70);
    cluster.until("SELECT count(*) FROM call_logs WHERE outcome IS NULL", 0);
    assert_eq!(
        cluster.count("SELECT count(*) FROM call_logs WHERE outcome = 'answered'"),
        10
    );
    assert_eq!(
        cluster.count("SELECT count(*) FROM call_logs WHERE outcome = 'missed'"),
        20
    );
    assert_eq!(
        cluster.count("SELECT count(*) FROM missed_call_logs WHERE retracted"),
        0
    );
    assert_eq!(cluster.told(&["rebuild", "--diff"]), "");
    // Something that still came to an old queue is sent on.
    block_on(async {
        Foreigner::connect(&cluster.broker)
            .await
            .publish("grandstream", "call.incoming.p01", PLAIN.as_bytes())
            .await
    });
    assert!(
        cluster
            .told(&["broker", "adopt"])
            .contains("generation 2 with 6 partitions")
    );
    for service in [ingress, early] {
        service.stop();
    }
}

fn told(service: &Service) -> String {
    Service::get(service.operations, "/readyz").1
}

#[test]
fn calls_of_other_programs_are_registered_found_and_ended_over_rest() {
    let cluster = Cluster::new();
    let service = cluster.start("all", "ingress,worker,gateway");
    let registered = json!({ "call_id": "x1", "session_id": "s1", "provider": "carrier", "from": "+4930111", "metadata": { "k": 1 } });
    let (status, state) = service.call("POST", "/api/v1/call-states", &registered);
    assert_eq!(
        (status, &state["status"], &state["metadata"]["k"]),
        (201, &json!("initiated"), &json!(1))
    );
    assert_eq!(
        service
            .call(
                "PATCH",
                "/api/v1/call-states/x1",
                &json!({ "status": "answered" })
            )
            .1["status"],
        "answered"
    );
    assert_eq!(
        service.ask("/api/v1/call-states/x1/session")["session_id"],
        "s1"
    );
    assert_eq!(
        service.ask("/api/v1/call-states?session=s1")["status"],
        "answered"
    );
    assert_eq!(
        service.ask("/api/v1/call-states")["calls"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        service
            .call("POST", "/api/v1/call-states/x1/end", &json!({}))
            .1["status"],
        "completed"
    );
    assert_eq!(
        service
            .call(
                "PATCH",
                "/api/v1/call-states/x1",
                &json!({ "status": "answered" })
            )
            .0,
        409
    );
    assert_eq!(
        service
            .call("GET", "/api/v1/call-states/nobody", &json!({}))
            .0,
        404
    );
    for wrong in [
        json!({}),
        json!({ "call_id": "" }),
        json!({ "call_id": "y", "provider": "grandstream" }),
        json!({ "call_id": "y", "status": "odd" }),
    ] {
        let (status, answer) = service.call("POST", "/api/v1/call-states", &wrong);
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!("bad_body")),
            "{wrong}"
        );
    }
    // A call of phones is found by the session of another program, and its state is what the phones
    // say.
    let id = service
        .send("/gs/cti/incoming?mac=000b82000002&local=204&remote=+4930999")
        .unwrap();
    cluster.until(
        "SELECT count(*) FROM call_states WHERE provider = 'grandstream'",
        1,
    );
    assert_eq!(
        service
            .call(
                "POST",
                "/api/v1/call-states",
                &json!({ "call_id": id, "session_id": "s2" })
            )
            .1["provider"],
        "grandstream"
    );
    assert_eq!(
        service
            .call(
                "PATCH",
                &format!("/api/v1/call-states/{id}"),
                &json!({ "status": "completed" })
            )
            .1["code"],
        "not_yours"
    );
    service
        .send("/gs/cti/answered?mac=000b82000002&local=204&remote=+4930999")
        .unwrap();
    cluster.until(
        "SELECT count(*) FROM call_states WHERE status = 'answered' AND session_id = 's2'",
        1,
    );
    assert_eq!(
        service.ask("/api/v1/call-states?session=s2")["call_id"],
        json!(id)
    );
    assert_eq!(
        service.ask("/api/v1/devices")["devices"][0]["mac"],
        "000b82000002"
    );
    assert_eq!(service.ask("/api/v1/extensions/204")["extension"], "204");
    assert_eq!(
        service
            .call("POST", "/api/v1/call-states/recover", &json!({}))
            .1["closed"],
        0
    );
    service.stop();
}
