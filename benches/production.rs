//! How fast the service is on real servers, all of it on one machine: the publisher beside a bare
//! confirm loop, and a full queue drained with all effects beside consumers that do less.
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
#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/it/support/mod.rs"]
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, publish, traffic};
use cordboard::adapter::rabbit::{BrokerAddress, Layout, declare};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use support::cluster::Cluster;
use support::rabbit::new_vhost;
use support::servers::{Servers, Urls};
use trial::{LEAST_TABLES, Peer, TRIAL_TABLES, channel};

const WARM_UP_EVENTS: usize = 2_000;
const WINDOW: usize = 1_024;

async fn quorum(channel: &Channel, name: &str) {
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

/// The same messages with nothing around: one queue, the same window.
async fn publish_to_one(broker: &str, queue: &str, messages: &[Vec<u8>]) -> Duration {
    let channel = channel(broker).await;
    quorum(&channel, queue).await;
    bare_publish(&channel, "", messages, |_| (queue.to_owned(), persistent())).await
}

/// The same messages to the same exchange and queues as ours, of another virtual host; with what
/// ours say about themselves, or with nothing.
async fn publish_to_all(
    urls: &Urls,
    layout: Layout,
    messages: &[Vec<u8>],
    headers: bool,
) -> Duration {
    let broker = new_vhost(urls).await;
    let connection = broker
        .parse::<BrokerAddress>()
        .unwrap()
        .connect("bench")
        .await
        .unwrap();
    declare(&connection, layout).await.unwrap();
    let address = |number: usize| {
        let key = format!("call.incoming.p{:02}", number % layout.partitions as usize);
        (
            key,
            if headers {
                described(number as u128)
            } else {
                persistent()
            },
        )
    };
    bare_publish(&channel(&broker).await, "grandstream", messages, address).await
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// As much as an event of ours says.
fn described(id: u128) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(
        "traceparent".into(),
        AMQPValue::LongString(format!("00-{id:032x}-{id:016x}-01").into()),
    );
    let described = persistent()
        .with_content_type("application/json".into())
        .with_type("incoming".into())
        .with_app_id("cordboard".into());
    described
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
    let began = Instant::now();
    let mut window = VecDeque::new();
    for (number, message) in messages.iter().enumerate() {
        let (key, properties) = address(number);
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        window.push_back(
            channel
                .basic_publish(exchange.into(), key.into(), options, message, properties)
                .await
                .unwrap(),
        );
        if window.len() >= WINDOW {
            assert!(window.pop_front().unwrap().await.unwrap().is_ack());
        }
    }
    for confirm in window {
        assert!(confirm.await.unwrap().is_ack());
    }
    began.elapsed()
}

fn main() {
    let argument =
        |name: &str| std::env::args().find_map(|word| word.strip_prefix(name)?.parse().ok());
    let events = argument("events=").unwrap_or(200_000);
    let layout = Layout {
        partitions: argument("parts=")
            .and_then(|parts| u32::try_from(parts).ok())
            .unwrap_or(LAYOUT.partitions),
        ..LAYOUT
    };
    let servers = Servers::start(&[]);
    let mut cluster = Cluster::bare(&servers.urls);
    cluster.set("BROKER__PARTITIONS", &layout.partitions.to_string());
    cluster.run(&["broker", "apply"]);
    let (warm_up, messages) = (traffic(0, WARM_UP_EVENTS), traffic(1, events));
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let (ours, one, all, described) = runtime.block_on(async {
        let connection = cluster
            .broker
            .parse::<BrokerAddress>()
            .unwrap()
            .connect("bench")
            .await
            .unwrap();
        declare(&connection, layout).await.unwrap();
        // What is done once for an empty database is none of it.
        publish(&cluster.broker, layout, &warm_up).await;
        drain(&cluster, WARM_UP_EVENTS);
        let one = publish_to_one(&cluster.broker, "least", &messages).await;
        publish_to_one(&cluster.broker, "trial", &messages).await;
        let all = publish_to_all(&cluster.urls, layout, &messages, false).await;
        let described = publish_to_all(&cluster.urls, layout, &messages, true).await;
        (
            publish(&cluster.broker, layout, &messages).await,
            one,
            all,
            described,
        )
    });
    println!("publish, confirmed       ours {:>7.0}/s", rate(ours));
    for (name, theirs) in [
        ("to one queue", one),
        ("to the same queues", all),
        ("with the same headers", described),
    ] {
        println!(
            "                         bare, {name:<21} {:>7.0}/s   {:.2}",
            rate(theirs),
            theirs.as_secs_f64() / ours.as_secs_f64()
        );
    }
    let (least, trial) = runtime.block_on(async {
        let peer = |queue, tables| {
            Peer::new(
                &cluster.broker,
                queue,
                &cluster.database,
                &cluster.urls.redis,
                tables,
            )
        };
        let least = trial::least(&mut peer("least", LEAST_TABLES).await, messages.len()).await;
        let trial = trial::trial(&mut peer("trial", TRIAL_TABLES).await, messages.len()).await;
        (least, trial)
    });
    let (took, peak) = drain(&cluster, events);
    println!(
        "drain of {events:>7} events  ours {:>7.0}/s   worker {peak} MiB",
        rate(took)
    );
    for (name, theirs) in [("least", least), ("trial", trial)] {
        println!(
            "                         {name} {:>7.0}/s   {:.2}",
            rate(theirs),
            theirs.as_secs_f64() / took.as_secs_f64()
        );
    }
    println!(
        "calls {}, participants {}",
        cluster.count("SELECT count(*) FROM call_logs"),
        cluster.count("SELECT count(*) FROM call_participants")
    );
}
