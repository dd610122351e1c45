//! Duplicates: the broker delivers again, and programs send again. An event that comes again is
//! dropped. One with the id of an earlier event and another content is a conflict: it is set aside
//! and reported, since one of the two would be lost in silence.

use std::collections::{HashMap, HashSet};

use super::partition::Batch;
use super::{Worker, WorkerError};
use crate::domain::fact::EventId;
use crate::port::ledger::ReceivedFact;
use crate::wire::envelope::Envelope;

impl Worker {
    /// Takes out facts that are stored already, and those that the batch holds twice.
    pub(super) async fn drop_duplicates(&self, batch: &mut Batch) -> Result<(), WorkerError> {
        let mut not_stored = HashSet::new();
        if !batch.uncertain().is_empty() {
            let ask = || self.ledger.facts_not_stored(batch.uncertain());
            not_stored.extend(self.retry_while_unavailable("look up facts", ask).await?);
        }

        let duplicates = batch.take_duplicates(&not_stored);
        self.reject_taken_ids(batch).await?;
        if duplicates.is_empty() {
            return Ok(());
        }
        let read = || self.ledger.stored_messages(&duplicates);
        let stored = self.retry_while_unavailable("read messages", read).await?;
        let conflicts = conflicts(&duplicates, &stored, batch);

        let (conflicts, dropped): (Vec<_>, Vec<_>) = duplicates
            .into_iter()
            .partition(|duplicate| conflicts.contains(&duplicate.message));
        for duplicate in dropped {
            tracing::debug!(event_id = %duplicate.fact.id, "duplicate dropped");
        }
        batch.counts.duplicates -= conflicts.len() as u64;
        self.reject_conflicts(conflicts, batch);

        Ok(())
    }

    /// Sets aside new events whose ids are those of stored calls, if another program may have made
    /// them, or if they are from before the take-over: a call would take the place of another, even
    /// of another site.
    async fn reject_taken_ids(&self, batch: &mut Batch) -> Result<(), WorkerError> {
        let uncertain: HashSet<EventId> = batch
            .uncertain()
            .iter()
            .map(|received| received.fact.id)
            .collect();
        let is_doubtful = |id: &EventId| batch.foreign.contains(id) || uncertain.contains(id);
        let new = batch.facts().map(|received| received.fact.id);
        let doubtful: Vec<EventId> = new.filter(is_doubtful).collect();
        if doubtful.is_empty() {
            return Ok(());
        }

        let ask = || self.ledger.ids_of_calls(&doubtful);
        let taken = self.retry_while_unavailable("look up calls", ask).await?;
        let conflicts = batch.take(&taken.into_iter().collect());
        self.reject_conflicts(conflicts, batch);

        Ok(())
    }

    /// Sets events aside. One line names them all: a program may send thousands.
    fn reject_conflicts(&self, conflicts: Vec<ReceivedFact>, batch: &mut Batch) {
        let Some(first) = conflicts.first() else {
            return;
        };
        metrics::counter!("cordboard_worker_conflicts_total").increment(conflicts.len() as u64);
        tracing::error!(
            event_id = %first.fact.id,
            site = first.fact.site.as_str(),
            partition = self.number,
            conflicts = conflicts.len(),
            "two events have one id and another content: the first is kept, the other set aside. \
             See the runbook, CordboardConflicts"
        );

        for conflict in conflicts {
            tracing::debug!(event_id = %conflict.fact.id, "conflict set aside");
            batch.reject_conflict(conflict);
        }
    }
}

/// The messages of duplicates that differ from the kept ones.
fn conflicts(
    duplicates: &[ReceivedFact],
    stored: &[(EventId, Vec<u8>)],
    batch: &Batch,
) -> HashSet<Vec<u8>> {
    let of_batch = batch
        .facts()
        .map(|kept| (kept.fact.id, kept.message.as_slice()));
    let kept: HashMap<EventId, &[u8]> = of_batch
        .chain(stored.iter().map(|(id, message)| (*id, message.as_slice())))
        .collect();

    duplicates
        .iter()
        .filter(|duplicate| {
            let kept = kept.get(&duplicate.fact.id);
            kept.is_some_and(|kept| !have_same_content(kept, &duplicate.message))
        })
        .map(|duplicate| duplicate.message.clone())
        .collect()
}

/// Whether two messages report the same. A program that sends without an instant gets another one
/// each time.
fn have_same_content(first: &[u8], second: &[u8]) -> bool {
    if first == second {
        return true;
    }

    match (Envelope::decode(first), Envelope::decode(second)) {
        (Ok(first), Ok(second)) => first.has_content_of(&second),
        _ => false,
    }
}
