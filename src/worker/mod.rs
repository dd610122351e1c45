//! The worker: deliveries in, calls out. One actor per partition.
//!
//! [`Partition`] decides, as a pure value without IO. `handle.rs` runs the effects of a batch in
//! their order; attempts, dead letters, subscriptions and publication have files of their own. A
//! batch is processed at least once, and its effects follow its commit: a crash anywhere is repaired
//! by the next delivery of the same messages.

mod attempts;
mod believed;
mod bisect;
mod duplicates;
mod group;
mod handle;
mod heal;
mod in_flight;
mod observe;
mod outbox;
mod partition;
mod recovery;
mod refold;
mod retry_dead_letters;
mod suspects;
mod watermark;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::chain::Chain;
use crate::health::FlowCounters;
use crate::port::clock::Clock;
use crate::port::intake::{Inbox, InboxError};
use crate::port::ledger::{Ledger, LedgerError, RecoveredState};
use crate::port::live::LiveView;
use crate::port::outbox::Outbox;
use crate::retry::Backoff;
use crate::wire::message::IngressId;
use crate::wire::policy_file::Policies;
use suspects::Suspects;

pub use believed::Believed;
pub use group::WorkerGroup;
pub use in_flight::InFlightLimit;
pub use outbox::{OutboxHandle, OutboxPublisher, PartitionOutbox};
pub use partition::{Batch, BatchItem, History, Partition, Step, Stretch};
pub use recovery::lookback;

/// Messages of one transaction.
pub const BATCH_MESSAGES_MAX: usize = 4_096;
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Why a worker ends before it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// One message of the batch can be neither folded nor stored.
    #[error("a message cannot be processed: {0}")]
    Poison(String),
    /// The batch under way is processed again after the next start.
    #[error("stopped while the database was unavailable")]
    Stopped,
}

/// Everything a worker needs from outside.
pub struct Dependencies {
    /// The partition's number, for logs.
    pub number: u32,
    pub inbox: Box<dyn Inbox>,
    pub ledger: Arc<dyn Ledger>,
    pub outbox: Arc<dyn Outbox>,
    pub live: Arc<dyn LiveView>,
    pub counters: Arc<FlowCounters>,
    /// Shared by the partitions of a process.
    pub in_flight: Arc<InFlightLimit>,
    pub clock: Arc<dyn Clock>,
    pub believed: Believed,
}

/// The actor of one partition.
pub struct Worker {
    number: u32,
    inbox: Box<dyn Inbox>,
    ledger: Arc<dyn Ledger>,
    outbox: Arc<dyn Outbox>,
    live: Arc<dyn LiveView>,
    counters: Arc<FlowCounters>,
    in_flight: Arc<InFlightLimit>,
    clock: Arc<dyn Clock>,
    partition: Partition,
    /// Ingresses whose disbelieved ticks were reported.
    reported_ingresses: BTreeSet<IngressId>,
    suspects: Suspects,
    stop: CancellationToken,
}

impl Worker {
    /// A worker that goes on from a recovered state.
    #[must_use]
    pub fn new(dependencies: Dependencies, policies: Policies, state: RecoveredState) -> Worker {
        Worker {
            number: dependencies.number,
            inbox: dependencies.inbox,
            ledger: dependencies.ledger,
            outbox: dependencies.outbox,
            live: dependencies.live,
            counters: dependencies.counters,
            in_flight: dependencies.in_flight,
            clock: dependencies.clock,
            partition: Partition::recover(policies, dependencies.believed, state),
            reported_ingresses: BTreeSet::new(),
            suspects: Suspects::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Processes deliveries until the stop; the batch under way is finished first.
    ///
    /// # Errors
    /// When another worker has taken the partition over, or the inbox cannot be read.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), WorkerError> {
        self.stop = stop;
        self.republish_live_view().await;

        let worked = self.work().await;
        self.inbox.close().await?;

        match worked {
            Err(WorkerError::Stopped) => Ok(()),
            worked => worked,
        }
    }

    async fn work(&mut self) -> Result<(), WorkerError> {
        self.heal().await?;
        self.retry_unknown_versions().await?;
        self.refill_outbox().await?;

        while !self.stop.is_cancelled() {
            let deliver = tracing::debug_span!("deliver", partition = self.number);
            let deliveries = tokio::select! {
                deliveries = self.inbox.next_batch(BATCH_MESSAGES_MAX).instrument(deliver) => deliveries?,
                () = self.stop.cancelled() => break,
            };
            if deliveries.is_empty() {
                break;
            }

            let in_flight = Arc::clone(&self.in_flight);
            let _permit = in_flight.acquire_for(&deliveries).await;
            let span = tracing::debug_span!(
                "batch",
                partition = self.number,
                messages = deliveries.len()
            );
            self.handle(deliveries).instrument(span).await?;
        }

        Ok(())
    }

    /// Repeats an operation of the ledger while it is unavailable. The batch stays where it is, and
    /// no other batch overtakes it. A row that the ledger rejects is returned as
    /// [`WorkerError::Poison`].
    async fn retry_while_unavailable<T, F>(
        &self,
        operation: &'static str,
        run: impl Fn() -> F,
    ) -> Result<T, WorkerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let mut backoff = Backoff::from(RETRY_FIRST);
        let mut has_failed = false;

        loop {
            match run().await {
                Ok(value) => {
                    if has_failed {
                        self.counters.set_blocked(None);
                        tracing::info!(operation, "database available again");
                    }
                    return Ok(value);
                }
                Err(error @ LedgerError::Unavailable(_)) => {
                    has_failed = true;
                    self.counters.set_blocked(Some(Chain(&error).to_string()));
                    metrics::counter!("cordboard_worker_retries_total").increment(1);
                    tracing::error!(
                        error = %Chain(&error),
                        operation,
                        retry_in_ms = backoff.next_delay().as_millis(),
                        "database unavailable, the batch waits for it; check its disk and its locks"
                    );
                }
                Err(LedgerError::Rejected(reason)) => return Err(WorkerError::Poison(reason)),
                Err(error) => return Err(error.into()),
            }

            if !backoff.wait(&self.stop).await {
                return Err(WorkerError::Stopped);
            }
        }
    }
}
