//! The states of calls over REST, for other programs.

use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::service::Service;

const STATES: &str = "/api/v1/call-states";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_other_programs_are_registered_found_and_ended_over_rest() {
    let cluster = Cluster::new().await;
    let service = cluster.start("all", "ingress,worker,gateway").await;

    register_change_and_end(&service).await;
    reject_bad_bodies(&service).await;
    join_session_to_call_of_phones(&cluster, &service).await;

    let devices = service.ask("/api/v1/devices").await;
    assert_eq!(devices["devices"][0]["mac"], "000b82000002");
    let extension = service.ask("/api/v1/extensions/204").await;
    assert_eq!(extension["extension"], "204");
    let (_, recovered) = post(&service, "/recover", &json!({})).await;
    assert_eq!(recovered["closed"], 0);

    service.stop().await;
}

async fn register_change_and_end(service: &Service) {
    let call = json!({
        "call_id": "x1",
        "session_id": "s1",
        "provider": "carrier",
        "from": "+4930111",
        "metadata": { "k": 1 },
    });
    let (status, registered) = post(service, "", &call).await;
    assert_eq!(status, 201);
    assert_eq!(registered["status"], "initiated");
    assert_eq!(registered["metadata"]["k"], 1);

    let (_, answered) = patch(service, "x1", "answered").await;
    assert_eq!(answered["status"], "answered");
    let session = service.ask(&format!("{STATES}/x1/session")).await;
    assert_eq!(session["session_id"], "s1");
    let found = service.ask(&format!("{STATES}?session=s1")).await;
    assert_eq!(found["status"], "answered");
    let all = service.ask(STATES).await;
    assert_eq!(all["calls"].as_array().unwrap().len(), 1);

    let (_, moved) = post(service, "", &json!({ "call_id": "x1", "session_id": "s0" })).await;
    assert_eq!(moved["session_id"], "s0");
    let former = format!("{STATES}?session=s1");
    let (status, _) = service.call("GET", &former, &json!({})).await;
    assert_eq!(status, 404, "the session has no call any more");

    let (_, ended) = post(service, "/x1/end", &json!({})).await;
    assert_eq!(ended["status"], "completed");
    let (status, _) = patch(service, "x1", "answered").await;
    assert_eq!(status, 409);
    let unknown = format!("{STATES}/unknown");
    let (status, _) = service.call("GET", &unknown, &json!({})).await;
    assert_eq!(status, 404);
}

async fn reject_bad_bodies(service: &Service) {
    for wrong in [
        json!({}),
        json!({ "call_id": "" }),
        json!({ "call_id": "y", "provider": "grandstream" }),
        json!({ "call_id": "y", "status": "odd" }),
    ] {
        let (status, answer) = post(service, "", &wrong).await;

        assert_eq!(status, 400, "{wrong}");
        assert_eq!(answer["code"], "bad_body", "{wrong}");
    }
}

/// A call of phones is found by the session of another program, and only the phones change its
/// state.
async fn join_session_to_call_of_phones(cluster: &Cluster, service: &Service) {
    let target = "/gs/cti/incoming?mac=000b82000002&local=204&remote=+4930999";
    let id = service.send(target).await.unwrap();
    let of_phones = "SELECT count(*) FROM live_states WHERE provider = 'grandstream'";
    cluster.until(of_phones, 1).await;

    let session = json!({ "call_id": id, "session_id": "s2" });
    let (_, joined) = post(service, "", &session).await;
    assert_eq!(joined["provider"], "grandstream");
    let (_, refused) = patch(service, &id, "completed").await;
    assert_eq!(refused["code"], "not_yours");

    let target = "/gs/cti/answered?mac=000b82000002&local=204&remote=+4930999";
    service.send(target).await.unwrap();
    let answered = "
        SELECT count(*)
        FROM live_states
        WHERE status = 'answered' AND session_id = 's2'";
    cluster.until(answered, 1).await;
    let found = service.ask(&format!("{STATES}?session=s2")).await;
    assert_eq!(found["call_id"], json!(id));
}

async fn post(service: &Service, path: &str, body: &Value) -> (u16, Value) {
    service.call("POST", &format!("{STATES}{path}"), body).await
}

async fn patch(service: &Service, call: &str, status: &str) -> (u16, Value) {
    let body = json!({ "status": status });

    service
        .call("PATCH", &format!("{STATES}/{call}"), &body)
        .await
}
