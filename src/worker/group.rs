//! The partitions of one worker process: a subscription to every queue, an actor for every
//! partition that the broker gives us, and no more of them than an even share.
//!
//! Ownership is decided by the broker, which has one active consumer for each queue, and by the
//! ledger, which commits changes of the last owner only. The balance here spreads the work; records
//! are right without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::outbox::OutboxHandle;
use super::{Believed, Dependencies, InFlightLimit, Worker, WorkerError, lookback};
use crate::chain::Chain;
use crate::health::{FlowCounters, HealthCheck};
use crate::port::broker::{BrokerError, GroupConnection, GroupLoad, PartitionBroker, Subscription};
use crate::port::clock::Clock;
use crate::port::intake::InboxError;
use crate::port::ledger::{Ledger, LedgerError, RecoveredState};
use crate::port::stores::PartitionStores;
use crate::retry::Backoff;
use crate::wire::policy_file::Policies;

const RETRY_FIRST: Duration = Duration::from_millis(200);

/// Everything that the partitions of this process share.
#[derive(Clone)]
pub struct WorkerGroup {
    pub broker: Arc<dyn PartitionBroker>,
    pub stores: Arc<dyn PartitionStores>,
    pub policies: Policies,
    pub outbox: OutboxHandle,
    /// One for each partition. They last as long as the process, also while another worker owns
    /// the partition.
    pub counters: Arc<Vec<Arc<FlowCounters>>>,
    pub health: HealthCheck,
    /// How often the shares are balanced.
    pub balance_every: Duration,
    pub in_flight: Arc<InFlightLimit>,
    pub clock: Arc<dyn Clock>,
    pub believed: Believed,
    /// Owned partitions, each with the token that gives it up.
    pub owned: Arc<Mutex<BTreeMap<u32, CancellationToken>>>,
}

/// Why the actor of a partition ended.
enum Ended {
    /// It was asked to.
    GaveUp,
    /// Its subscription is gone, or another worker owns the partition.
    Lost(String),
    /// A message ended the subscription. The broker sets it aside after some more.
    Unreadable,
}

impl WorkerGroup {
    /// Works until the stop; batches under way are finished.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::from(RETRY_FIRST);

        loop {
            match self.run_connection(&stop).await {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.health.set_down(&Chain(&error).to_string());
                    self.broker.avoid_node();
                }
            }

            metrics::counter!("cordboard_broker_reconnects_total").increment(1);
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    async fn run_connection(&self, stop: &CancellationToken) -> Result<(), BrokerError> {
        let connection = tokio::select! {
            connection = self.broker.join() => connection?,
            () = stop.cancelled() => return Ok(()),
        };
        self.health.set_up();

        let ending = stop.child_token();
        let mut actors = JoinSet::new();
        for partition in 0..self.broker.partitions() {
            let actor =
                self.clone()
                    .consume_partition(partition, Arc::clone(&connection), ending.clone());
            actors.spawn(actor);
        }
        let balanced = self.balance(&*connection, stop).await;

        // Actors finish their batches on this connection; the next one begins without any.
        ending.cancel();
        while actors.join_next().await.is_some() {}
        connection.close().await;

        balanced
    }

    /// Balances the shares until the connection is lost or the stop.
    async fn balance(
        &self,
        connection: &dyn GroupConnection,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.balance_every) => {}
                () = connection.silent() => return Err(BrokerError::Silent),
                () = stop.cancelled() => return Ok(()),
            }
            if !connection.is_connected() {
                return Err(BrokerError::unavailable("the connection was lost"));
            }

            let load = connection.load().await?;
            count_load(&load);
            self.give_up_surplus(load.workers.max(1));
        }
    }

    /// Gives up partitions beyond an even share. The broker gives them to the next subscriber; a
    /// worker with enough of them gives them up in turn.
    fn give_up_surplus(&self, workers: u32) {
        let share = self.broker.partitions().div_ceil(workers) as usize;
        let owned = self.owned.lock();
        let count = u32::try_from(owned.len()).unwrap_or(u32::MAX);
        metrics::gauge!("cordboard_worker_partitions").set(f64::from(count));

        for (partition, give_up) in owned.iter().skip(share) {
            tracing::info!(
                partition,
                workers,
                share,
                "giving up a partition to another worker"
            );
            give_up.cancel();
        }
    }

    /// Keeps a subscription to a partition's queue, and works on the partition whenever it is ours.
    async fn consume_partition(
        self,
        partition: u32,
        connection: Arc<dyn GroupConnection>,
        stop: CancellationToken,
    ) {
        let mut backoff = Backoff::from(RETRY_FIRST);

        while connection.is_connected() && !stop.is_cancelled() {
            match self.run_subscription(partition, &*connection, &stop).await {
                // At once: good messages wait behind it for as long as it is delivered.
                Ended::GaveUp | Ended::Unreadable => backoff.reset(),
                Ended::Lost(reason) => {
                    tracing::warn!(partition, reason, "partition lost, subscribing again");
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    async fn run_subscription(
        &self,
        partition: u32,
        connection: &dyn GroupConnection,
        stop: &CancellationToken,
    ) -> Ended {
        let mut subscription = match connection.subscribe(partition).await {
            Ok(subscription) => subscription,
            Err(error) => return Ended::Lost(Chain(&error).to_string()),
        };
        let first = tokio::select! {
            first = subscription.first() => first,
            () = stop.cancelled() => {
                subscription.leave().await;
                return Ended::GaveUp;
            }
        };
        if let Err(error) = first {
            subscription.leave().await;
            return if is_unreadable(&error) {
                Ended::Unreadable
            } else {
                Ended::Lost(Chain(&error).to_string())
            };
        }

        let give_up = stop.child_token();
        self.owned.lock().insert(partition, give_up.clone());
        let ended = self.run_owner(partition, subscription, give_up).await;
        self.owned.lock().remove(&partition);
        self.counters_of(partition).reset_partition();

        ended
    }

    /// Works on a partition as long as it is ours.
    async fn run_owner(
        &self,
        partition: u32,
        subscription: Box<dyn Subscription>,
        give_up: CancellationToken,
    ) -> Ended {
        let ledger = self.stores.ledger(partition);
        let state = match self.take_over(partition, &*ledger, &give_up).await {
            Ok(Some(state)) => state,
            Ok(None) => {
                subscription.leave().await;
                return Ended::GaveUp;
            }
            Err(error) => {
                subscription.leave().await;
                return Ended::Lost(Chain(&error).to_string());
            }
        };

        let outbox =
            self.outbox
                .partition(partition, state.last_notification, state.published_up_to);
        let dependencies = Dependencies {
            number: partition,
            inbox: subscription.into_inbox(),
            ledger: Arc::clone(&ledger),
            outbox: Arc::new(outbox),
            live: self.stores.live_view(partition),
            counters: self.counters_of(partition),
            in_flight: Arc::clone(&self.in_flight),
            clock: Arc::clone(&self.clock),
            believed: self.believed.clone(),
        };
        let worker = Worker::new(dependencies, self.policies.clone(), state);

        let ended = match worker.run(give_up).await {
            Ok(()) => Ended::GaveUp,
            Err(error) => {
                if matches!(error, WorkerError::Ledger(LedgerError::Fenced)) {
                    metrics::counter!("cordboard_worker_fenced_total").increment(1);
                }
                Ended::Lost(Chain(&error).to_string())
            }
        };
        ledger.close().await;

        ended
    }

    /// The state of a partition that is ours from now on; `None` when the stop came first.
    async fn take_over(
        &self,
        partition: u32,
        ledger: &dyn Ledger,
        stop: &CancellationToken,
    ) -> Result<Option<RecoveredState>, LedgerError> {
        let counters = self.counters_of(partition);
        let mut backoff = Backoff::from(RETRY_FIRST);

        loop {
            let believed = self.believed.instants(self.clock.now());
            match ledger.take_over(lookback(&self.policies, believed)).await {
                Ok(state) => {
                    counters.set_blocked(None);
                    return Ok(Some(state));
                }
                Err(error) => {
                    counters.set_blocked(Some(Chain(&error).to_string()));
                    let LedgerError::Unavailable(_) = error else {
                        return Err(error);
                    };
                    tracing::error!(
                        error = %Chain(&error),
                        partition,
                        retry_in_ms = backoff.next_delay().as_millis(),
                        "database unavailable, the partition waits for it"
                    );
                }
            }

            if !backoff.wait(stop).await {
                return Ok(None);
            }
        }
    }

    fn counters_of(&self, partition: u32) -> Arc<FlowCounters> {
        let counters = self.counters.get(partition as usize);

        counters.map(Arc::clone).unwrap_or_default()
    }
}

fn is_unreadable(error: &InboxError) -> bool {
    let error = error.0.downcast_ref::<BrokerError>();

    matches!(error, Some(BrokerError::Unreadable))
}

fn count_load(load: &GroupLoad) {
    metrics::gauge!("cordboard_broker_waiting_messages").set(f64::from(load.waiting));
    metrics::gauge!("cordboard_broker_partitions_without_worker")
        .set(f64::from(load.partitions_without_worker));
    metrics::gauge!("cordboard_broker_dead_messages").set(f64::from(load.dead));
}
