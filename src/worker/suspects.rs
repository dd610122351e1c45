//! Suspects: messages whose commit failed although each stood alone. Stored state may be the reason, so
//! none of them is set aside until another message was stored, and it fails again after that. In a
//! quiet partition, where no other message comes, it is tried again after a while, and set aside then.
//! When too many fail one after the other, stored state is the reason.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bisect::Bisection;
use super::partition::BatchItem;
use super::{Worker, WorkerError};
use crate::domain::time::Span;
use crate::retry::Backoff;

/// More messages do not fail one after the other because of themselves.
const SUSPECTS_MAX: usize = 3;
/// A suspect waits for another message for so long.
const ALONE_MAX: Span = Span::seconds(60);
const WAIT_FIRST: Duration = Duration::from_millis(100);

pub(super) struct Suspects {
    messages: Vec<BatchItem>,
    /// A message was stored after the last suspect had failed.
    later_stored: bool,
    /// The last failure, by the steady clock.
    failed_at: Span,
    /// Messages that failed again without another one that was stored.
    failed_alone: usize,
    waits: Backoff,
}

impl Default for Suspects {
    fn default() -> Suspects {
        Suspects {
            messages: Vec::new(),
            later_stored: false,
            failed_at: Span::ZERO,
            failed_alone: 0,
            waits: Backoff::from(WAIT_FIRST),
        }
    }
}

impl Suspects {
    pub(super) fn add(&mut self, suspect: Option<BatchItem>, steady: Span) {
        if let Some(suspect) = suspect {
            self.messages.push(suspect);
            self.later_stored = false;
            self.failed_at = steady;
        }
    }

    /// A message was stored: stored state works.
    pub(super) fn note_stored(&mut self) {
        self.later_stored = true;
        self.failed_alone = 0;
        self.waits.reset();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is time to try them again.
    pub(super) fn can_be_tried(&self, steady: Span) -> bool {
        let waited = Span(steady.0 - self.failed_at.0);

        !self.messages.is_empty() && (self.later_stored || waited > ALONE_MAX)
    }

    /// Counts a message that failed again. Returns false when stored state may be the reason all the
    /// same: no other message was stored for so long.
    fn count_failure(&mut self) -> bool {
        if !self.later_stored {
            self.failed_alone += 1;
        }

        self.failed_alone <= SUSPECTS_MAX
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.messages.len() + self.failed_alone > SUSPECTS_MAX
    }

    pub(super) fn take(&mut self) -> Vec<BatchItem> {
        std::mem::take(&mut self.messages)
    }

    /// Waits before the next attempt. Returns false when the stop came first.
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.waits.wait(stop).await
    }
}

impl Worker {
    /// Splits a sub-batch that failed.
    pub(super) async fn split(
        &mut self,
        items: Vec<BatchItem>,
        reason: &str,
        bisection: &mut Bisection,
    ) -> Result<(), WorkerError> {
        let messages = items.len();
        let suspect = bisection.split(items, reason)?;
        tracing::error!(
            reason,
            messages,
            "batch cannot be processed because of one of its messages, splitting it"
        );

        self.suspects.add(suspect, self.clock.steady());
        if self.suspects.are_too_many() {
            self.wait_for_stored_state(reason).await?;
            bisection.retry(self.suspects.take());
        }

        // The memory holds uncommitted changes: the committed state is read again.
        self.recover().await
    }

    /// Processes a message again that failed alone. If it fails again, it is set aside, unless it
    /// is one of too many.
    pub(super) async fn try_suspect(&mut self, suspect: BatchItem) -> Result<(), WorkerError> {
        let mut items = vec![suspect];

        while let Err(error) = self.run_steps(&mut items).await {
            let WorkerError::Poison(reason) = error else {
                return Err(error);
            };
            self.recover().await?;

            if self.suspects.count_failure() {
                items[0].poison = Some(reason);
                return self.run_steps(&mut items).await;
            }
            self.wait_for_stored_state(&reason).await?;
        }

        Ok(())
    }

    /// So many messages fail one after the other that none of them can be the reason. Nothing is
    /// set aside: the partition waits, and the process is not ready.
    async fn wait_for_stored_state(&mut self, reason: &str) -> Result<(), WorkerError> {
        let text = format!("stored state of partition {} fails: {reason}", self.number);
        self.counters.set_blocked(Some(text));
        metrics::counter!("cordboard_worker_state_failures_total").increment(1);
        tracing::error!(
            reason,
            partition = self.number,
            "every message fails, so stored state is the reason: the partition waits, and no \
             message is set aside. See the runbook, CordboardStoredStateFails"
        );

        if self.suspects.wait(&self.stop).await {
            Ok(())
        } else {
            Err(WorkerError::Stopped)
        }
    }
}
