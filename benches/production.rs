//! How fast the service is on real servers, all of it on one machine: the publisher beside a bare confirm loop, and a full queue drained with
//! all effects beside consumers that do less.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on must fail, and its results are its output")]
#![expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "support/backlog.rs"]
mod backlog;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backlog::{LAYOUT, drain, publish, traffic};
use cordboard::adapter::rabbit::{BrokerAddress, declare};
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
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await.unwrap();
}

/// The same messages with nothing around: one queue, the same window.
async fn publish_to_one(broker: &str, queue: &str, messages: &[Vec<u8>]) -> Duration {
    let channel = channel(broker).await;
    quorum(&channel, queue).await;
    bare_publish(&channel, "", messages, |_| queue.to_owned()).await
}

/// The same messages to the same exchange and queues as ours, of another virtual host.
async fn publish_to_all(urls: &Urls, messages: &[Vec<u8>]) -> Duration {
    let broker = new_vhost(urls).await;
    let connection = broker.parse::<BrokerAddress>().unwrap().connect("bench").await.unwrap();
    declare(&connection, LAYOUT).await.unwrap();
    let key = |number: usize| format!("call.incoming.p{:02}", number % LAYOUT.parts as usize);
    bare_publish(&channel(&broker).await, "grandstream", messages, key).await
}

async fn bare_publish(channel: &Channel, exchange: &str, messages: &[Vec<u8>], key: impl Fn(usize) -> String) -> Duration {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let began = Instant::now();
    let mut window = VecDeque::new();
    for (number, message) in messages.iter().enumerate() {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        window.push_back(channel.basic_publish(exchange.into(), key(number).into(), options, message, properties).await.unwrap());
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
    let events = std::env::args().find_map(|word| word.strip_prefix("events=")?.parse().ok()).unwrap_or(200_000);
    let servers = Servers::start(&[]);
    let cluster = Cluster::on(&servers.urls);
    let (warm_up, messages) = (traffic(0, WARM_UP_EVENTS), traffic(1, events));
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let (ours, one, all) = runtime.block_on(async {
        let connection = cluster.broker.parse::<BrokerAddress>().unwrap().connect("bench").await.unwrap();
        declare(&connection, LAYOUT).await.unwrap();
        // What is done once for an empty database is none of it.
        publish(&cluster.broker, &warm_up).await;
        drain(&cluster, WARM_UP_EVENTS);
        let one = publish_to_one(&cluster.broker, "least", &messages).await;
        publish_to_one(&cluster.broker, "trial", &messages).await;
        let all = publish_to_all(&cluster.urls, &messages).await;
        (publish(&cluster.broker, &messages).await, one, all)
    });
    println!("publish, confirmed       ours {:>7.0}/s", rate(ours));
    for (name, theirs) in [("to one queue", one), ("to the same queues", all)] {
        println!("                         bare, {name} {:>7.0}/s   {:.2}", rate(theirs), theirs.as_secs_f64() / ours.as_secs_f64());
    }
    let (least, trial) = runtime.block_on(async {
        let peer = |queue, tables| Peer::new(&cluster.broker, queue, &cluster.database, &cluster.urls.redis, tables);
        let least = trial::least(&mut peer("least", LEAST_TABLES).await, messages.len()).await;
        let trial = trial::trial(&mut peer("trial", TRIAL_TABLES).await, messages.len()).await;
        (least, trial)
    });
    let (took, peak) = drain(&cluster, events);
    println!("drain of {events:>7} events  ours {:>7.0}/s   worker {peak} MiB", rate(took));
    for (name, theirs) in [("least", least), ("trial", trial)] {
        println!("                         {name} {:>7.0}/s   {:.2}", rate(theirs), theirs.as_secs_f64() / took.as_secs_f64());
    }
    println!(
        "calls {}, participants {}",
        cluster.count("SELECT count(*) FROM call_logs"),
        cluster.count("SELECT count(*) FROM call_participants")
    );
}
