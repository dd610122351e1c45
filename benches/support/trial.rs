//! Consumers to compare with. Both take batches of 256, with one pipeline, one transaction and one
//! acknowledgement for each batch. `least` does the minimum: one claim and one row for each
//! message. `trial` is a first attempt at the task: it parses each message, claims its call by a
//! script, stores every event, and one row for each call.

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

/// A consumer with its connections.
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
    // The connection lives as long as the benchmark.
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
    async fn batch(&mut self, messages_max: usize) -> (Vec<Vec<u8>>, u64) {
        let mut messages = Vec::new();
        let mut tag = 0;
        while messages.len() < BATCH.min(messages_max) {
            let delivery = self.consumer.next().await.unwrap().unwrap();
            tag = delivery.delivery_tag;
            messages.push(delivery.data);
        }

        (messages, tag)
    }

    /// The next messages that come within this time after the first one, and the tag that acknowledges
    /// all of them.
    pub async fn gather(&mut self, linger: Duration) -> (Vec<Vec<u8>>, u64) {
        let first = self.consumer.next().await.unwrap().unwrap();
        let mut tag = first.delivery_tag;
        let mut messages = vec![first.data];
        let until = tokio::time::Instant::now() + linger;

        while messages.len() < BATCH {
            let Ok(delivery) = tokio::time::timeout_at(until, self.consumer.next()).await else {
                break;
            };
            let delivery = delivery.unwrap().unwrap();
            tag = delivery.delivery_tag;
            messages.push(delivery.data);
        }

        (messages, tag)
    }

    /// Loads the script of claims.
    pub async fn load_script(&mut self) -> String {
        redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(CLAIM)
            .query_async(&mut self.live)
            .await
            .unwrap()
    }

    pub async fn acknowledge(&self, tag: u64) {
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

        peer.acknowledge(tag).await;
        done += batch.len();
    }

    began.elapsed()
}

pub const TRIAL_TABLES: &str = "
CREATE TABLE trial_events (
    id uuid PRIMARY KEY,
    site text NOT NULL,
    at bigint NOT NULL,
    event text NOT NULL,
    remote text,
    body text NOT NULL
);
CREATE TABLE trial_calls (
    site text NOT NULL,
    remote text NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    last_event text NOT NULL,
    PRIMARY KEY (site, remote)
) WITH (fillfactor = 70)";

const INSERT_EVENTS: &str = "
INSERT INTO trial_events
SELECT *
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
ON CONFLICT DO NOTHING";

const UPSERT_CALLS: &str = "
INSERT INTO trial_calls
SELECT *
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
ON CONFLICT (site, remote) DO UPDATE
SET last_at = excluded.last_at, last_event = excluded.last_event";

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
    /// Returns `None` for a tick.
    fn parse(message: Vec<u8>) -> Option<Event> {
        let body = String::from_utf8(message).unwrap();
        let fields: Value = serde_json::from_str(&body).unwrap();
        let id = fields["id"].as_str()?.parse().unwrap();
        let (path, query) = fields["target"].as_str().unwrap().split_once('?').unwrap();
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };

        Some(Event {
            id,
            site: fields["site"].as_str().unwrap().to_owned(),
            at: fields["at"].as_i64().unwrap(),
            name: path.rsplit('/').next().unwrap().to_owned(),
            remote: parameter("remote"),
            device: parameter("mac").unwrap_or_default(),
            body,
        })
    }

    fn remote(&self) -> &str {
        self.remote.as_deref().unwrap_or_default()
    }
}

/// The row of one call.
struct Call<'e> {
    first_at: i64,
    last_at: i64,
    last_event: &'e str,
}

pub async fn trial(peer: &mut Peer, messages: usize) -> Duration {
    let script = peer.load_script().await;
    let began = Instant::now();
    let mut done = 0;

    while done < messages {
        let (batch, tag) = peer.batch(messages - done).await;
        done += batch.len();
        write_events(peer, &script, batch).await;
        peer.acknowledge(tag).await;
    }

    began.elapsed()
}

/// Claims the calls of the events in these messages, and stores them.
pub async fn write_events(peer: &mut Peer, script: &str, messages: Vec<Vec<u8>>) {
    let events: Vec<Event> = messages.into_iter().filter_map(Event::parse).collect();

    let mut pipeline = Pipeline::new();
    for event in &events {
        pipeline
            .cmd("EVALSHA")
            .arg(script)
            .arg(1)
            .arg(format!("trial:{}:{}", event.site, event.remote()))
            .arg(&event.device)
            .arg(&event.name);
    }
    pipeline.query_async::<()>(&mut peer.live).await.unwrap();

    write(&mut peer.sql, &events).await;
}

async fn write(sql: &mut PgConnection, events: &[Event]) {
    let mut calls: HashMap<(&str, &str), Call<'_>> = HashMap::new();
    for event in events {
        let call = calls.entry((&event.site, event.remote())).or_insert(Call {
            first_at: event.at,
            last_at: event.at,
            last_event: &event.name,
        });
        call.last_at = event.at;
        call.last_event = &event.name;
    }

    let mut transaction = sql.begin().await.unwrap();
    sqlx::query(INSERT_EVENTS)
        .bind(column(events, |event| event.id))
        .bind(column(events, |event| event.site.as_str()))
        .bind(column(events, |event| event.at))
        .bind(column(events, |event| event.name.as_str()))
        .bind(column(events, |event| event.remote.as_deref()))
        .bind(column(events, |event| event.body.as_str()))
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query(UPSERT_CALLS)
        .bind(column(calls.keys(), |(site, _)| *site))
        .bind(column(calls.keys(), |(_, remote)| *remote))
        .bind(column(calls.values(), |call| call.first_at))
        .bind(column(calls.values(), |call| call.last_at))
        .bind(column(calls.values(), |call| call.last_event))
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

fn column<R, V>(rows: impl IntoIterator<Item = R>, value: impl Fn(R) -> V) -> Vec<V> {
    rows.into_iter().map(value).collect()
}
