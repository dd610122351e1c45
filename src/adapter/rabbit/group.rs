//! A worker process's connection: subscriptions to the queues of all partitions.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::{Connection, Consumer};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::consumer::PartitionConsumer;
use super::unreadable::Unreadable;
use super::{BrokerAddress, RabbitBroker, close_connection, or_close, topology};
use crate::port::broker::{BrokerError, GroupConnection, GroupLoad, PartitionBroker, Subscription};
use crate::port::clock::Clock;
use crate::wire::partition::Layout;

struct RabbitGroup {
    address: BrokerAddress,
    connection: Connection,
    unreadable: Arc<Unreadable>,
    layout: Layout,
    clock: Arc<dyn Clock>,
    silent: CancellationToken,
    /// Counts this process among the workers. `None` while the queue for that does not exist: the
    /// process that declares the topology may be at it.
    membership: Mutex<Option<Consumer>>,
}

impl RabbitGroup {
    async fn enlist(&self) {
        let mut membership = self.membership.lock().await;
        // Its queue is empty: whatever comes is the end of the subscription, as when the node of the
        // queue is lost.
        let has_ended = |consumer: &mut Consumer| consumer.next().now_or_never().is_some();
        if membership.as_mut().is_some_and(has_ended) {
            *membership = None;
        }
        if membership.is_none() {
            *membership = topology::enlist(&self.connection).await;
        }
    }
}

#[async_trait]
impl PartitionBroker for RabbitBroker {
    async fn join(&self) -> Result<Arc<dyn GroupConnection>, BrokerError> {
        let connection = self.address.connect("cordboard work").await?;
        let ensured = topology::ensure(&connection, self.layout).await;
        or_close(&connection, ensured).await?;
        let group = RabbitGroup {
            address: self.address.clone(),
            connection,
            unreadable: Arc::clone(&self.unreadable),
            layout: self.layout,
            clock: Arc::clone(&self.clock),
            silent: CancellationToken::new(),
            membership: Mutex::default(),
        };
        group.enlist().await;

        Ok(Arc::new(group))
    }

    fn partitions(&self) -> u32 {
        self.layout.partitions
    }

    fn avoid_node(&self) {
        self.address.avoid_node();
    }
}

#[async_trait]
impl GroupConnection for RabbitGroup {
    async fn subscribe(&self, partition: u32) -> Result<Box<dyn Subscription>, BrokerError> {
        let mut own = None;
        if self.unreadable.is_seen() {
            own = Some(self.address.connect("cordboard work").await?);
        }
        let connection = own.as_ref().unwrap_or(&self.connection);
        let consumer = PartitionConsumer::subscribe(
            connection,
            self.layout,
            partition,
            Arc::clone(&self.clock),
            self.silent.clone(),
            Arc::clone(&self.unreadable),
        )
        .await?;

        Ok(Box::new(consumer.on_its_own(own)))
    }

    async fn load(&self) -> Result<GroupLoad, BrokerError> {
        self.enlist().await;
        let depths = topology::depths(&self.connection, self.layout).await?;
        let existing = depths.iter().flatten();
        let without_worker = existing.clone().filter(|depth| depth.consumers == 0);

        Ok(GroupLoad {
            waiting: existing.clone().map(|depth| depth.messages).sum(),
            partitions_without_worker: u32::try_from(without_worker.count()).unwrap_or(u32::MAX),
            dead: topology::dead(&self.connection).await?,
            workers: topology::workers(&self.connection).await.unwrap_or(1),
        })
    }

    fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    async fn silent(&self) {
        self.silent.cancelled().await;
    }

    async fn close(&self) {
        close_connection(&self.connection).await;
    }
}
