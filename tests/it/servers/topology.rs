//! Exchanges, queues and policies: declared, compared with existing ones, never destroyed.

use std::net::TcpListener;
use std::time::Duration;

use deadpool_redis::redis;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::cluster::Cluster;
use crate::support::foreign::{ForeignProgram, PLAIN};
use crate::support::postgres;
use crate::support::rabbit::{self, vhost_of};
use crate::support::servers;
use crate::support::service::Service;
use crate::support::wait::{PATIENCE, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_reported_and_left_alone() {
    let cluster = Cluster::bare(servers::shared()).await;
    let program = ForeignProgram::connect(&cluster.broker).await;
    program.declare("grandstream-queue.p02").await;
    program
        .publish("", "grandstream-queue.p02", b"of others")
        .await;

    let output = cluster.run(&["broker", "apply"]).await;

    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(error.contains("grandstream-queue.p02"), "{error}");
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let status = cluster.output_of(&["broker", "status"]).await;
    assert!(status.contains("1 messages"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_set_through_the_management_api_or_printed_as_commands() {
    let mut cluster = Cluster::new().await;
    let printed = cluster.output_of(&["broker", "apply"]).await;
    assert!(printed.contains("rabbitmqctl set_policy"), "{printed}");
    assert!(printed.contains("\"delivery-limit\":100"), "{printed}");

    cluster.set("BROKER__MANAGEMENT_URL", &cluster.urls.management.clone());
    let applied = cluster.output_of(&["broker", "apply"]).await;
    assert!(applied.contains("cordboard-events"), "{applied}");
    let path = format!("policies/{}", vhost_of(&cluster.broker));
    let policies = rabbit::manage(&cluster.urls, "GET", &path, &json!({})).await;
    let limits: Vec<&Value> = policies
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|policy| policy["definition"].get("delivery-limit"))
        .collect();
    assert_eq!(limits, [&json!(100)]);

    cluster.set("BROKER__MANAGEMENT_URL", "http://guest:wrong@127.0.0.1:1");
    let output = cluster.run(&["broker", "apply"]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(error.contains("management API"), "{error}");
    assert!(!error.contains("wrong"), "{error}");
}

/// The address of Redis for the service's user, with the rights of the access list.
async fn redis_user(url: &str) -> String {
    let list = include_str!("../../../deploy/redis/users.acl");
    let rights = list
        .lines()
        .find_map(|line| line.strip_prefix("user cordboard on "))
        .unwrap();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("ACL")
        .arg(&["SETUSER", "cordboard", "on", ">secret"])
        .arg(rights.split(' ').collect::<Vec<_>>())
        .query_async::<()>(&mut connection)
        .await
        .unwrap();

    url.replacen("://", "://cordboard:secret@", 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_exchange_is_declared_again() {
    let cluster = Cluster::new().await;
    let service = cluster.start("a", "ingress,worker,gateway").await;
    let target = "/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a";
    service.send(target).await.unwrap();
    cluster.settled(1).await;

    let vhost = vhost_of(&cluster.broker);
    for exchange in ["grandstream", "grandstream.plain", "cordboard.calls"] {
        let path = format!("exchanges/{vhost}/{exchange}");
        rabbit::manage(&cluster.urls, "DELETE", &path, &json!({})).await;
    }
    service
        .send(&target.replace("c=a", "c=b").replace("201", "202"))
        .await
        .unwrap();
    cluster.settled(2).await;

    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_virtual_host_is_named_and_waited_for() {
    let mut cluster = Cluster::bare(servers::shared()).await;
    let (node, _) = cluster.broker.rsplit_once('/').unwrap();
    let vhost = format!("test-{}", uuid::Uuid::now_v7().simple());
    let missing = format!("{node}/{vhost}");
    cluster.set("BROKER__URL", &missing);

    let ingress = cluster.start("a", "ingress").await;
    let worker = cluster.start("b", "worker").await;
    let target = "/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a";
    ingress.send(target).await.unwrap();
    until_named(&ingress, "publisher", &vhost).await;
    until_named(&worker, "consumer", &vhost).await;
    assert_eq!(ingress.readiness().await.1["status"], "degraded");
    assert_eq!(worker.readiness().await.0, 503);

    rabbit::make_vhost(servers::shared(), &vhost).await;
    cluster.output_of(&["broker", "apply"]).await;
    cluster.settled(1).await;

    ingress.stop().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_the_documented_rights_publishes_reports_and_nothing_else() {
    let cluster = Cluster::new().await;
    let vhost = vhost_of(&cluster.broker);
    let user = format!("crm-{vhost}");
    let put = async |path: String, body: Value| {
        rabbit::manage(&cluster.urls, "PUT", &path, &body).await;
    };
    put(
        format!("users/{user}"),
        json!({ "password": "crm", "tags": "" }),
    )
    .await;
    put(
        format!("permissions/{vhost}/{user}"),
        json!({
            "configure": r"^amq\.gen-",
            "write": r"^(grandstream|amq\.gen-.*)$",
            "read": r"^(grandstream|cordboard\.calls|amq\.gen-.*)$",
        }),
    )
    .await;
    put(
        format!("topic-permissions/{vhost}/{user}"),
        json!({
            "exchange": "grandstream",
            "write": r"^(call|device)\.[a-z_]+$",
            "read": ".*",
        }),
    )
    .await;
    let (_, place) = cluster.broker.rsplit_once('@').unwrap();
    let url = format!("amqp://{user}:crm@{place}");

    let program = ForeignProgram::connect(&url).await;
    program
        .publish("grandstream", "call.incoming", PLAIN.as_bytes())
        .await;
    for key in ["tick.p00", "call.incoming.p00"] {
        let program = ForeignProgram::connect(&url).await;
        let refused = program.try_publish("grandstream", key).await;
        assert!(refused.contains("ACCESS_REFUSED"), "{key}: {refused}");
    }

    rabbit::manage(
        &cluster.urls,
        "DELETE",
        &format!("users/{user}"),
        &json!({}),
    )
    .await;
}

/// Waits until a part of the readiness names the virtual host.
async fn until_named(service: &Service, part: &str, vhost: &str) {
    let awaited = format!("`{part}` names {vhost}");

    service
        .eventually(&awaited, async |service| {
            let (_, readiness) = service.readiness().await;
            let text = readiness[part].as_str().unwrap();
            if text.contains(vhost) {
                Ok(())
            } else {
                Err(text.to_owned())
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_broker_that_refuses_or_does_not_answer() {
    let mut cluster = Cluster::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_, node) = cluster.broker.rsplit_once('@').unwrap();

    for broker in [
        format!("amqp://cordboard:wrong@{node}"),
        format!("amqp://{}/x", silent.local_addr().unwrap()),
    ] {
        cluster.set("BROKER__URL", &broker);
        let service = cluster.start("a", "ingress,worker,gateway").await;
        let target = "/gs/cti/incoming?mac=000b82000001&local=201&remote=+4930111222&c=a";
        service.send(target).await.unwrap();

        let began = tokio::time::Instant::now();
        service.stop().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(6), "{broker}: {took:?}");
    }
}

/// Runs the file of roles in a database, as its superuser.
async fn grant(database: &str) {
    let granted = Command::new("psql")
        .args(["--quiet", "--dbname", database, "--file"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/postgres/roles.sql"
        ))
        .output();
    let granted = within(PATIENCE, "psql", granted).await.unwrap();

    let error = String::from_utf8_lossy(&granted.stderr);
    assert!(granted.status.success(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_works_with_the_rights_of_its_roles() {
    let mut cluster = Cluster::new().await;
    cluster.database = postgres::new_database(&cluster.urls.database).await;
    let (_, place) = cluster.database.rsplit_once('@').unwrap();
    let of_role = |role: &str| format!("postgres://{role}@{place}");

    grant(&cluster.database).await;
    let (owner, app) = (of_role("cordboard_owner"), of_role("cordboard_app"));
    let reader = of_role("cordboard_read");
    cluster.set("DATABASE__URL", &owner);
    cluster.output_of(&["migrate"]).await;
    grant(&cluster.database).await;

    cluster.set("DATABASE__URL", &app);
    let live = redis_user(&cluster.urls.redis).await;
    cluster.set("LIVE__URL", &live);
    for _ in 0..2 {
        let service = cluster.start("all", "ingress,worker,gateway").await;
        for event in ["incoming", "answered", "hangup"] {
            let target = format!("/gs/cti/{event}?mac=000b82000001&local=201&remote=+4930111222");
            service.send(&target).await.unwrap();
        }
        // The second time it takes over what the first has stored.
        let stored = "SELECT count(*) FROM call_logs WHERE outcome = 'answered'";
        cluster
            .until_count("an answered call", stored, |calls| calls > 0)
            .await;
        let call = json!({ "call_id": "x", "session_id": "s" });
        service.call("POST", "/api/v1/call-states", &call).await;
        service.ask("/api/v1/call-events?site=default").await;
        assert_eq!(service.metric("cordboard_live_refused_total").await, 0);
        service.stop().await;
    }

    for statement in ["SELECT lo_create(0)", "SELECT pg_advisory_lock(1)::text"] {
        let refused = postgres::try_value::<String>(&reader, statement).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }
}
