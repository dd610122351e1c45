//! Recovery of a partition while its worker runs, and stored time that is not believed: a watermark
//! or a tick ahead of the clock, which an earlier version stored when a clock was wrong or a message
//! forged. The take-over sets them back. Stored facts are never touched: which of two clocks was
//! right cannot be known from them.

use super::handle::run_long;
use super::partition::Partition;
use super::{Worker, WorkerError, lookback};
use crate::domain::Delta;
use crate::domain::notice::{Notice, NoticeKind};
use crate::port::ledger::Changes;
use crate::wire::instant;

impl Worker {
    /// Withdraws calls at impossible instants, and reports what the take-over has corrected.
    pub(super) async fn heal(&mut self) -> Result<(), WorkerError> {
        let absurd = std::mem::take(&mut self.partition.absurd);
        if absurd.is_empty() {
            return Ok(());
        }

        tracing::error!(
            partition = self.number,
            watermark = absurd.watermark.map(instant::text),
            facts_ahead = absurd.facts.iter().map(|ahead| ahead.count).sum::<u64>(),
            impossible_calls = absurd.calls.len(),
            "stored time was ahead of the clock of this machine and is set back; facts ahead are \
             left out until the clock has reached them. See the runbook, CordboardStateHealed"
        );
        metrics::counter!("cordboard_worker_healed_total").increment(1);
        self.partition.facts_ahead = absurd.facts;
        if absurd.calls.is_empty() {
            return Ok(());
        }

        let notices = absurd.calls.iter().map(|call| Notice {
            call: *call,
            kind: NoticeKind::Withdrawn,
        });
        let delta = Delta {
            notices: notices.collect(),
            withdrawn: absurd.calls,
            ..Delta::default()
        };
        let mut changes = Changes::default();
        self.partition.collect(None, delta, &mut changes);
        self.commit(&mut changes).await?;
        self.publish(changes).await;

        Ok(())
    }

    /// Takes the partition over again when the clock of this machine was ahead, and is not any more:
    /// the watermark is beyond everything that is believed now.
    pub(super) async fn recover_if_watermark_ahead(&mut self) -> Result<(), WorkerError> {
        let believed = self.partition.believed.instants(self.clock.now());

        if self.partition.watermark() > believed.last {
            self.recover().await?;
        }

        Ok(())
    }

    /// Folds facts of a clock that was ahead once time has passed up to them. As with `rebuild`,
    /// there are no notifications: these calls were shown when their events came.
    pub(super) async fn fold_facts_no_longer_ahead(&mut self) -> Result<(), WorkerError> {
        while let Some(reached) = self.partition.take_facts_reached() {
            let stretch = self.partition.stretch_from(&reached.site, reached.first);
            let Some(history) = self.history(&stretch).await? else {
                continue;
            };

            let mut changes = run_long(|| self.partition.refold_stored(&stretch, &history))?;
            self.commit(&mut changes).await?;
            self.publish(changes).await;
            tracing::info!(
                site = reached.site.as_str(),
                facts = reached.count,
                "the clock has reached facts that were ahead of it, and their calls are made"
            );
        }

        Ok(())
    }

    /// Drops the state in memory and takes the partition over again as it was committed.
    pub(super) async fn recover(&mut self) -> Result<(), WorkerError> {
        let policies = self.partition.policies.clone();
        let believed = self.partition.believed.clone();
        let instants = believed.instants(self.clock.now());
        let state = self
            .retry_while_unavailable("recover the partition", || {
                self.ledger.take_over(lookback(&policies, instants))
            })
            .await?;
        self.partition = Partition::recover(policies, believed, state);

        self.heal().await
    }
}
