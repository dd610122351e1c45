//! Messages become facts, the watermark, or dead letters; and which of the facts are new.

use std::collections::HashSet;

use super::bisect::BatchItem;
use super::{Worker, WorkerError};
use crate::domain::fact::{EventId, Fact};
use crate::health::BatchCounts;
use crate::port::ledger::{Changes, ReceivedFact, RejectedMessage};
use crate::wire::message::Message;

impl Worker {
    /// Messages become facts, ticks move the watermark, what is neither is kept as it came.
    pub(super) fn read(&mut self, messages: &mut [BatchItem]) -> (Changes, BatchCounts) {
        let (mut changes, mut settled) = (Changes::default(), BatchCounts::default());
        metrics::histogram!("cordboard_worker_batch_messages")
            .record(f64::from(u32::try_from(messages.len()).unwrap_or(u32::MAX)));
        for BatchItem {
            message,
            read,
            poison,
        } in messages
        {
            if let Some(reason) = poison {
                changes.rejected.push(RejectedMessage {
                    message: message.clone(),
                    reason: reason.clone(),
                });
                continue;
            }
            // Needed once: should it be read again, then from the message itself.
            let decoded = read.take().map_or_else(|| Message::decode(message), Ok);
            let read = decoded.and_then(|decoded| {
                settled.latest = settled.latest.max(Some(decoded.at()));
                match decoded {
                    Message::Report(envelope) => {
                        envelope.fact(|site| self.policies.of(site)).map(Some)
                    }
                    Message::Tick(tick) => {
                        settled.ticks += 1;
                        self.promises.observe(&tick);
                        Ok(None)
                    }
                }
            });
            match read {
                Ok(Some(fact)) => changes.facts.push(ReceivedFact {
                    fact,
                    message: message.clone(),
                }),
                Ok(None) => {}
                Err(error) => changes.rejected.push(RejectedMessage {
                    message: message.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        if settled.ticks > 0 {
            changes.watermark = self.promises.watermark();
            changes.ticks.clone_from(&self.promises.0);
        }
        settled.dead = changes.rejected.len() as u64;
        if settled.dead > 0 {
            tracing::error!(
                messages = settled.dead,
                "messages hold no fact; they are kept as they came in the table `dead_events`"
            );
        }
        (changes, settled)
    }

    /// Lets go of facts that an earlier batch brought already, or this one twice, and says how many
    /// there were.
    pub(super) async fn drop_known(&self, changes: &mut Changes) -> Result<u64, WorkerError> {
        let received = changes.facts.len();
        let (mut facts, mut new): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.facts)
            .into_iter()
            .partition(|received| !self.is_new(&received.fact));
        if !facts.is_empty() {
            let mut unknown: HashSet<EventId> = self
                .retry_while_unavailable("known facts", || self.ledger.unknown_facts(&facts))
                .await?
                .into_iter()
                .collect();
            facts.retain(|received| unknown.remove(&received.fact.id));
        }
        let mut seen: HashSet<EventId> = facts.iter().map(|received| received.fact.id).collect();
        new.retain(|received| seen.insert(received.fact.id));
        facts.append(&mut new);
        changes.facts = facts;
        changes.facts_are_new = true;
        Ok((received - changes.facts.len()) as u64)
    }

    /// Whether the ledger cannot have it, without being asked: nobody else wrote anything since we
    /// began, and what we wrote is folded.
    fn is_new(&self, fact: &Fact) -> bool {
        fact.at > self.stored_until
            && self
                .sites
                .get(&fact.site)
                .is_some_and(|timeline| timeline.lacks(fact.key()))
    }
}
