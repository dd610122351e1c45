//! The live view on Redis: the documented keys during a call, and newer entries that stay.

use std::sync::Arc;

use cordboard::adapter::redis::{RedisLive, RedisPresence};
use cordboard::domain::fact::EventId;
use cordboard::port::live::{LiveDirectory, LiveView, Presence};

use crate::support::batches::after_seconds;
use crate::support::cluster::Cluster;
use crate::support::live::{CALLER, PHONE, View};
use crate::support::servers;
use crate::support::wait::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_keys_exist_during_a_call_and_its_claim_is_gone_after_it() {
    let mut view = View::on(&servers::shared().redis);
    assert!(
        !view.report(0, "incoming").await,
        "nothing of this partition was shown before"
    );
    view.republish().await;
    check_ringing(&view).await;

    let active = format!("calls:active:{CALLER}");
    assert!(view.report(4, "answered").await);
    assert_eq!(
        view.field(&active, "answered").await.as_deref(),
        Some("true")
    );

    view.report(34, "hangup").await;
    assert_eq!(view.field(&active, "claimed_call_id").await, None);
    assert_eq!(view.ask::<u32>("SCARD", "active_calls", &[]).await, 0);
    let id = EventId(1).to_string();
    let prints: Vec<String> = view.ask("ZRANGE", "calls:transfers", &["0", "-1"]).await;
    assert!(prints.len() == 1 && prints[0].contains(&id), "{prints:?}");
    let transfer = view.get(&format!("calls:transfer:{CALLER}")).await.unwrap();
    assert!(transfer.contains(&id), "{transfer}");

    check_stream(&view).await;
}

async fn check_ringing(view: &View) {
    let began = Some("1767225600.000");
    let id = EventId(1).to_string();
    let active = format!("calls:active:{CALLER}");
    for (field, expected) in [
        ("claimed_call_id", Some(id.as_str())),
        ("answered", Some("false")),
        ("timestamp", began),
    ] {
        let value = view.field(&active, field).await;
        assert_eq!(value.as_deref(), expected, "{field}");
    }

    let ring = format!("calls:ring:{id}");
    for (key, expected) in [
        (format!("calls:device_reported:{PHONE}:{CALLER}"), Some("1")),
        (ring.clone(), began),
        (format!("calls:ring_remote:{CALLER}"), began),
        (format!("call:direction:{id}"), Some("in")),
    ] {
        let value = view.get(&key).await;
        assert_eq!(value.as_deref(), expected, "{key}");
    }

    let open: Vec<String> = view.ask("SMEMBERS", "active_calls", &[]).await;
    assert_eq!(open, [id]);

    let ttl: i64 = view.ask("TTL", &ring, &[]).await;
    assert!((290..=300).contains(&ttl), "{ttl}");
}

async fn check_stream(view: &View) {
    let stream = "call-events:provider:default:2026-01-01";
    let entries: Vec<(String, Vec<String>)> = view.ask("XRANGE", stream, &["-", "+"]).await;

    let types: Vec<&str> = entries
        .iter()
        .map(|(_, fields)| fields[1].as_str())
        .collect();
    assert_eq!(types, ["call_started", "call_answered", "call_ended"]);

    let (_, first) = &entries[0];
    assert_eq!(first[2], "callSid");
    assert_eq!(first[3], EventId(1).to_string());
    assert_eq!(first[5], "default");

    let ttl: i64 = view.ask("TTL", stream, &[]).await;
    assert!((89_000..=90_000).contains(&ttl), "{ttl}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_call_is_pending_until_it_is_decided() {
    let mut view = View::on(&servers::shared().redis);
    let id = EventId(1).to_string();
    let schedule = "calls:missed:schedule";
    let queue = "calls:missed:queue";

    view.report(0, "incoming").await;
    view.report(10, "missed").await;
    let due: Option<String> = view.ask("ZSCORE", schedule, &[&id]).await;
    assert_eq!(
        due.as_deref(),
        Some("1767225616"),
        "six seconds of silence: a hunt may go on"
    );
    let queued: Vec<String> = view.ask("LRANGE", queue, &["0", "-1"]).await;
    assert_eq!(queued, [id]);

    let decided = view.passed(60);
    view.live.publish(&decided).await;
    assert_eq!(view.ask::<u32>("ZCARD", schedule, &[]).await, 0);
    assert_eq!(view.ask::<u32>("LLEN", queue, &[]).await, 0);
}

/// The marker of the partition stays when another key is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_list_of_open_calls_is_found_and_all_are_written_again() {
    let mut view = View::on(&servers::shared().redis);
    view.report(0, "incoming").await;
    let open = view.passed(1);
    view.live.republish(&[]).await;
    view.report(1, "answered").await;
    assert_eq!(view.ask::<u32>("ZCARD", "calls:live:p00", &[]).await, 1);

    view.ask::<u32>("DEL", "calls:live:p00", &[]).await;
    eventually(PATIENCE, "the missing list", async || {
        if view.live.publish(&open).await {
            Err("the view is complete".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_over_something_newer() {
    let mut view = View::on(&servers::shared().redis);
    let ringing = view.committed(0, "incoming");
    view.live.publish(&ringing).await;
    view.report(4, "answered").await;

    // A worker that was frozen goes on, and shows the call as it was.
    let zombie = RedisLive::new(Arc::clone(&view.link), &view.prefix, "p00");
    zombie.publish(&ringing).await;

    let active = format!("calls:active:{CALLER}");
    assert_eq!(
        view.field(&active, "answered").await.as_deref(),
        Some("true")
    );
    let call = view.directory().call(&EventId(1).to_string()).await;
    assert!(call.unwrap().contains("\"status\":\"answered\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_replaced_owner_lists_again_is_removed() {
    let mut view = View::on(&servers::shared().redis);
    let ringing = view.committed(0, "incoming");
    view.live.publish(&ringing).await;
    view.republish().await;
    view.report(4, "answered").await;
    assert!(view.report(34, "hangup").await, "the view is complete");

    // A worker that was frozen goes on, and shows the call as it was.
    let zombie = RedisLive::new(Arc::clone(&view.link), &view.prefix, "p00");
    zombie.publish(&ringing).await;
    assert_eq!(view.ask::<u32>("ZCARD", "calls:live:p00", &[]).await, 1);

    let over = view.passed(40);
    eventually(PATIENCE, "the call that is over", async || {
        if view.live.publish(&over).await {
            Err("the view is complete".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    view.republish().await;
    assert_eq!(view.ask::<u32>("ZCARD", "calls:live:p00", &[]).await, 0);
    assert_eq!(view.ask::<u32>("SCARD", "active_calls", &[]).await, 0);
    let active = format!("calls:active:{CALLER}");
    assert_eq!(view.field(&active, "claimed_call_id").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_an_agent_stays_until_its_last_socket_leaves() {
    let view = View::on(&servers::shared().redis);
    let presence = RedisPresence::new(Arc::clone(&view.link), &view.prefix, "node");
    let session = "agents:session:anna";

    presence.heartbeat("anna", "first", after_seconds(0)).await;
    presence
        .heartbeat("anna", "second", after_seconds(60))
        .await;
    presence.leave("anna", "first").await;
    for (field, expected) in [("socket_id", "second"), ("last_heartbeat", "1767225660")] {
        let value = view.field(session, field).await;
        assert_eq!(value.as_deref(), Some(expected), "{field}");
    }
    let ttl: i64 = view.ask("TTL", session, &[]).await;
    assert!((80..=90).contains(&ttl), "{ttl}");

    presence.leave("anna", "second").await;
    assert_eq!(view.field(session, "socket_id").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_type_is_logged_once() {
    let mut cluster = Cluster::new().await;
    let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
    cluster.set("LIVE__PREFIX", &prefix);
    let view = View::with_prefix(&cluster.urls.redis, prefix);
    for call in 0..5 {
        let key = format!("calls:active:+49301111{call}");
        let _: i64 = view.ask("LPUSH", &key, &["taken"]).await;
    }

    let service = cluster.start("all", "ingress,worker,gateway").await;
    for call in 0..5 {
        let target =
            format!("/gs/cti/incoming?mac=000b8200000{call}&local=20{call}&remote=+49301111{call}");
        service.send(&target).await.unwrap();
        service
            .send(&target.replace("incoming", "missed"))
            .await
            .unwrap();
    }
    cluster.settled(10).await;
    service
        .until_metric("cordboard_live_refused_total", |refused| refused >= 2)
        .await;

    let log = service.log.all().join("\n");
    assert_eq!(log.matches("command refused").count(), 1, "{log}");
    service.stop().await;
}
