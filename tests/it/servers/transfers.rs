//! Transfers over several gateways: one registers, another one answers.

use deadpool_redis::redis;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::wait::{PATIENCE, eventually, within};

const CUSTOMER: &str = "mac=000b82000001&local=201&remote=%2B4930111222&c=a";
const TARGET: &str = "mac=000b82000002&local=202&remote=%2B4930111222&c=b";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_of_one_gateway_is_answered_at_another_after_the_first_has_died() {
    let mut cluster = Cluster::new().await;
    let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
    cluster.set("LIVE__PREFIX", &prefix);
    let worker = cluster.start("worker", "worker").await;
    let ingress = cluster.start("ingress", "ingress").await;
    let first = cluster.start("first", "gateway").await;
    let second = cluster.start("second", "gateway").await;
    let report = async |event: &str, parameters: &str| {
        let sent = ingress.send(&format!("/gs/cti/{event}?{parameters}")).await;
        sent.unwrap()
    };

    let call = report("incoming", CUSTOMER).await;
    report("answered", CUSTOMER).await;
    cluster
        .until(
            "SELECT count(*) FROM call_logs WHERE status = 'answered'",
            1,
        )
        .await;
    let new = json!({ "transfer_id": "t1", "original_call_sid": call, "target_number": "202" });
    let (status, _) = first.call("POST", "/api/v1/transfers", &new).await;
    assert_eq!(status, 201);

    let client = redis::Client::open(cluster.urls.redis.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut get = async |key: String| {
        let mut command = redis::cmd("GET");
        command.arg(format!("{prefix}{key}"));
        let value: Option<String> = command.query_async(&mut redis).await.unwrap();
        value
    };
    let context = get("transfer:context:t1".to_owned()).await.unwrap();
    let context: Value = serde_json::from_str(&context).unwrap();
    assert_eq!(context["original_call_sid"], json!(call));
    let index = format!("transfer:by_call_sid:{call}");
    assert_eq!(get(index.clone()).await.as_deref(), Some("t1"));

    first.kill().await;
    let waiting = second.ask("/api/v1/transfers/t1/result?seconds=60");
    let phones = async {
        report("blind_transfer", CUSTOMER).await;
        report("incoming", TARGET).await;
        report("answered", TARGET).await;
    };
    let both = async { tokio::join!(waiting, phones).0 };
    let result = within(PATIENCE, "the result at the other gateway", both).await;

    assert_eq!(result["state"], "destination_answered", "{result}");
    // The result is stored first.
    eventually(PATIENCE, "no context in Redis", async || {
        match get("transfer:context:t1".to_owned()).await {
            None => Ok(()),
            Some(context) => Err(context),
        }
    })
    .await;
    assert_ne!(get(index).await.as_deref(), Some("t1"));
    second.stop().await;
    ingress.stop().await;
    worker.stop().await;
}
