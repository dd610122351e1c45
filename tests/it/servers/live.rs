//! The live view on a real Redis: the documented keys during a call, never older than what is
//! there, gone and back, and never in the way.

use std::sync::Arc;

use crate::support::ledger::block_on;
use crate::support::overlay::EPOCH;
use crate::support::servers::{self, Servers};
use cordboard::adapter::redis::{Link, RedisDirectory, RedisLive, RedisPresence};
use cordboard::domain::Timeline;
use cordboard::domain::fact::{EventId, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::At;
use cordboard::health::HealthCheck;
use cordboard::port::ledger::{CallUpdate, Changes, ReceivedFact};
use cordboard::port::live::{LiveDirectory, LiveView, Presence};
use cordboard::port::outbox::Notification;
use cordboard::wire::envelope::{BodyForm, Envelope};
use cordboard::wire::notification;
use deadpool_redis::redis::{self, FromRedisValue};

const CALLER: &str = "+4930111222";
const PHONE: &str = "000b82000001";

/// A live view with keys of its own.
struct View {
    url: String,
    prefix: String,
    link: Arc<Link>,
    live: RedisLive,
    timeline: Timeline,
    facts: u128,
    told: u64,
}

impl View {
    fn on(url: &str) -> View {
        let prefix = format!("{}:", uuid::Uuid::now_v7().simple());
        let link = Arc::new(
            Link::new(&url.parse().unwrap(), 0, HealthCheck::optional("live view")).unwrap(),
        );
        let live = RedisLive::new(Arc::clone(&link), &prefix, "p00");
        let timeline = Timeline::new(Site::default(), Arc::new(Policy::default()));
        View {
            url: url.to_owned(),
            prefix,
            link,
            live,
            timeline,
            facts: 0,
            told: 0,
        }
    }

    /// A phone reports, time passes, and what was committed is shown.
    async fn report(&mut self, second: i64, event: &str) -> bool {
        let changes = self.committed(second, event);
        self.live.publish(&changes).await
    }

    fn committed(&mut self, second: i64, event: &str) -> Changes {
        self.facts += 1;
        let at = At(EPOCH + second * 1_000_000);
        let target = format!("/gs/cti/{event}?mac={PHONE}&local=201&remote={CALLER}&c=a");
        let envelope = Envelope::new(
            EventId(self.facts),
            at,
            &Site::default(),
            None,
            &target,
            "",
            BodyForm::None,
        );
        let fact = envelope.fact(|_| &POLICY).unwrap();
        let delta = self.timeline.apply(vec![fact.clone()], at);
        let calls = CallUpdate::from_delta(delta.changed, Vec::new()).collect();
        let mut changes = Changes {
            calls,
            watermark: Some(at),
            ..Changes::default()
        };
        changes.facts.push(ReceivedFact {
            fact,
            message: envelope.encode(),
        });
        for notice in delta.notices {
            self.told += 1;
            let record = changes
                .calls
                .iter()
                .find(|call| call.record.id == notice.call)
                .map(CallUpdate::json);
            changes.notifications.push(Notification {
                number: self.told,
                kind: notice.kind,
                call: notice.call,
                data: notification::json(notice.call, record).into(),
            });
        }
        changes
    }

    async fn ask<T: FromRedisValue>(&self, command: &str, key: &str, rest: &[&str]) -> T {
        let client = redis::Client::open(&*self.url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command)
            .arg(format!("{}{key}", self.prefix))
            .arg(rest)
            .query_async(&mut connection)
            .await
            .unwrap()
    }

    async fn get(&self, key: &str) -> Option<String> {
        self.ask("GET", key, &[]).await
    }

    async fn field(&self, key: &str, field: &str) -> Option<String> {
        self.ask("HGET", key, &[field]).await
    }

    fn directory(&self) -> RedisDirectory {
        RedisDirectory::new(
            Arc::clone(&self.link),
            Arc::clone(&self.link),
            &self.prefix,
            vec!["p00".to_owned()],
        )
    }
}

static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);

#[test]
fn the_documented_keys_are_there_during_a_call_and_its_claim_is_gone_after_it() {
    block_on(async {
        let mut view = View::on(&servers::shared().redis);
        assert!(
            !view.report(0, "incoming").await,
            "nothing of this partition was shown before"
        );
        view.live.republish(&view.timeline.open_calls()).await;
        let id = EventId(1).to_string();
        let active = format!("calls:active:{CALLER}");
        assert_eq!(
            view.field(&active, "claimed_call_id").await.as_deref(),
            Some(&*id)
        );
        assert_eq!(view.field(&active, "answered").await.as_deref(), Some("0"));
        assert_eq!(
            view.field(&active, "timestamp").await.as_deref(),
            Some("1767225600.000")
        );
        assert_eq!(
            view.get(&format!("calls:device_reported:{PHONE}:{CALLER}"))
                .await
                .as_deref(),
            Some("1")
        );
        assert_eq!(
            view.get(&format!("calls:ring:{id}")).await.as_deref(),
            Some("1767225600.000")
        );
        assert_eq!(
            view.get(&format!("calls:ring_remote:{CALLER}"))
                .await
                .as_deref(),
            Some("1767225600.000")
        );
        assert_eq!(
            view.get(&format!("call:direction:{id}")).await.as_deref(),
            Some("in")
        );
        let ttl: i64 = view.ask("TTL", &format!("calls:ring:{id}"), &[]).await;
        assert!((290..=300).contains(&ttl), "{ttl}");

        assert!(view.report(4, "answered").await);
        assert_eq!(view.field(&active, "answered").await.as_deref(), Some("1"));
        view.report(34, "hangup").await;
        assert_eq!(view.field(&active, "claimed_call_id").await, None);
        let prints: Vec<String> = view.ask("ZRANGE", "calls:transfers", &["0", "-1"]).await;
        assert!(prints.len() == 1 && prints[0].contains(&id), "{prints:?}");
        assert!(
            view.get(&format!("calls:transfer:{CALLER}"))
                .await
                .unwrap()
                .contains(&id)
        );

        let stream = "call-events:provider:default:2026-01-01";
        let entries: Vec<(String, Vec<String>)> = view.ask("XRANGE", stream, &["-", "+"]).await;
        let types: Vec<&str> = entries
            .iter()
            .map(|(_, fields)| fields[1].as_str())
            .collect();
        assert_eq!(types, ["call_started", "call_answered", "call_ended"]);
        assert_eq!(
            (&*entries[0].1[2], &*entries[0].1[3], &*entries[0].1[5]),
            ("callSid", &*id, "grandstream")
        );
        let ttl: i64 = view.ask("TTL", stream, &[]).await;
        assert!((89_000..=90_000).contains(&ttl), "{ttl}");
    });
}

#[test]
fn a_missed_call_is_pending_until_it_is_decided() {
    block_on(async {
        let mut view = View::on(&servers::shared().redis);
        view.report(0, "incoming").await;
        view.report(10, "missed").await;
        let due: Option<String> = view
            .ask(
                "ZSCORE",
                "calls:missed:schedule",
                &[&EventId(1).to_string()],
            )
            .await;
        assert_eq!(
            due.as_deref(),
            Some("1767225616"),
            "six seconds of silence: a hunt may go on"
        );
        let queue: Vec<String> = view.ask("LRANGE", "calls:missed:queue", &["0", "-1"]).await;
        assert_eq!(queue, [EventId(1).to_string()]);
        let delta = view.timeline.apply(Vec::new(), At(EPOCH + 60_000_000));
        let calls = CallUpdate::from_delta(delta.changed, delta.finished).collect();
        view.live
            .publish(&Changes {
                calls,
                watermark: Some(At(EPOCH + 60_000_000)),
                ..Changes::default()
            })
            .await;
        let left: (u32, u32) = (
            view.ask("ZCARD", "calls:missed:schedule", &[]).await,
            view.ask("LLEN", "calls:missed:queue", &[]).await,
        );
        assert_eq!(left, (0, 0));
    });
}

#[test]
fn nothing_is_written_over_something_newer() {
    block_on(async {
        let mut view = View::on(&servers::shared().redis);
        let ringing = view.committed(0, "incoming");
        view.live.publish(&ringing).await;
        view.report(4, "answered").await;
        // A worker that was frozen goes on and shows what it knew.
        let zombie = RedisLive::new(Arc::clone(&view.link), &view.prefix, "p00");
        zombie.publish(&ringing).await;
        assert_eq!(
            view.field(&format!("calls:active:{CALLER}"), "answered")
                .await
                .as_deref(),
            Some("1")
        );
        assert!(
            view.directory()
                .call(&EventId(1).to_string())
                .await
                .unwrap()
                .contains("\"status\":\"answered\"")
        );
    });
}

#[test]
fn after_a_flush_everything_is_shown_again_and_until_then_nobody_believes_it_is_all() {
    block_on(async {
        let mut servers = Servers::start(&["redis"]);
        let mut view = View::on(&servers.urls.redis);
        view.report(0, "incoming").await;
        view.live.republish(&view.timeline.open_calls()).await;
        let directory = view.directory();
        assert_eq!(directory.open_calls().await.unwrap().len(), 1);
        servers.order("kill redis");
        servers.order("wipe redis");
        servers.order("start redis");
        // What failed in a row is left alone for a moment; then it is asked again.
        while directory.open_calls().await.is_none() {
            if !view.report(1, "incoming").await {
                assert_eq!(directory.open_calls().await, None);
                view.live.republish(&view.timeline.open_calls()).await;
            }
        }
        assert_eq!(directory.open_calls().await.unwrap().len(), 1);
        assert!(
            view.field(&format!("calls:active:{CALLER}"), "claimed_call_id")
                .await
                .is_some()
        );
    });
}

#[test]
fn keys_of_another_type_and_a_server_that_says_nothing_are_no_obstacle() {
    block_on(async {
        let mut servers = Servers::start(&["redis"]);
        let mut view = View::on(&servers.urls.redis);
        let _: () = view
            .ask(
                "SET",
                &format!("calls:active:{CALLER}"),
                &["somebody else's"],
            )
            .await;
        view.report(0, "incoming").await;
        assert_eq!(
            view.get(&format!("call:direction:{}", EventId(1)))
                .await
                .as_deref(),
            Some("in")
        );
        servers.order("freeze redis");
        let began = tokio::time::Instant::now();
        for second in 1..200 {
            view.report(second, "incoming").await;
        }
        // Five that wait, and then nobody asks: not two hundred times the deadline.
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        servers.order("thaw redis");
    });
}

#[test]
fn sessions_of_agents_are_there_as_long_as_their_socket_is_the_last() {
    block_on(async {
        let view = View::on(&servers::shared().redis);
        let presence = RedisPresence::new(Arc::clone(&view.link), &view.prefix, "node");
        presence.heartbeat("anna", "first", At(EPOCH)).await;
        presence
            .heartbeat("anna", "second", At(EPOCH + 60_000_000))
            .await;
        presence.leave("anna", "first").await;
        assert_eq!(
            view.field("agents:session:anna", "socket_id")
                .await
                .as_deref(),
            Some("second")
        );
        assert_eq!(
            view.field("agents:session:anna", "last_heartbeat")
                .await
                .as_deref(),
            Some("1767225660")
        );
        let ttl: i64 = view.ask("TTL", "agents:session:anna", &[]).await;
        assert!((80..=90).contains(&ttl), "{ttl}");
        presence.leave("anna", "second").await;
        assert_eq!(view.field("agents:session:anna", "socket_id").await, None);
    });
}
