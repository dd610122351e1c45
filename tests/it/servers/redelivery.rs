//! Messages that the broker delivers again and again.

use std::sync::Arc;

use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::rabbit::{BrokerAddress, RabbitBroker};
use cordboard::port::broker::PartitionBroker;
use cordboard::wire::partition::Layout;

use crate::support::foreign::ForeignProgram;
use crate::support::rabbit;
use crate::support::wait::{PATIENCE, within};

const LAYOUT: Layout = Layout {
    generation: 1,
    partitions: 1,
};
const MESSAGES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_came_back_too_often_are_marked_and_keep_their_order() {
    let url = rabbit::vhost().await;
    let address: BrokerAddress = url.parse().unwrap();
    rabbit::declare(&address, LAYOUT).await;
    let broker = RabbitBroker::new(address, LAYOUT, Arc::new(SystemClock::default()));
    let program = ForeignProgram::connect(&url).await;
    for number in 0..MESSAGES {
        let body = message(number);
        program
            .publish("grandstream", "call.incoming.p00", body.as_bytes())
            .await;
    }

    for often in [false, false, true, true] {
        let received = receive_and_leave(&broker).await;

        let bodies: Vec<String> = (0..MESSAGES).map(message).collect();
        assert_eq!(received.bodies, bodies);
        assert_eq!(received.first_is_marked, often);
    }
}

fn message(number: usize) -> String {
    format!("{{\"v\":9,\"n\":{number}}}")
}

struct Received {
    bodies: Vec<String>,
    /// The first message was redelivered too often.
    first_is_marked: bool,
}

/// Consumes the queue until all messages are there, and settles none of them.
async fn receive_and_leave(broker: &RabbitBroker) -> Received {
    let connection = broker.join().await.unwrap();
    let mut subscription = connection.subscribe(0).await.unwrap();
    within(PATIENCE, "the first message", subscription.first())
        .await
        .unwrap();

    let mut inbox = subscription.into_inbox();
    let mut deliveries = Vec::new();
    while deliveries.len() < MESSAGES {
        let batch = within(PATIENCE, "a batch", inbox.next_batch(10)).await;
        deliveries.extend(batch.unwrap());
    }
    inbox.close().await.unwrap();
    connection.close().await;

    Received {
        first_is_marked: deliveries[0].redelivered_often,
        bodies: deliveries
            .into_iter()
            .map(|delivery| String::from_utf8(delivery.message).unwrap())
            .collect(),
    }
}
