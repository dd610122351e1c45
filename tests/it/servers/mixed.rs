//! Any of the three servers may be absent: without RabbitMQ the journal is the queue, whatever the
//! database, and Redis shows the calls of either.

use deadpool_redis::redis;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::postgres;
use crate::support::service::Service;

const ROLES: &str = "ingress,worker,gateway";
const CALL: &str = "mac=000b82000002&local=204&remote=%2B4930999&c=7%40pbx";

async fn report(service: &Service, event: &str) {
    let sent = service.send(&format!("/gs/cti/{event}?{CALL}")).await;
    sent.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_alone_takes_the_journal_as_its_queue() {
    let mut cluster = Cluster::bare(crate::support::servers::shared()).await;
    cluster.set("BROKER__URL", "");
    cluster.set("LIVE__URL", "");
    let service = cluster.start("all", ROLES).await;
    let mut events = service.watch(None).await;

    report(&service, "incoming").await;
    events.until("call.started").await;
    let ringing = "SELECT count(*) FROM call_states WHERE status = 'ringing' AND ended_at IS NULL";
    cluster.until(ringing, 1).await;

    // The call goes on over a restart, and ends.
    service.kill().await;
    let service = cluster.start("all", ROLES).await;
    report(&service, "answered").await;
    report(&service, "hangup").await;
    let completed = "
        SELECT count(*)
        FROM call_logs
        WHERE status = 'completed' AND outcome = 'answered'";
    cluster.until(completed, 1).await;
    cluster.settled(3).await;

    let calls = service.ask("/api/v1/calls?call_ref=7@pbx").await;
    let id = calls["calls"][0]["id"].as_str().unwrap();
    assert_eq!(calls["calls"][0]["participants"][0]["call_ref"], "7@pbx");
    let none = service.ask("/api/v1/calls?call_ref=8@pbx").await;
    assert_eq!(none["calls"], json!([]));

    check_states_of_programs(&cluster, id).await;
    service.stop().await;
    assert_eq!(cluster.output_of(&["rebuild"]).await, "0 calls corrected\n");
}

/// A program that knows nothing but the table finds a call that is over, with all of it.
async fn check_states_of_programs(cluster: &Cluster, id: &str) {
    let sql = "
        SELECT json_build_object(
            'call', call_id, 'status', status, 'provider', provider, 'from', from_number,
            'metadata', call_metadata, 'created', created_at < now(),
            'took', ended_at >= created_at
        )::text
        FROM call_states
        WHERE status = 'completed'";
    let state: String = postgres::value(&cluster.database, sql).await;
    let state: Value = serde_json::from_str(&state).unwrap();

    assert_eq!(state["call"], id);
    assert_eq!(state["provider"], "grandstream");
    assert_eq!(state["from"], "+4930999");
    assert_eq!(state["metadata"]["id"], id);
    assert_eq!(
        (&state["created"], &state["took"]),
        (&json!(true), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_shows_the_calls_of_a_database_that_is_a_file() {
    let mut cluster = Cluster::bare(crate::support::servers::shared()).await;
    cluster.set("BROKER__URL", "");
    cluster.set("DATABASE__URL", "");
    let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
    cluster.set("LIVE__PREFIX", &prefix);
    let service = cluster.start("all", ROLES).await;

    report(&service, "incoming").await;
    let key = format!("{prefix}calls:active:+4930999");
    let client = redis::Client::open(cluster.urls.redis.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let field = async |redis: &mut redis::aio::MultiplexedConnection, name: &str| {
        let mut command = redis::cmd("HGET");
        command.arg(&key).arg(name);
        let value: Option<String> = command.query_async(redis).await.unwrap();
        value
    };

    service
        .eventually("the call in Redis", async |_| {
            let mut redis = redis.clone();
            match field(&mut redis, "answered").await.as_deref() {
                Some("false") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    assert_eq!(
        field(&mut redis, "call_ref").await.as_deref(),
        Some("7@pbx")
    );
    let (_, readiness) = service.readiness().await;
    assert_eq!(readiness["live view"], "ok", "{readiness}");

    service.stop().await;
}
