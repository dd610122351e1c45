//! The event logs in Redis: events of phones and of other programs, by site and by call.

use std::collections::HashMap;

use deadpool_redis::redis;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::service::Service;
use crate::support::wait::{PATIENCE, eventually};

const EVENTS: &str = "/api/v1/call-events";
const PHONE: &str = "mac=000b82000001&local=201&remote=%2B4930111222";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_programs_wait_for_the_site_of_their_call_and_are_read_with_those_of_phones() {
    let mut cluster = Cluster::new().await;
    let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
    cluster.set("LIVE__PREFIX", &prefix);
    let service = cluster.start("all", "ingress,worker,gateway").await;

    let call = call_of_a_phone(&service).await;
    let known = json!({ "call_id": call, "event_type": "intent_detected", "data": { "a": 1 } });
    let (status, appended) = service.call("POST", EVENTS, &known).await;
    assert_eq!((status, &appended["provider_id"]), (201, &json!("default")));

    let unknown = json!({ "call_id": "x", "event_type": "shift_opened" });
    let (_, appended) = service.call("POST", EVENTS, &unknown).await;
    assert_eq!(appended["provider_id"], "pending");
    let waiting = service.ask(&format!("{EVENTS}?call_id=x")).await;
    assert_eq!(waiting["source"], "log");
    assert_eq!(waiting["calls"][0]["site"], Value::Null);

    let registered = json!({ "call_id": "x", "site": "berlin" });
    service
        .call("POST", "/api/v1/call-states", &registered)
        .await;
    until_of_site(&service, "x", "berlin").await;
    // No phone has reported from that site.
    let found = service.ask(EVENTS).await;
    let calls = found["calls"].as_array().unwrap();
    let moved = calls.iter().find(|one| one["call_id"] == "x").unwrap();
    assert_eq!(
        (&moved["site"], &moved["in_progress"]),
        (&json!("berlin"), &json!(true))
    );
    service
        .call("POST", "/api/v1/call-states/x/end", &json!({}))
        .await;
    let found = service.ask(&format!("{EVENTS}?call_id=x")).await;
    assert_eq!(found["calls"][0]["in_progress"], false);
    let day = &appended["timestamp"].as_str().unwrap()[..10];
    let pending = entries(&cluster, &prefix, &format!("pending:{day}")).await;
    assert_eq!(pending, []);
    assert_eq!(
        entries(&cluster, &prefix, &format!("berlin:{day}")).await,
        [("shift_opened".to_owned(), "berlin".to_owned())]
    );

    check_call(&service, &call).await;
    check_commands(&cluster).await;
    for wrong in [
        json!({ "call_id": "", "event_type": "shift_opened" }),
        json!({ "call_id": "x", "event_type": "call_started" }),
        json!({ "call_id": "x", "event_type": "shift_opened", "timestamp": "2020-01-01T00:00:00Z" }),
    ] {
        let (status, _) = service.call("POST", EVENTS, &wrong).await;
        assert_eq!(status, 400, "{wrong}");
    }
    service.stop().await;
}

/// However many events of unknown calls came after it, an event is moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_unknown_calls_keep_no_other_pending() {
    let cluster = Cluster::new().await;
    let service = cluster.start("all", "ingress,worker,gateway").await;
    let add = async |call: &str| {
        let event = json!({ "call_id": call, "event_type": "shift_opened" });
        let (status, _) = service.call("POST", EVENTS, &event).await;
        assert_eq!(status, 201);
    };

    add("first").await;
    for number in 0..1_100 {
        add(&format!("unknown-{number}")).await;
    }
    let registered = json!({ "call_id": "first", "site": "berlin" });
    service
        .call("POST", "/api/v1/call-states", &registered)
        .await;
    until_of_site(&service, "first", "berlin").await;

    service.stop().await;
}

/// A call that was answered. Returns its id when its events are in the log.
async fn call_of_a_phone(service: &Service) -> String {
    let target = |event: &str| format!("/gs/cti/{event}?{PHONE}");
    let call = service.send(&target("incoming")).await.unwrap();
    service.send(&target("answered")).await.unwrap();
    let of_call = format!("{EVENTS}?call_id={call}");

    eventually(PATIENCE, "the events of the call", async || {
        let found = service.ask(&of_call).await;
        match found["calls"][0]["events"].as_array() {
            Some(events) if events.len() == 2 => Ok(()),
            _ => Err(found.to_string()),
        }
    })
    .await;
    call
}

async fn until_of_site(service: &Service, call: &str, site: &str) {
    let of_call = format!("{EVENTS}?site={site}&call_id={call}");

    eventually(PATIENCE, "the event in the log of its site", async || {
        let found = service.ask(&of_call).await;
        match found["calls"][0]["site"].as_str() {
            Some(found) if found == site => Ok(()),
            _ => Err(found.to_string()),
        }
    })
    .await;
}

async fn check_call(service: &Service, call: &str) {
    let found = service.ask(&format!("{EVENTS}?minutes=5")).await;
    let calls = found["calls"].as_array().unwrap();
    let of_phones = calls.iter().find(|one| one["call_id"] == call).unwrap();

    assert_eq!(of_phones["in_progress"], true);
    assert_eq!(of_phones["call"]["status"], "answered");
    let types: Vec<&str> = of_phones["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["call_started", "call_answered", "intent_detected"]);
    assert_eq!(of_phones["events"][0]["data"], Value::Null);
    assert_eq!(of_phones["events"][2]["data"], json!({ "a": 1 }));
}

/// What an operator sees.
async fn check_commands(cluster: &Cluster) {
    let listed = cluster.output_of(&["streams", "inspect"]).await;
    assert!(listed.contains("3 entries, deleted in 24 h"), "{listed}");
    assert!(listed.contains("       1  intent_detected"), "{listed}");
    assert!(!listed.contains("4930111222"), "{listed}");

    let tried = cluster.output_of(&["streams", "test"]).await;
    assert!(
        tried.starts_with("an event was written, read back"),
        "{tried}"
    );
}

/// The id of an entry, and its fields.
type Entry = (String, HashMap<String, String>);

/// Type and provider of the entries of a log, as another program reads them. `log` is site and day.
async fn entries(cluster: &Cluster, prefix: &str, log: &str) -> Vec<(String, String)> {
    let client = redis::Client::open(cluster.urls.redis.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("{prefix}call-events:provider:{log}");

    let found: Vec<Entry> = redis::cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .query_async(&mut redis)
        .await
        .unwrap();
    found
        .into_iter()
        .map(|(_, mut fields)| {
            let mut take = |name: &str| fields.remove(name).unwrap();
            (take("eventType"), take("providerId"))
        })
        .collect()
}
