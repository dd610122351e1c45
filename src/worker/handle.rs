//! One batch: read -> reconstruct -> commit -> tell -> settle. Nothing else sequences effects; a batch with poison in it goes this way in
//! parts.

use std::collections::{BTreeMap, HashSet};

use super::poison::{self, Part, Parts};
use super::{Worker, WorkerError};
use crate::domain::fact::{EventId, Fact, Site};
use crate::domain::notice::NoticeKind;
use crate::domain::time::At;
use crate::domain::{Delta, Timeline};
use crate::port::books::Settled;
use crate::port::fanout::News;
use crate::port::ledger::{Changes, Dead, Received};
use crate::wire::envelope::{BadEnvelope, Envelope};
use crate::wire::message::Message;
use crate::wire::news;

impl Worker {
    pub(super) async fn handle(&mut self, messages: Vec<Vec<u8>>) -> Result<(), WorkerError> {
        let mut parts = Parts::whole(messages);
        while let Some(part) = parts.next() {
            let (mut changes, mut settled) = self.read(&part);
            settled.known = self.drop_known(&mut changes).await?;
            if let Err(error) = self.write(&mut changes).await {
                self.divide(&mut parts, part, error).await?;
                continue;
            }
            settled.stored = changes.facts.len() as u64;
            self.count(&changes);
            self.fanout.tell(changes.news);
            self.books.settled(&settled);
        }
        self.inbox.settle().await?;
        Ok(())
    }

    async fn write(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        self.reconstruct(changes).await?;
        if changes.is_empty() && changes.watermark.is_none() {
            return Ok(());
        }
        self.commit(changes).await
    }

    /// Messages become facts, ticks move the watermark, what is neither is kept as it came.
    fn read(&self, messages: &[Part]) -> (Changes, Settled) {
        let (mut changes, mut settled) = (Changes::default(), Settled::default());
        metrics::histogram!("cordboard_worker_batch_messages").record(f64::from(u32::try_from(messages.len()).unwrap_or(u32::MAX)));
        for Part { message, poison } in messages {
            if let Some(reason) = poison {
                changes.dead.push(Dead { message: message.clone(), reason: reason.clone() });
                continue;
            }
            let read = Message::decode(message).and_then(|decoded| {
                settled.up_to = settled.up_to.max(Some(decoded.at()));
                match decoded {
                    Message::Report(envelope) => self.fact(&envelope).map(Some),
                    Message::Tick(at) => {
                        settled.ticks += 1;
                        changes.watermark = changes.watermark.max(Some(at));
                        Ok(None)
                    }
                }
            });
            match read {
                Ok(Some(fact)) => changes.facts.push(Received { fact, message: message.clone() }),
                Ok(None) => {}
                Err(error) => changes.dead.push(Dead { message: message.clone(), reason: error.to_string() }),
            }
        }
        settled.dead = changes.dead.len() as u64;
        (changes, settled)
    }

    pub(super) fn fact(&self, envelope: &Envelope) -> Result<Fact, BadEnvelope> {
        envelope.fact(|site| self.policies.of(site))
    }

    /// Lets go of facts that an earlier batch brought already, or this one twice, and says how many there were.
    async fn drop_known(&self, changes: &mut Changes) -> Result<u64, WorkerError> {
        if changes.facts.is_empty() {
            return Ok(0);
        }
        let ids: Vec<EventId> = changes.facts.iter().map(|received| received.fact.id).collect();
        let mut unknown: HashSet<EventId> = self.insist("known facts", || self.ledger.unknown(&ids)).await?.into_iter().collect();
        let received = changes.facts.len();
        changes.facts.retain(|received| unknown.remove(&received.fact.id));
        Ok((received - changes.facts.len()) as u64)
    }

    /// The pure part: what these facts and the watermark make of the calls.
    async fn reconstruct(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        let mut by_site: BTreeMap<Site, Vec<Fact>> = BTreeMap::new();
        for received in &changes.facts {
            by_site.entry(received.fact.site.clone()).or_default().push(received.fact.clone());
        }
        self.watermark = self.watermark.max(changes.watermark.unwrap_or(At::START));
        let quiet: Vec<Site> = self.sites.keys().filter(|site| !by_site.contains_key(site)).cloned().collect();
        by_site.extend(quiet.into_iter().map(|site| (site, Vec::new())));
        for (site, facts) in by_site {
            let policy = self.policies.of(&site).clone();
            let timeline = self.sites.entry(site.clone()).or_insert_with(|| Timeline::new(site.clone(), policy));
            let mut delta = poison::guarded(|| timeline.apply(facts, self.watermark))?;
            if !delta.late.is_empty() {
                delta = self.refold(&site, delta, changes).await?;
            }
            self.collect(delta, changes);
        }
        Ok(())
    }

    fn collect(&mut self, delta: Delta, changes: &mut Changes) {
        let records =
            delta.changed.into_iter().map(|record| (record, false)).chain(delta.finished.into_iter().map(|record| (record, true)));
        let calls: Vec<_> = records.filter(|(record, _)| !self.fragments.contains(&record.id)).collect();
        for notice in delta.notices.into_iter().filter(|notice| !self.fragments.contains(&notice.call)) {
            let record = calls.iter().rev().find(|(record, _)| record.id == notice.call).map(|(record, _)| record);
            self.told += 1;
            let data = news::text(notice.call, record).into();
            changes.news.push(News { number: self.told, kind: notice.kind, call: notice.call, data });
        }
        changes.calls.extend(calls);
        changes.withdrawn.extend(delta.withdrawn.into_iter().filter(|call| !self.fragments.contains(call)));
    }

    fn count(&self, changes: &Changes) {
        let retracted = changes.news.iter().filter(|news| news.kind == NoticeKind::MissedRetracted).count();
        metrics::counter!("cordboard_worker_missed_retracted_total").increment(retracted as u64);
        let held: usize = self.sites.values().map(Timeline::calls_held).sum();
        metrics::gauge!("cordboard_worker_calls_held").set(u32::try_from(held).unwrap_or(u32::MAX));
        self.books.watermark(self.watermark);
    }
}
