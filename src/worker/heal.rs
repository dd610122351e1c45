//! Recovery of a partition while its worker runs, and the correction of stored state that is not
//! believed: calls with instants outside the window, which an earlier version stored when a clock
//! was wrong or a message forged. They are folded again from the facts that are left, or withdrawn.

use std::collections::BTreeMap;

use super::partition::{History, Partition, Stretch};
use super::{Worker, WorkerError, lookback};
use crate::domain::Delta;
use crate::domain::fact::{CallId, Site};
use crate::domain::time::At;
use crate::port::ledger::Changes;
use crate::wire::instant;

impl Worker {
    /// Corrects calls with absurd instants. Everything else was corrected at the take-over.
    pub(super) async fn heal(&mut self) -> Result<(), WorkerError> {
        let absurd = std::mem::take(&mut self.partition.absurd);
        if absurd.is_empty() {
            return Ok(());
        }

        tracing::error!(
            partition = self.number,
            watermark = absurd.watermark.map(instant::text),
            facts = absurd.facts,
            calls = absurd.calls.len(),
            "stored state had instants far from the clock of this machine: the watermark was set \
             back, facts were moved to the dead letters, and calls are corrected. Compare the \
             calls since then with `cordboard rebuild --diff`"
        );
        metrics::counter!("cordboard_worker_healed_total").increment(1);

        let mut changes = Changes::default();
        let believed = self.partition.believed.instants(self.clock.now());
        let (starts_well, starts_absurdly): (Vec<_>, Vec<_>) = absurd
            .calls
            .into_iter()
            .partition(|(_, _, started_at)| believed.contains(*started_at));
        for stretch in self.partition.stretches_of(&starts_well) {
            let history = self.history(&stretch).await?;
            self.partition.fold_again(&stretch, history, &mut changes)?;
        }
        let withdrawn = starts_absurdly.iter().map(|(_, call, _)| *call);
        changes.withdrawn_calls.extend(withdrawn);
        changes.withdrawn_calls.sort_unstable();
        changes.withdrawn_calls.dedup();

        self.commit(&mut changes).await?;
        self.publish(changes).await;

        Ok(())
    }

    /// Takes the partition over again when the clock of this machine was ahead, and is not any more:
    /// the watermark is beyond everything that is believed now.
    pub(super) async fn recover_from_future(&mut self) -> Result<(), WorkerError> {
        let believed = self.partition.believed.instants(self.clock.now());

        if self.partition.watermark() > believed.last {
            self.recover().await?;
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

impl Partition {
    /// One stretch for each site, from the first of these calls.
    fn stretches_of(&self, calls: &[(Site, CallId, At)]) -> Vec<Stretch> {
        let mut first: BTreeMap<&Site, At> = BTreeMap::new();
        for (site, _, started_at) in calls {
            let at = first.entry(site).or_insert(*started_at);
            *at = (*at).min(*started_at);
        }

        first
            .into_iter()
            .map(|(site, at)| self.stretch_from(site, at))
            .collect()
    }

    /// Folds a stretch again and adds its calls as they are now. Stored calls that are not among
    /// them are withdrawn.
    fn fold_again(
        &mut self,
        stretch: &Stretch,
        history: History,
        changes: &mut Changes,
    ) -> Result<(), WorkerError> {
        let delta = self.refold(stretch, Delta::default(), history, changes)?;
        self.collect(delta, changes);

        Ok(())
    }
}
