//! The rate of the service on real servers, all of it on one machine: the shipper beside a bare
//! confirm loop, and the drain of full queues with all effects beside consumers that do less.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on must fail, and its results are its output"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "support/backlog.rs"]
mod backlog;
#[path = "support/process.rs"]
mod process;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of the test support")]
mod support;
#[path = "support/trial.rs"]
#[expect(dead_code, reason = "this benchmark takes full batches only")]
mod trial;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, publish, traffic};
use cordboard::wire::partition::Layout;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use support::cluster::Cluster;
use support::rabbit;
use support::servers::Servers;
use trial::{LEAST_TABLES, Peer, TRIAL_TABLES, channel};

const WARM_UP_EVENTS: usize = 2_000;
const WINDOW: usize = 1_024;

/// The times of the same publishes by the shipper and by bare confirm loops.
struct Publishes {
    shipper: Duration,
    one_queue: Duration,
    same_queues: Duration,
    same_headers: Duration,
}

/// The times of the same drain by consumers that do less.
struct Drains {
    least: Duration,
    trial: Duration,
}

async fn declare_quorum_queue(channel: &Channel, name: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };

    channel
        .queue_declare(name.into(), options, arguments)
        .await
        .unwrap();
}

/// Publishes the messages to one queue, with the window of the shipper.
async fn publish_to_one(broker: &str, queue: &str, messages: &[Vec<u8>]) -> Duration {
    let channel = channel(broker).await;
    declare_quorum_queue(&channel, queue).await;

    bare_publish(&channel, "", messages, |_| (queue.to_owned(), persistent())).await
}

/// Publishes the messages to the shipper's exchange and queues in another virtual host, with the
/// shipper's headers or with none.
async fn publish_to_all(
    cluster: &Cluster,
    layout: Layout,
    messages: &[Vec<u8>],
    headers: bool,
) -> Duration {
    let broker = rabbit::new_vhost(&cluster.urls).await;
    rabbit::declare(&broker.parse().unwrap(), layout).await;

    let address = |number: usize| {
        let key = format!("call.incoming.p{:02}", number % layout.partitions as usize);
        let properties = if headers {
            described(number as u128)
        } else {
            persistent()
        };
        (key, properties)
    };

    bare_publish(&channel(&broker).await, "grandstream", messages, address).await
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// The properties and headers of an event.
fn described(id: u128) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(
        "traceparent".into(),
        AMQPValue::LongString(format!("00-{id:032x}-{id:016x}-01").into()),
    );

    persistent()
        .with_content_type("application/json".into())
        .with_type("incoming".into())
        .with_app_id("cordboard".into())
        .with_message_id(uuid::Uuid::from_u128(id).to_string().into())
        .with_timestamp(1_767_225_600)
        .with_headers(headers)
}

async fn bare_publish(
    channel: &Channel,
    exchange: &str,
    messages: &[Vec<u8>],
    address: impl Fn(usize) -> (String, BasicProperties),
) -> Duration {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let mut window = VecDeque::new();

    let began = Instant::now();
    for (number, message) in messages.iter().enumerate() {
        let (key, properties) = address(number);
        let confirm = channel
            .basic_publish(exchange.into(), key.into(), options, message, properties)
            .await
            .unwrap();
        window.push_back(confirm);
        if window.len() >= WINDOW {
            assert!(window.pop_front().unwrap().await.unwrap().is_ack());
        }
    }
    for confirm in window {
        assert!(confirm.await.unwrap().is_ack());
    }

    began.elapsed()
}

/// Publishes the messages in each way. They wait in the cluster's queues, and in two queues for the
/// consumers to compare with.
async fn measure_publishes(cluster: &Cluster, layout: Layout, messages: &[Vec<u8>]) -> Publishes {
    let one_queue = publish_to_one(&cluster.broker, "least", messages).await;
    publish_to_one(&cluster.broker, "trial", messages).await;

    Publishes {
        one_queue,
        same_queues: publish_to_all(cluster, layout, messages, false).await,
        same_headers: publish_to_all(cluster, layout, messages, true).await,
        shipper: publish(&cluster.broker, layout, messages).await,
    }
}

async fn measure_peers(cluster: &Cluster, messages: usize) -> Drains {
    let peer = |queue, tables| {
        Peer::new(
            &cluster.broker,
            queue,
            &cluster.database,
            &cluster.urls.redis,
            tables,
        )
    };

    Drains {
        least: trial::least(&mut peer("least", LEAST_TABLES).await, messages).await,
        trial: trial::trial(&mut peer("trial", TRIAL_TABLES).await, messages).await,
    }
}

#[tokio::main]
async fn main() {
    let argument =
        |name: &str| std::env::args().find_map(|word| word.strip_prefix(name)?.parse().ok());
    let events = argument("events=").unwrap_or(200_000);
    let layout = Layout {
        partitions: argument("parts=")
            .and_then(|partitions| u32::try_from(partitions).ok())
            .unwrap_or(LAYOUT.partitions),
        ..LAYOUT
    };

    let servers = Servers::start(&[]).await;
    let mut cluster = Cluster::bare(&servers.urls).await;
    cluster.set("BROKER__PARTITIONS", &layout.partitions.to_string());
    cluster.output_of(&["broker", "apply"]).await;
    rabbit::declare(&cluster.broker.parse().unwrap(), layout).await;

    // Work that is done once for an empty database is not measured.
    publish(&cluster.broker, layout, &traffic(0, WARM_UP_EVENTS)).await;
    drain(&cluster, WARM_UP_EVENTS).await;

    let messages = traffic(1, events);
    let publishes = measure_publishes(&cluster, layout, &messages).await;
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    println!(
        "publish, confirmed       ours {:>7.0}/s",
        rate(publishes.shipper)
    );
    for (name, took) in [
        ("to one queue", publishes.one_queue),
        ("to the same queues", publishes.same_queues),
        ("with the same headers", publishes.same_headers),
    ] {
        println!(
            "                         bare, {name:<21} {:>7.0}/s   {:.2}",
            rate(took),
            took.as_secs_f64() / publishes.shipper.as_secs_f64()
        );
    }

    let drains = measure_peers(&cluster, messages.len()).await;
    let (took, peak) = drain(&cluster, events).await;
    println!(
        "drain of {events:>7} events  ours {:>7.0}/s   worker {peak} MiB",
        rate(took)
    );
    for (name, theirs) in [("least", drains.least), ("trial", drains.trial)] {
        println!(
            "                         {name} {:>7.0}/s   {:.2}",
            rate(theirs),
            theirs.as_secs_f64() / took.as_secs_f64()
        );
    }
    println!(
        "calls {}, participants {}",
        cluster.count("SELECT count(*) FROM call_logs").await,
        cluster
            .count("SELECT count(*) FROM call_participants")
            .await
    );
}
