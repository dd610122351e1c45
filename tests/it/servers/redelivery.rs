//! Messages that the broker delivers again and again.

use std::sync::Arc;

use cordboard::adapter::clock::SystemClock;
use cordboard::adapter::rabbit::{BrokerAddress, Held, Layout, declare};
use cordboard::port::intake::Inbox;
use lapin::Connection;
use tokio_util::sync::CancellationToken;

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
    let connection = address.connect("test").await.unwrap();
    declare(&connection, LAYOUT).await.unwrap();
    let program = ForeignProgram::connect(&url).await;
    for number in 0..MESSAGES {
        let body = message(number);
        program
            .publish("grandstream", "call.incoming.p00", body.as_bytes())
            .await;
    }

    for often in [false, false, true, true] {
        let received = receive_and_leave(&connection).await;

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
async fn receive_and_leave(connection: &Connection) -> Received {
    let clock = Arc::new(SystemClock::default());
    let stop = CancellationToken::new();
    let mut subscription = Held::subscribe(connection, LAYOUT, 0, clock, stop)
        .await
        .unwrap();
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

    Received {
        first_is_marked: deliveries[0].redelivered_often,
        bodies: deliveries
            .into_iter()
            .map(|delivery| String::from_utf8(delivery.message).unwrap())
            .collect(),
    }
}
