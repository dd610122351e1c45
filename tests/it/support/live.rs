//! A live view of one partition, with keys of its own on a Redis, and the call it shows.

use std::sync::Arc;

use cordboard::adapter::redis::{RedisDirectory, RedisLink, RedisLive};
use cordboard::domain::Timeline;
use cordboard::domain::fact::Fact;
use cordboard::domain::time::At;
use cordboard::health::HealthCheck;
use cordboard::port::ledger::{CallUpdate, Changes};
use cordboard::port::live::LiveView;
use cordboard::port::outbox::Notification;
use cordboard::wire::notification;
use deadpool_redis::redis::{self, FromRedisValue};

use super::batches::{after_seconds, received, timeline};

pub const CALLER: &str = "+4930111222";
pub const PHONE: &str = "000b82000001";

pub struct View {
    pub prefix: String,
    pub link: Arc<RedisLink>,
    pub live: RedisLive,
    url: String,
    timeline: Timeline,
    facts: u128,
    notifications: u64,
}

impl View {
    pub fn on(url: &str) -> View {
        View::with_prefix(url, format!("{}:", uuid::Uuid::now_v7().simple()))
    }

    pub fn with_prefix(url: &str, prefix: String) -> View {
        let health = HealthCheck::optional("live view");
        let link = Arc::new(RedisLink::new(&url.parse().unwrap(), 0, health).unwrap());

        View {
            live: RedisLive::new(Arc::clone(&link), &prefix, "p00"),
            prefix,
            link,
            url: url.to_owned(),
            timeline: timeline(),
            facts: 0,
            notifications: 0,
        }
    }

    /// Publishes the batch of one report of the phone. Returns whether the view was complete
    /// before.
    pub async fn report(&mut self, second: i64, event: &str) -> bool {
        let changes = self.committed(second, event);

        self.live.publish(&changes).await
    }

    /// The batch of one report.
    pub fn committed(&mut self, second: i64, event: &str) -> Changes {
        self.facts += 1;
        let target = format!("/gs/cti/{event}?mac={PHONE}&local=201&remote={CALLER}&c=a");
        let received = received(self.facts, second, &target);

        let mut changes = self.apply(vec![received.fact.clone()], after_seconds(second));
        changes.facts.push(received);

        changes
    }

    /// The batch of time that passes.
    pub fn passed(&mut self, second: i64) -> Changes {
        self.apply(Vec::new(), after_seconds(second))
    }

    fn apply(&mut self, facts: Vec<Fact>, watermark: At) -> Changes {
        let delta = self.timeline.apply(facts, watermark);
        let mut changes = Changes {
            calls: CallUpdate::from_delta(delta.changed, delta.finished).collect(),
            watermark: Some(watermark),
            ..Changes::default()
        };

        for notice in delta.notices {
            self.notifications += 1;
            let call = changes
                .calls
                .iter()
                .find(|call| call.record.id == notice.call);
            let record = call.map(CallUpdate::json);
            changes.notifications.push(Notification {
                number: self.notifications,
                kind: notice.kind,
                call: notice.call,
                data: notification::json(notice.call, None, record).into(),
            });
        }

        changes
    }

    /// Shows all open calls again.
    pub async fn republish(&self) {
        self.live.republish(&self.timeline.open_calls()).await;
    }

    /// The answer of Redis to a command on a key.
    pub async fn ask<T: FromRedisValue>(&self, command: &str, key: &str, rest: &[&str]) -> T {
        let client = redis::Client::open(&*self.url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();

        redis::cmd(command)
            .arg(format!("{}{key}", self.prefix))
            .arg(rest)
            .query_async(&mut connection)
            .await
            .unwrap()
    }

    pub async fn get(&self, key: &str) -> Option<String> {
        self.ask("GET", key, &[]).await
    }

    pub async fn field(&self, key: &str, field: &str) -> Option<String> {
        self.ask("HGET", key, &[field]).await
    }

    /// A reader of the view.
    pub fn directory(&self) -> RedisDirectory {
        RedisDirectory::new(
            Arc::clone(&self.link),
            Arc::clone(&self.link),
            &self.prefix,
            vec!["p00".to_owned()],
        )
    }
}
