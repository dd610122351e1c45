//! Consumers to compare with, in batches of 256: one pipeline, one transaction, one acknowledgement
//! for each. `least` does the least one could: one claim and one row for each message. `trial` does
//! what a first try at this service does: it reads each message, claims its call by a script, keeps
//! every event, and keeps one row for each call up to date.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cordboard::adapter::rabbit::BrokerAddress;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, Client, Pipeline};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const BATCH: usize = 256;
const CLAIM: &str = "local owner = redis.call('HGET', KEYS[1], 'owner')
 if not owner and ARGV[2] == 'answered' then redis.call('HSET', KEYS[1], 'owner', ARGV[1]) owner = ARGV[1] end
 redis.call('HSET', KEYS[1], 'last', ARGV[2])
 redis.call('EXPIRE', KEYS[1], 3600)
 return owner";

/// What both need.
pub struct Peer {
    sql: PgConnection,
    live: MultiplexedConnection,
    channel: Channel,
    consumer: Consumer,
}

pub async fn channel(broker: &str) -> Channel {
    let connection = broker
        .parse::<BrokerAddress>()
        .unwrap()
        .connect("bench")
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    // It lives as long as the benchmark.
    std::mem::forget(connection);
    channel
}

impl Peer {
    pub async fn new(
        broker: &str,
        queue: &str,
        database: &str,
        redis: &str,
        tables: &'static str,
    ) -> Peer {
        let mut sql = PgConnection::connect(database).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(tables))
            .execute(&mut sql)
            .await
            .unwrap();
        let live = Client::open(redis)
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let channel = channel(broker).await;
        channel
            .basic_qos(2_048, BasicQosOptions::default())
            .await
            .unwrap();
        let consumer = channel
            .basic_consume(
                queue.into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        Peer {
            sql,
            live,
            channel,
            consumer,
        }
    }

    /// The next messages, and the tag that acknowledges all of them.
    async fn batch(&mut self, most: usize) -> (Vec<Vec<u8>>, u64) {
        let (mut messages, mut tag) = (Vec::new(), 0);
        while messages.len() < BATCH.min(most) {
            let delivery = self.consumer.next().await.unwrap().unwrap();
            tag = delivery.delivery_tag;
            messages.push(delivery.data);
        }
        (messages, tag)
    }

    async fn settle(&self, tag: u64) {
        self.channel
            .basic_ack(tag, BasicAckOptions { multiple: true })
            .await
            .unwrap();
    }
}

pub const LEAST_TABLES: &str = "CREATE TABLE least (id bigserial PRIMARY KEY, body text NOT NULL)";

pub async fn least(peer: &mut Peer, messages: usize) -> Duration {
    let began = Instant::now();
    let mut done = 0;
    while done < messages {
        let (batch, tag) = peer.batch(messages - done).await;
        let mut pipeline = Pipeline::new();
        for number in 0..batch.len() {
            let key = format!("claim:{}", done + number);
            pipeline
                .cmd("EVAL")
                .arg("return redis.call('SET', KEYS[1], 1, 'NX', 'EX', 60)")
                .arg(1)
                .arg(key);
        }
        pipeline.query_async::<()>(&mut peer.live).await.unwrap();
        let bodies: Vec<&str> = batch
            .iter()
            .map(|body| std::str::from_utf8(body).unwrap())
            .collect();
        sqlx::query("INSERT INTO least (body) SELECT * FROM unnest($1::text[])")
            .bind(bodies)
            .execute(&mut peer.sql)
            .await
            .unwrap();
        peer.settle(tag).await;
        done += batch.len();
    }
    began.elapsed()
}

pub const TRIAL_TABLES: &str = "
CREATE TABLE trial_events (id uuid PRIMARY KEY, site text NOT NULL, at bigint NOT NULL, event text NOT NULL, remote text, body text NOT NULL);
CREATE TABLE trial_calls (site text NOT NULL, remote text NOT NULL, first_at bigint NOT NULL, last_at bigint NOT NULL, last_event text NOT NULL,
    PRIMARY KEY (site, remote)) WITH (fillfactor = 70)";

/// One event as the trial reads it.
struct Event {
    id: uuid::Uuid,
    site: String,
    at: i64,
    name: String,
    remote: Option<String>,
    device: String,
    body: String,
}

impl Event {
    /// `None` for a promise.
    fn read(message: Vec<u8>) -> Option<Event> {
        let body = String::from_utf8(message).unwrap();
        let read: Value = serde_json::from_str(&body).unwrap();
        let id = read["id"].as_str()?.parse().unwrap();
        let at = read["at"].as_i64().unwrap();
        let target = read["target"].as_str().unwrap();
        let (path, query) = target.split_once('?').unwrap();
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| {
                pair.strip_prefix(name)?
                    .strip_prefix('=')
                    .map(str::to_owned)
            })
        };
        let name = path.rsplit('/').next().unwrap().to_owned();
        let (remote, device) = (parameter("remote"), parameter("mac").unwrap_or_default());
        Some(Event {
            id,
            site: read["site"].as_str().unwrap().to_owned(),
            at,
            name,
            remote,
            device,
            body,
        })
    }
}

pub async fn trial(peer: &mut Peer, messages: usize) -> Duration {
    let hash: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(CLAIM)
        .query_async(&mut peer.live)
        .await
        .unwrap();
    let began = Instant::now();
    let mut done = 0;
    while done < messages {
        let (batch, tag) = peer.batch(messages - done).await;
        done += batch.len();
        let events: Vec<Event> = batch.into_iter().filter_map(Event::read).collect();
        let mut pipeline = Pipeline::new();
        for event in &events {
            let key = format!(
                "trial:{}:{}",
                event.site,
                event.remote.as_deref().unwrap_or_default()
            );
            pipeline
                .cmd("EVALSHA")
                .arg(&hash)
                .arg(1)
                .arg(key)
                .arg(&event.device)
                .arg(&event.name);
        }
        pipeline.query_async::<()>(&mut peer.live).await.unwrap();
        write(&mut peer.sql, &events).await;
        peer.settle(tag).await;
    }
    began.elapsed()
}

async fn write(sql: &mut PgConnection, events: &[Event]) {
    fn column<'e, V>(events: &'e [Event], value: impl Fn(&'e Event) -> V) -> Vec<V> {
        events.iter().map(value).collect()
    }
    let mut calls: HashMap<(&str, &str), (i64, i64, &str)> = HashMap::new();
    for event in events {
        let call = calls
            .entry((&event.site, event.remote.as_deref().unwrap_or_default()))
            .or_insert((event.at, event.at, &event.name));
        (call.1, call.2) = (event.at, &event.name);
    }
    let mut transaction = sql.begin().await.unwrap();
    sqlx::query("INSERT INTO trial_events SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING")
        .bind(column(events, |event| event.id))
        .bind(column(events, |event| event.site.as_str()))
        .bind(column(events, |event| event.at))
        .bind(column(events, |event| event.name.as_str()))
        .bind(column(events, |event| event.remote.as_deref()))
        .bind(column(events, |event| event.body.as_str()))
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO trial_calls SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
            ON CONFLICT (site, remote) DO UPDATE SET last_at = excluded.last_at, last_event = excluded.last_event",
    )
    .bind(calls.keys().map(|(site, _)| *site).collect::<Vec<_>>())
    .bind(calls.keys().map(|(_, remote)| *remote).collect::<Vec<_>>())
    .bind(calls.values().map(|(first, ..)| *first).collect::<Vec<_>>())
    .bind(calls.values().map(|(_, last, _)| *last).collect::<Vec<_>>())
    .bind(calls.values().map(|(.., event)| *event).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
}
