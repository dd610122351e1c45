//! How fast the service is on real servers, all of it on one machine: the publisher beside a bare confirm loop, and a full queue drained with
//! all effects beside a consumer that does the least.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on must fail, and its results are its output")]
#![expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "support/backlog.rs"]
mod backlog;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, parted, publish, traffic};
use cordboard::adapter::rabbit::{BrokerAddress, declare};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use sqlx::{Connection, PgConnection};
use support::cluster::Cluster;
use support::servers::Servers;

const WARM_UP_EVENTS: usize = 2_000;
const WINDOW: usize = 1_024;
const BATCH: usize = 256;

async fn channel(broker: &str) -> Channel {
    let connection = broker.parse::<BrokerAddress>().unwrap().connect("bench").await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // It lives as long as the benchmark.
    std::mem::forget(connection);
    channel
}

async fn quorum(channel: &Channel, name: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await.unwrap();
}

/// The same messages with nothing around: one queue, the same window.
async fn bare_publish(broker: &str, queue: &str, messages: &[Vec<u8>]) -> Duration {
    let channel = channel(broker).await;
    quorum(&channel, queue).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let began = Instant::now();
    let mut window = VecDeque::new();
    for message in messages {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        window.push_back(channel.basic_publish("".into(), queue.into(), options, message, properties).await.unwrap());
        if window.len() >= WINDOW {
            assert!(window.pop_front().unwrap().await.unwrap().is_ack());
        }
    }
    for confirm in window {
        assert!(confirm.await.unwrap().is_ack());
    }
    began.elapsed()
}

/// A consumer that does the least one could: one claim in Redis and one row for each message, one transaction and one acknowledgement for each batch.
async fn bare_drain(broker: &str, queue: &str, database: &str, redis: &str, messages: usize) -> Duration {
    let mut sql = PgConnection::connect(database).await.unwrap();
    sqlx::query("CREATE TABLE bare (id bigserial PRIMARY KEY, body text NOT NULL)").execute(&mut sql).await.unwrap();
    let client = deadpool_redis::redis::Client::open(redis).unwrap();
    let mut live = client.get_multiplexed_async_connection().await.unwrap();
    let channel = channel(broker).await;
    channel.basic_qos(2_048, BasicQosOptions::default()).await.unwrap();
    let mut consumer = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await.unwrap();
    let began = Instant::now();
    let mut done = 0;
    while done < messages {
        let mut batch = vec![consumer.next().await.unwrap().unwrap()];
        while batch.len() < BATCH.min(messages - done) {
            batch.push(consumer.next().await.unwrap().unwrap());
        }
        let mut pipeline = deadpool_redis::redis::Pipeline::new();
        for delivery in &batch {
            pipeline
                .cmd("EVAL")
                .arg("return redis.call('SET', KEYS[1], 1, 'NX', 'EX', 60)")
                .arg(1)
                .arg(format!("claim:{}", delivery.delivery_tag));
        }
        pipeline.query_async::<()>(&mut live).await.unwrap();
        let bodies: Vec<&str> = batch.iter().map(|delivery| std::str::from_utf8(&delivery.data).unwrap()).collect();
        sqlx::query("INSERT INTO bare (body) SELECT * FROM unnest($1::text[])").bind(bodies).execute(&mut sql).await.unwrap();
        channel.basic_ack(batch.last().unwrap().delivery_tag, BasicAckOptions { multiple: true }).await.unwrap();
        done += batch.len();
    }
    began.elapsed()
}

fn main() {
    let events = std::env::args().find_map(|word| word.strip_prefix("events=")?.parse().ok()).unwrap_or(200_000);
    let servers = Servers::start(&[]);
    let cluster = Cluster::on(&servers.urls);
    let (warm_up, messages) = parted(traffic(WARM_UP_EVENTS + events), WARM_UP_EVENTS);
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let (ours, bare) = runtime.block_on(async {
        let connection = cluster.broker.parse::<BrokerAddress>().unwrap().connect("bench").await.unwrap();
        declare(&connection, LAYOUT).await.unwrap();
        // What is done once for an empty database is none of it.
        publish(&cluster.broker, &warm_up).await;
        drain(&cluster, WARM_UP_EVENTS);
        let bare = bare_publish(&cluster.broker, "bare", &messages).await;
        (publish(&cluster.broker, &messages).await, bare)
    });
    println!(
        "publish, confirmed       ours {:>7.0}/s   bare {:>7.0}/s   {:.2}",
        rate(ours),
        rate(bare),
        bare.as_secs_f64() / ours.as_secs_f64()
    );

    let least = runtime.block_on(bare_drain(&cluster.broker, "bare", &cluster.database, &cluster.urls.redis, messages.len()));
    let (took, peak) = drain(&cluster, events);
    let ratio = least.as_secs_f64() / took.as_secs_f64();
    println!("drain of {:>7} events  ours {:>7.0}/s   bare {:>7.0}/s   {ratio:.2}   worker {peak} MiB", events, rate(took), rate(least));
    println!(
        "calls {}, participants {}",
        cluster.count("SELECT count(*) FROM call_logs"),
        cluster.count("SELECT count(*) FROM call_participants")
    );
}
