//! Transfers that programs register and wait for, decided by phones, programs and time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http;
use crate::support::service::Service;
use crate::support::wait::{PATIENCE, within};

const TRANSFERS: &str = "/api/v1/transfers";
const CUSTOMER: &str = "mac=000b82000001&local=201&remote=%2B4930111222&c=a";

async fn send(service: &Service, event: &str, parameters: &str) -> String {
    let id = service.send(&format!("/gs/cti/{event}?{parameters}")).await;

    id.unwrap()
}

/// A customer talks to 201.
async fn conversation(service: &Service) -> String {
    let call = send(service, "incoming", CUSTOMER).await;
    send(service, "answered", CUSTOMER).await;
    let answered = format!("/api/v1/calls/{call}");
    service
        .eventually("the conversation", async |service| {
            let (_, call) = service.call("GET", &answered, &Value::Null).await;
            match call["status"].as_str() {
                Some("answered") => Ok(()),
                _ => Err(call.to_string()),
            }
        })
        .await;

    call
}

async fn register(service: &Service, body: &Value) -> (u16, Value) {
    service.call("POST", TRANSFERS, body).await
}

/// A program that got no answer registers its transfer once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_key_is_carried_out_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let call = conversation(&service).await;
    let new = json!({ "original_call_sid": call, "target_number": "202" });
    let register = async |path: &str, key: &str, body: &Value| {
        let headers = format!("Idempotency-Key: {key}\r\n");
        http::send(service.gateway, "POST", path, &headers, Some(body)).await
    };

    let first = register(TRANSFERS, "k-1", &new).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let again = register(TRANSFERS, "\"k-1\"", &new).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert!(
        again.head.contains("idempotent-replayed: true"),
        "{}",
        again.head
    );
    let refused = register(TRANSFERS, "k-2", &new).await;
    assert_eq!(refused.status, 409, "another request for the same call");

    let other = json!({ "original_call_sid": call, "target_number": "203" });
    let mistaken = register(TRANSFERS, "k-1", &other).await;
    assert_eq!(mistaken.status, 422, "{}", mistaken.body);
    let secret = json!({ "name": "crm", "role": "integrator" });
    let refused = register("/api/v1/tokens", "k-3", &secret).await;
    assert_eq!(refused.body["code"], "bad_idempotency_key");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_decided_by_the_phone_of_its_target() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;
    let call = conversation(&service).await;

    let new = json!({
        "transfer_id": "t1", "original_call_sid": call, "target_number": "202",
        "workflow_run_id": 42, "trunk": { "id": 7 }, "initiated_at": 1.5,
    });
    let (status, registered) = register(&service, &new).await;
    assert_eq!(
        (status, &registered["state"]),
        (201, &json!("under_way")),
        "{registered}"
    );
    assert_eq!(registered["context"]["workflow_run_id"], 42);
    assert_eq!(registered["context"]["trunk"]["id"], 7);
    assert_eq!(registered["context"]["target_number"], "202");
    assert!(registered["context"]["initiated_at"].as_f64().unwrap() > 1e9);
    assert_eq!(register(&service, &new).await.0, 201, "the same once more");

    let second = json!({ "original_call_sid": call, "target_number": "203" });
    let (status, refused) = register(&service, &second).await;
    assert_eq!((status, &refused["transfer_id"]), (409, &json!("t1")));
    let long = json!({ "original_call_sid": "z", "note": "n".repeat(9_000) });
    assert_eq!(register(&service, &long).await.0, 400);
    let of_call = service.ask(&format!("{TRANSFERS}?call={call}")).await;
    assert_eq!(of_call["context"]["transfer_id"], "t1");

    let result = format!("{TRANSFERS}/t1/result?seconds=8");
    let waiting = service.ask(&result);
    let phones = async {
        send(&service, "blind_transfer", CUSTOMER).await;
        let target = "mac=000b82000002&local=202&remote=%2B4930111222&c=b";
        send(&service, "incoming", target).await;
        send(&service, "answered", target).await;
    };
    let both = async { tokio::join!(waiting, phones).0 };
    let result = within(PATIENCE, "the result", both).await;

    let record = service.ask(&format!("/api/v1/calls/{call}")).await;
    assert_eq!(result["state"], "destination_answered", "{result} {record}");
    assert_eq!(result["result"]["status"], "success");
    assert_eq!(result["result"]["target_number"], "202");
    assert_eq!(result["event"]["original_call_sid"], json!(call));
    let (status, _) = service
        .call("GET", &format!("{TRANSFERS}?call={call}"), &Value::Null)
        .await;
    assert_eq!(status, 404, "it is over");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_decided_by_a_program_or_by_its_time_also_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path()).await;

    for id in ["t1", "t2"] {
        let new = json!({ "transfer_id": id, "original_call_sid": id, "timeout_seconds": 1 });
        assert_eq!(register(&service, &new).await.0, 201);
    }
    let event = |kind: &str| json!({ "type": kind, "reason": "busy", "cause": 17 });
    let events = format!("{TRANSFERS}/t1/events");
    let (status, ringing) = service
        .call("POST", &events, &event("destination_ringing"))
        .await;
    assert_eq!((status, &ringing["state"]), (200, &json!("under_way")));
    let (status, failed) = service
        .call("POST", &events, &event("transfer_failed"))
        .await;
    assert_eq!((status, &failed["state"]), (200, &json!("transfer_failed")));
    assert_eq!(failed["event"]["cause"], 17);
    assert_eq!(failed["result"]["reason"], "busy");
    let late = event("destination_answered");
    assert_eq!(service.call("POST", &events, &late).await.0, 409);
    assert_eq!(
        service.call("POST", &events, &json!({ "x": 1 })).await.0,
        400
    );

    service.kill().await;
    let service = Service::start(data.path()).await;
    let kept = service.ask(&format!("{TRANSFERS}/t1")).await;
    assert_eq!(kept["result"], failed["result"]);
    let result = format!("{TRANSFERS}/t2/result?seconds=10");
    let waiting = service.ask(&result);
    let expired = within(PATIENCE + Duration::from_secs(5), "the time-out", waiting).await;
    assert_eq!(expired["result"]["reason"], "timeout", "{expired}");

    let now = format!("{TRANSFERS}/t2/result?seconds=61");
    assert_eq!(service.call("GET", &now, &Value::Null).await.0, 400);
    service.stop().await;
}
