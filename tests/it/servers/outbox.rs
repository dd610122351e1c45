//! The outbox of the broker: notifications are published in their order, and once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::rabbit::{BrokerAddress, RabbitBroker};
use cordboard::domain::fact::EventId;
use cordboard::domain::notice::NoticeKind;
use cordboard::health::HealthCheck;
use cordboard::port::outbox::{Notification, Outbox};
use cordboard::wire::partition::Layout;
use cordboard::worker::OutboxPublisher;
use tokio_util::sync::CancellationToken;

use crate::support::foreign::{ForeignProgram, Messages};
use crate::support::rabbit;
use crate::support::wait::{PATIENCE, within};

const LAYOUT: Layout = Layout {
    generation: 1,
    partitions: 4,
};
/// More notifications than the outbox holds.
const ALL: u64 = 30_000;
const ENQUEUED_AT_ONCE: u64 = 10_000;
const BACKLOG_PAGE: u64 = 512;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_beyond_the_capacity_are_published_later_in_their_order_and_once() {
    let url = rabbit::vhost().await;
    let address: BrokerAddress = url.parse().unwrap();
    rabbit::declare(&address, LAYOUT).await;
    let program = ForeignProgram::connect(&url).await;
    let mut calls = program.subscribe("cordboard.calls", "call.#").await;

    let broker = RabbitBroker::new(address, LAYOUT, Arc::new(SystemClock::default()));
    let (publisher, outbox) =
        OutboxPublisher::new(Arc::new(broker), HealthCheck::pending("outbox"));
    let publishing =
        tokio::spawn(publisher.run(CancellationToken::new(), CancellationToken::new()));
    // The previous owner stored nine, four of which are known to be published.
    let mut stored = 9;
    let mut published = 4;
    let partition = outbox.partition(2, stored, published);
    drop(outbox);

    while published < ALL {
        while let Some(after) = partition.unqueued_after() {
            let page = notifications(after + 1..=stored.min(after + BACKLOG_PAGE));
            partition.enqueue_unqueued(page, stored);
        }
        if stored < ALL {
            let more = ALL.min(stored + ENQUEUED_AT_ONCE);
            partition.enqueue(notifications(stored + 1..=more));
            stored = more;
        }

        published += 1;
        assert_eq!(next_number(&mut calls).await, published);
    }

    drop(partition);
    within(PATIENCE, "the end of the outbox", publishing)
        .await
        .unwrap();
}

fn notifications(numbers: RangeInclusive<u64>) -> Vec<Notification> {
    numbers
        .map(|number| Notification {
            number,
            kind: NoticeKind::Started,
            call: EventId(7),
            data: "{}".into(),
        })
        .collect()
}

async fn next_number(calls: &mut Messages) -> u64 {
    let call = calls.next().await;
    let headers = call.properties.headers().as_ref().unwrap();
    let number = headers.inner()["x-cordboard-number"].as_long_long_int();

    number.unwrap().cast_unsigned()
}
