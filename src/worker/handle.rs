//! One batch, step by step: decode, drop duplicates, reconstruct, commit, publish (live view, then
//! outbox). If one message makes the batch fail, the batch is split, and each part takes these
//! steps. In the end the whole batch is settled, unless a suspect waits.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tracing::Instrument;

use super::attempts::redelivered_batch;
use super::bisect::Bisection;
use super::partition::{Batch, BatchItem, History, Step, Stretch};
use super::{Worker, WorkerError};
use crate::domain::time::At;
use crate::port::changes::Changes;
use crate::port::intake::Delivery;
use crate::port::ledger::HistoryLimit;

/// A batch that was started so often and never finished is processed message by message.
const BATCH_ATTEMPTS_MAX: u32 = 2;
/// If more facts of its site than these are later than a late event, the event is stored and not
/// folded: to fold them again would keep the partition, and the phones of an embedded service,
/// waiting for minutes. `cordboard rebuild` corrects the calls.
const HISTORY_MAX: HistoryLimit = HistoryLimit {
    messages: 50_000,
    bytes: 128 << 20,
};
/// Notifications read with one query.
const BACKLOG_AT_ONCE: u32 = 512;

impl Worker {
    pub(super) async fn handle(&mut self, deliveries: Vec<Delivery>) -> Result<(), WorkerError> {
        self.observe_deliveries(&deliveries);
        // Effects of a clock that was wrong; nothing on a normal day.
        self.recover_if_watermark_ahead().await?;
        self.fold_facts_no_longer_ahead().await?;

        // A batch that ended its worker several times is processed message by message.
        let redelivered = redelivered_batch(&deliveries);
        let attempts = self.record_attempt(redelivered.as_deref()).await?;
        if attempts > BATCH_ATTEMPTS_MAX {
            for delivery in deliveries {
                self.handle_alone(delivery).await?;
            }
        } else {
            let items = deliveries.into_iter().map(Into::into).collect();
            self.process(items).await?;
        }

        // While a suspect waits, nothing is settled, later batches included: after a restart all of
        // them are delivered again, and those that are stored are duplicates.
        if self.suspects.is_empty() {
            self.inbox.settle().await?;
        }
        self.refill_outbox().await?;
        self.clear_attempts(redelivered.as_deref()).await
    }

    /// Processes a batch, in sub-batches where one of its messages fails.
    pub(super) async fn process(&mut self, batch: Vec<BatchItem>) -> Result<(), WorkerError> {
        let mut bisection = Bisection::of(batch);
        while let Some(mut items) = bisection.next() {
            match self.run_steps(&mut items).await {
                Ok(()) => {}
                Err(WorkerError::Poison(reason)) => {
                    self.split(items, &reason, &mut bisection).await?;
                }
                Err(error) => return Err(error),
            }
        }

        if self.suspects.can_be_tried(self.clock.steady()) {
            for suspect in self.suspects.take() {
                self.try_suspect(suspect).await?;
            }
        }

        Ok(())
    }

    /// Takes one sub-batch through all steps up to its publication.
    pub(super) async fn run_steps(&mut self, items: &mut [BatchItem]) -> Result<(), WorkerError> {
        let mut batch = self.partition.decode(items, self.clock.now());
        self.observe_batch(&batch);
        self.drop_duplicates(&mut batch).await?;
        let mut counts = batch.counts;

        let changes = self.reconstruct_and_commit(batch).await?;
        counts.stored = changes.facts.len() as u64;
        if counts.stored > 0 {
            self.suspects.note_stored();
            self.counters.set_blocked(None);
        }
        self.publish(changes).await;
        self.counters.add_batch(&counts);

        Ok(())
    }

    async fn reconstruct_and_commit(&mut self, batch: Batch) -> Result<Changes, WorkerError> {
        let mut changes = self.reconstruct(batch).await?;

        if self.partition.must_commit(&changes) {
            self.commit(&mut changes).await?;
        }

        Ok(changes)
    }

    /// Applies the batch to the calls, and reads the history that it needs.
    async fn reconstruct(&mut self, batch: Batch) -> Result<Changes, WorkerError> {
        let mut step = self.partition.apply(batch)?;

        loop {
            match step {
                Step::Decided(changes) => return Ok(changes),
                Step::NeedHistory(stretch) => {
                    step = match self.history(&stretch).await? {
                        Some(history) => run_long(|| self.partition.supply(&history))?,
                        None => self.partition.supply_none()?,
                    };
                }
            }
        }
    }

    pub(super) async fn commit(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        self.partition.add_watermark(changes);
        changes.published_up_to = self.outbox.published_up_to();

        let changes = &*changes;
        let began = tokio::time::Instant::now();
        self.retry_while_unavailable("commit a batch", || self.ledger.commit(changes))
            .instrument(tracing::debug_span!("commit", facts = changes.facts.len()))
            .await?;
        metrics::histogram!("cordboard_worker_commit_seconds")
            .record(began.elapsed().as_secs_f64());

        self.partition.committed();
        self.observe_commit(changes);

        Ok(())
    }

    /// Shows changes to programs and people; they are stored, or move only the watermark.
    pub(super) async fn publish(&self, changes: Changes) {
        if !self.live.publish(&changes).await {
            self.republish_live_view().await;
        }

        self.observe_notifications(&changes.notifications);
        self.counters.advance_watermark(self.partition.watermark());
        self.outbox.enqueue(changes.notifications);
    }

    pub(super) async fn republish_live_view(&self) {
        self.live.republish(&self.partition.open_calls()).await;
    }

    /// Enqueues notifications that found no room in the outbox, as far as there is room now.
    pub(super) async fn refill_outbox(&self) -> Result<(), WorkerError> {
        while let Some(after) = self.outbox.unqueued_after() {
            let unqueued = self
                .retry_while_unavailable("read notifications", || {
                    self.ledger.notifications_after(after, BACKLOG_AT_ONCE)
                })
                .await?;
            self.outbox
                .enqueue_unqueued(unqueued, self.partition.last_notification());
        }

        Ok(())
    }

    /// The stored history of a stretch; `None` when it is too long to be folded again.
    pub(super) async fn history(&self, stretch: &Stretch) -> Result<Option<History>, WorkerError> {
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

        let last = self.partition.believed.instants(self.clock.now()).last;
        let messages = self
            .retry_while_unavailable("read history", || {
                self.ledger
                    .fact_messages(site, *facts_from, last, HISTORY_MAX)
            })
            .await?;
        let Some(messages) = messages else {
            metrics::counter!("cordboard_worker_unfolded_total").increment(1);
            tracing::error!(
                site = site.as_str(),
                partition = self.number,
                later_max = HISTORY_MAX.messages,
                "an event is so late that its history is not folded again: it is stored, and calls \
                 around it may be wrong until `cordboard rebuild`. See the runbook, \
                 CordboardEventsNotFolded"
            );
            return Ok(None);
        };
        let kept_since = self
            .retry_while_unavailable("read the retention", || self.ledger.facts_kept_since())
            .await?;
        let complete_from = self.partition.complete_from(site, kept_since);
        let calls_from = complete_from.max(*calls_from);
        let calls = self
            .retry_while_unavailable("read calls", || {
                self.ledger.calls_started(site, calls_from, At::END)
            })
            .await?;

        Ok(Some(History {
            complete_from,
            messages,
            calls,
        }))
    }
}

/// Runs something that takes long beside the other tasks of the process, where it has more than one
/// thread.
pub(super) fn run_long<T>(work: impl FnOnce() -> T) -> T {
    let runtime = Handle::try_current().map(|runtime| runtime.runtime_flavor());

    match runtime {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}
