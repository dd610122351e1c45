//! The states of calls over REST, for other programs.

use deadpool_redis::redis::{self, Client, FromRedisValue};
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

/// The session of a call that ended is that of the call after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_that_of_its_last_call_whatever_happens_to_an_earlier_one() {
    let cluster = Cluster::new().await;
    let service = cluster.start("all", "ingress,worker,gateway").await;

    for call in ["a", "b"] {
        post(&service, "", &json!({ "call_id": call, "session_id": "s" })).await;
    }
    post(&service, "/a/end", &json!({})).await;
    let found = service.ask(&format!("{STATES}?session=s")).await;
    assert_eq!(found["call_id"], "b");
    let key = format!("{}call:session:s", cluster.prefix());
    let live: Option<String> = ask_redis(&cluster, &["GET", &key]).await;
    assert_eq!(live.as_deref(), Some("\"b\""));

    service.stop().await;
}

/// Whatever two gateways do to a call at the same moment, the live view says in the end what the
/// database says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_through_two_gateways_leave_the_live_view_as_the_database() {
    let cluster = Cluster::new().await;
    let worker = cluster.start("a", "ingress,worker,gateway").await;
    let second = cluster.start("b", "gateway").await;
    let active = format!("{}active_calls", cluster.prefix());

    for number in 0..100 {
        let id = format!("c{number}");
        let session = format!("s{number}");
        let call = json!({ "call_id": id, "session_id": session });
        assert_eq!(post(&worker, "", &call).await.0, 201);

        let delete = format!("{STATES}/{id}");
        let end = format!("/{id}/end");
        let nothing = json!({});
        tokio::join!(
            patch(&worker, &id, "ringing"),
            post(&second, &end, &nothing),
            patch(&second, &id, "answered"),
            second.call("DELETE", &delete, &nothing),
        );
        let stored = format!("{STATES}/{id}");
        for gateway in [&worker, &second] {
            let state = gateway.ask(&stored).await;
            assert_eq!(state["status"], "completed", "{id}");
            assert_eq!(state["session_id"], Value::Null, "{id}");
        }
        let key = format!("{}call:session:{session}", cluster.prefix());
        let joined: Option<String> = ask_redis(&cluster, &["GET", &key]).await;
        assert_eq!(joined, None, "{id}");
        let open: Vec<String> = ask_redis(&cluster, &["SMEMBERS", &active]).await;
        assert!(open.is_empty(), "{open:?}");
    }

    worker.stop().await;
    second.stop().await;
}

async fn ask_redis<T: FromRedisValue>(cluster: &Cluster, words: &[&str]) -> T {
    let client = Client::open(&*cluster.urls.redis).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();

    redis::cmd(words[0])
        .arg(&words[1..])
        .query_async(&mut connection)
        .await
        .unwrap()
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
