//! Faults of the live view: it is incomplete for a while, and delays and changes no record.

use cordboard::domain::fact::EventId;
use cordboard::port::live::{LiveDirectory, LiveView};
use deadpool_redis::redis::{self, Client};
use serde_json::json;

use crate::support::live::{CALLER, View};
use crate::support::scene::Scene;
use crate::support::servers::Servers;
use crate::support::service::{self, Service};
use crate::support::wait::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_view_that_is_flushed_killed_frozen_or_full_changes_no_record() {
    let mut scene = Scene::new().await;
    let workers = vec![scene.worker("a").await, scene.worker("b").await];
    scene.report().await;
    scene.more().await;

    let client = Client::open(&*scene.servers.urls.redis).unwrap();
    for _ in 0..3 {
        command(&client, &["FLUSHALL"]).await;
        scene.more().await;
    }
    command(&client, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
    scene.more().await;
    command(&client, &["CONFIG", "SET", "maxmemory", "0"]).await;

    scene.servers.order("kill redis").await;
    scene.more().await;
    workers[0].until_part("live view", false).await;
    let (status, _) = workers[0].readiness().await;
    assert_eq!(status, 200, "nothing waits for the live view");
    scene.servers.order("wipe redis").await;
    scene.servers.order("start redis").await;
    workers[0].until_part("live view", true).await;

    scene.servers.order("freeze redis").await;
    scene.more().await;
    scene.servers.order("thaw redis").await;

    scene.end(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_server_has_refused_is_written_again() {
    let servers = Servers::start(&["redis"]).await;
    let mut view = View::on(&servers.urls.redis);
    let client = Client::open(&*servers.urls.redis).unwrap();
    view.report(0, "incoming").await;
    view.live.republish(&[]).await;
    assert!(view.report(1, "incoming").await, "it is complete");

    command(&client, &["CONFIG", "SET", "maxmemory", "1"]).await;
    view.report(2, "answered").await;
    command(&client, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(!view.report(3, "hold").await, "the answer is missing");
}

/// Redis was frozen while a state changed: it answers with the state before when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_changed_while_redis_was_frozen_is_not_read_from_it() {
    let mut servers = Servers::start(&["redis"]).await;
    let data = tempfile::tempdir().unwrap();
    let variables = [("LIVE__URL", servers.urls.redis.as_str())];
    let service = Service::begin(service::command(data.path(), &["serve"], &variables)).await;
    service.wait_until_ready().await;
    let states = "/api/v1/call-states";
    let call = json!({ "call_id": "x", "session_id": "s" });
    assert_eq!(service.call("POST", states, &call).await.0, 201);

    servers.order("freeze redis").await;
    let change = json!({ "status": "completed" });
    let (_, changed) = service
        .call("PATCH", "/api/v1/call-states/x", &change)
        .await;
    assert_eq!(changed["status"], "completed");
    servers.order("thaw redis").await;
    for path in ["/api/v1/call-states/x", "/api/v1/call-states?session=s"] {
        assert_eq!(service.ask(path).await["status"], "completed", "{path}");
    }

    // Another gateway would read the key, and other programs the set of open calls.
    let client = Client::open(&*servers.urls.redis).unwrap();
    eventually(PATIENCE, "the keys without the former state", async || {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut get = redis::cmd("GET");
        get.arg("call:state:x");
        let state: Option<String> = get.query_async(&mut connection).await.unwrap();
        let mut members = redis::cmd("SMEMBERS");
        members.arg("active_calls");
        let active: Vec<String> = members.query_async(&mut connection).await.unwrap();
        match state {
            Some(state) if state.contains("completed") && active.is_empty() => Ok(()),
            state => Err(format!("{state:?} {active:?}")),
        }
    })
    .await;
    service.stop().await;
}

/// The gateway that could not write a state has died: the next one corrects what Redis says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_a_dead_gateway_could_not_write_is_corrected_by_another_one() {
    let mut servers = Servers::start(&["redis"]).await;
    let data = tempfile::tempdir().unwrap();
    let url = servers.urls.redis.clone();
    let variables = [("LIVE__URL", url.as_str())];
    let states = "/api/v1/call-states";
    let begin = async || {
        let service = Service::begin(service::command(data.path(), &["serve"], &variables)).await;
        service.wait_until_ready().await;
        service
    };
    let service = begin().await;
    let call = json!({ "call_id": "x" });
    assert_eq!(service.call("POST", states, &call).await.0, 201);
    servers.order("freeze redis").await;
    let end = format!("{states}/x/end");
    let (_, ended) = service.call("POST", &end, &json!({})).await;
    assert_eq!(ended["status"], "completed");
    service.kill().await;
    servers.order("thaw redis").await;

    let service = begin().await;
    service
        .eventually("the end of the call", async |service| {
            let state = service.ask("/api/v1/call-states/x").await;
            match state["status"].as_str() {
                Some("completed") => Ok(()),
                _ => Err(state.to_string()),
            }
        })
        .await;
    service.stop().await;
}

async fn command(client: &Client, words: &[&str]) {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();

    redis::cmd(words[0])
        .arg(&words[1..])
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_every_call_is_shown_again_and_until_then_the_view_is_incomplete() {
    let mut servers = Servers::start(&["redis"]).await;
    let mut view = View::on(&servers.urls.redis);
    view.report(0, "incoming").await;
    let directory = view.directory();
    // On a busy machine an answer may come after its deadline.
    eventually(PATIENCE, "the call", async || {
        view.republish().await;
        match directory.open_calls().await {
            Some(calls) if calls.len() == 1 => Ok(()),
            other => Err(format!("{:?}", other.map(|calls| calls.len()))),
        }
    })
    .await;

    servers.order("kill redis").await;
    servers.order("wipe redis").await;
    servers.order("start redis").await;

    // After failures in a row the server is left alone for a moment.
    eventually(PATIENCE, "a complete view", async || {
        if directory.open_calls().await.is_some() {
            return Ok(());
        }
        if !view.report(1, "incoming").await {
            assert_eq!(directory.open_calls().await, None);
            view.republish().await;
        }

        Err("the view is incomplete".to_owned())
    })
    .await;
    assert_eq!(directory.open_calls().await.unwrap().len(), 1);
    let active = format!("calls:active:{CALLER}");
    assert!(view.field(&active, "claimed_call_id").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_type_and_a_frozen_server_are_no_obstacle() {
    let mut servers = Servers::start(&["redis"]).await;
    let mut view = View::on(&servers.urls.redis);
    let active = format!("calls:active:{CALLER}");
    let _: () = view.ask("SET", &active, &["of another program"]).await;

    view.report(0, "incoming").await;
    let direction = view.get(&format!("call:direction:{}", EventId(1))).await;
    assert_eq!(direction.as_deref(), Some("in"));

    servers.order("freeze redis").await;
    let began = tokio::time::Instant::now();
    for second in 1..200 {
        view.report(second, "incoming").await;
    }
    // Five requests time out, and then no more are made: not two hundred times the deadline.
    let elapsed = began.elapsed();
    assert!(elapsed.as_secs() < 10, "{elapsed:?}");
    servers.order("thaw redis").await;
}
