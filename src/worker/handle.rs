//! One batch: read -> reconstruct -> commit -> publish -> notify -> settle. No other file of the
//! worker has effects in this order; a batch with a poisonous message goes this way in sub-batches.

use std::collections::HashSet;

use tracing::Instrument;

use super::attempts::suspect_of;
use super::bisect::Bisection;
use super::partition::{Batch, History, Partition, Step, Stretch};
use super::{Worker, WorkerError, lookback};
use crate::domain::time::At;
use crate::port::intake::Delivery;
use crate::port::ledger::Changes;

/// A batch that was started so often and never finished is processed message by message.
const BATCH_ATTEMPTS_MAX: u32 = 2;
/// Notifications read with one query.
const BACKLOG_AT_ONCE: u32 = 512;

impl Worker {
    pub(super) async fn handle(&mut self, deliveries: Vec<Delivery>) -> Result<(), WorkerError> {
        self.trace_deliveries(&deliveries);

        // A batch that ended its worker several times is processed message by message.
        let suspect = suspect_of(&deliveries);
        if self.attempts_of(suspect.as_deref()).await? > BATCH_ATTEMPTS_MAX {
            for delivery in deliveries {
                self.handle_alone(delivery).await?;
            }
        } else {
            self.process(Bisection::of(deliveries)).await?;
        }

        self.inbox.settle().await?;
        self.enqueue_backlog().await?;
        self.clear_attempts(suspect.as_deref()).await
    }

    pub(super) async fn process(&mut self, mut bisection: Bisection) -> Result<(), WorkerError> {
        while let Some(mut items) = bisection.next() {
            let mut batch = self.partition.decode(&mut items);
            self.trace_batch(&batch);
            self.drop_duplicates(&mut batch).await?;
            let mut counts = batch.counts;

            match self.commit(batch).await {
                Ok(changes) => {
                    counts.stored = changes.facts.len() as u64;
                    self.publish(changes).await;
                    self.counters.add_batch(&counts);
                }
                Err(WorkerError::Poison(reason)) => {
                    tracing::error!(
                        reason,
                        messages = items.len(),
                        "batch cannot be processed because of one of its messages, splitting it"
                    );
                    // Changes in memory that were not committed are dropped with the state.
                    self.recover().await?;
                    bisection.split(items, reason)?;
                }
                Err(error) => return Err(error),
            }
        }

        Ok(())
    }

    async fn drop_duplicates(&self, batch: &mut Batch) -> Result<(), WorkerError> {
        let mut unknown = HashSet::new();
        if !batch.uncertain().is_empty() {
            let ask = || self.ledger.unknown_facts(batch.uncertain());
            unknown.extend(self.retry_while_unavailable("look up facts", ask).await?);
        }

        for event_id in batch.drop_duplicates(&unknown) {
            tracing::debug!(%event_id, "duplicate dropped");
        }

        Ok(())
    }

    async fn commit(&mut self, batch: Batch) -> Result<Changes, WorkerError> {
        let mut step = self.partition.apply(batch)?;
        let mut changes = loop {
            match step {
                Step::Commit(changes) => break changes,
                Step::NeedHistory(stretch) => {
                    let history = self.history(&stretch).await?;
                    step = self.partition.supply(history)?;
                }
            }
        };

        if self.partition.must_commit(&changes) {
            self.partition.stamp(&mut changes);
            changes.published_up_to = self.outbox.published_up_to();
            let began = tokio::time::Instant::now();
            self.retry_while_unavailable("commit a batch", || self.ledger.commit(&changes))
                .instrument(tracing::debug_span!("commit", facts = changes.facts.len()))
                .await?;
            metrics::histogram!("cordboard_worker_commit_seconds")
                .record(began.elapsed().as_secs_f64());
            self.partition.committed();
            self.trace_commit(&changes);
        }

        Ok(changes)
    }

    /// Shows committed changes to programs and people.
    async fn publish(&self, changes: Changes) {
        if !self.live.publish(&changes).await {
            self.republish_live_view().await;
        }

        self.trace_notifications(&changes.notifications);
        self.count_notifications(&changes.notifications);
        self.counters.advance_watermark(self.partition.watermark());
        self.outbox.enqueue(changes.notifications);
    }

    pub(super) async fn republish_live_view(&self) {
        self.live.republish(&self.partition.open_calls()).await;
    }

    /// Enqueues notifications that found no room in the outbox, as far as there is room now.
    pub(super) async fn enqueue_backlog(&self) -> Result<(), WorkerError> {
        while let Some(after) = self.outbox.resume_after() {
            let backlog = self
                .retry_while_unavailable("read notifications", || {
                    self.ledger.notifications_after(after, BACKLOG_AT_ONCE)
                })
                .await?;
            self.outbox
                .enqueue_backlog(backlog, self.partition.last_notification());
        }

        Ok(())
    }

    async fn history(&self, stretch: &Stretch) -> Result<History, WorkerError> {
        metrics::counter!("cordboard_worker_refolds_total").increment(1);
        tracing::debug!(
            site = stretch.site.as_str(),
            "late fact, folding its history again"
        );
        let Stretch {
            site,
            facts_from,
            calls_from,
        } = stretch;

        let messages = self
            .retry_while_unavailable("read history", || {
                self.ledger.fact_messages(site, *facts_from, At::END)
            })
            .await?;
        let calls = self
            .retry_while_unavailable("read calls", || {
                self.ledger.calls_started(site, *calls_from, At::END)
            })
            .await?;

        Ok(History { messages, calls })
    }

    /// Drops the state in memory and takes the partition over again as it was committed.
    async fn recover(&mut self) -> Result<(), WorkerError> {
        let policies = self.partition.policies.clone();
        let state = self
            .retry_while_unavailable("recover the partition", || {
                self.ledger.take_over(lookback(&policies))
            })
            .await?;
        self.partition = Partition::recover(policies, state);

        Ok(())
    }
}
