//! RabbitMQ: events from the ingresses to the workers in order, and notifications from the workers
//! to gateways and other programs.
//!
//! Publishing and consuming have connections of their own, because a broker short of memory stops
//! reading from connections that publish. A connection or channel on which an operation fails is
//! given up and opened anew; messages under way are published or delivered again.

mod address;
mod addressing;
mod administration;
mod consumer;
mod dead_letters;
mod events;
mod foreign;
mod group;
mod management;
mod names;
mod notifications;
mod publishing;
mod topology;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};

use crate::port::broker::BrokerError;
use crate::port::clock::Clock;
use crate::wire::partition::Layout;

pub use address::BrokerAddress;
pub use administration::{Administration, Queues};
pub use dead_letters::RabbitDeadLetters;
pub use foreign::read_plain_report;
pub use management::{Management, apply};
pub use topology::{Depth, Policy, policies};
use unreadable::Unreadable;

/// One operation on the broker. A longer one is not answered any more.
const OPERATION_MAX: Duration = Duration::from_secs(10);
/// The reply code of a connection or channel that is closed in order.
const REPLY_SUCCESS: u16 = 200;

/// The broker as this process uses it. Clones share what is known of its nodes.
#[derive(Clone)]
pub struct RabbitBroker {
    address: BrokerAddress,
    layout: Layout,
    /// For reports of other programs without an instant.
    clock: Arc<dyn Clock>,
    unreadable: Arc<Unreadable>,
}

impl RabbitBroker {
    #[must_use]
    pub fn new(address: BrokerAddress, layout: Layout, clock: Arc<dyn Clock>) -> RabbitBroker {
        RabbitBroker {
            address,
            layout,
            clock,
            unreadable: Arc::default(),
        }
    }
}

/// Runs one operation, unless it takes too long.
async fn with_timeout<T>(
    operation: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(OPERATION_MAX, operation).await {
        Ok(done) => done.map_err(unavailable),
        Err(_) => Err(BrokerError::Silent),
    }
}

fn unavailable(error: lapin::Error) -> BrokerError {
    BrokerError::Unavailable(error.to_string(), Some(Box::new(error)))
}

/// A channel whose messages are confirmed.
async fn confirming_channel(connection: &Connection) -> Result<Channel, BrokerError> {
    let channel = with_timeout(connection.create_channel()).await?;
    with_timeout(channel.confirm_select(ConfirmSelectOptions::default())).await?;

    Ok(channel)
}

/// Closes a channel that is not used again.
async fn close_channel(channel: &Channel) -> Result<(), BrokerError> {
    with_timeout(channel.close(REPLY_SUCCESS, "done".into())).await
}

/// Passes a result on, and closes the connection on an error. A connection that is only dropped
/// stays open while the broker leaves the end of its channels unanswered.
async fn or_close<T>(
    connection: &Connection,
    opened: Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    if opened.is_err() {
        close_connection(connection).await;
    }

    opened
}

/// Closes a connection that is not used again.
async fn close_connection(connection: &Connection) {
    // It may be broken already, and closing it can only fail then.
    let _ = with_timeout(connection.close(REPLY_SUCCESS, "done".into())).await;
}
