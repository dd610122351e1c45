//! What new facts and the watermark make of the calls, and what is to be told of it.

use std::collections::{BTreeMap, HashMap};

use super::{Worker, WorkerError, bisect};
use crate::domain::fact::{CallId, Fact, Site};
use crate::domain::time::At;
use crate::domain::{Delta, Timeline};
use crate::port::ledger::{CallUpdate, Changes};
use crate::port::outbox::Notification;
use crate::wire::notification;

impl Worker {
    /// The pure part: what these facts and the watermark make of the calls.
    pub(super) async fn reconstruct(&mut self, changes: &mut Changes) -> Result<(), WorkerError> {
        changes.calls.append(&mut self.left_open);
        let mut by_site: BTreeMap<Site, Vec<Fact>> = BTreeMap::new();
        for received in &changes.facts {
            by_site
                .entry(received.fact.site.clone())
                .or_default()
                .push(received.fact.clone());
        }
        self.watermark = self.watermark.max(changes.watermark.unwrap_or(At::START));
        let quiet: Vec<Site> = self
            .sites
            .keys()
            .filter(|site| !by_site.contains_key(site))
            .cloned()
            .collect();
        by_site.extend(quiet.into_iter().map(|site| (site, Vec::new())));
        for (site, facts) in by_site {
            let policy = self.policies.of(&site).clone();
            let timeline = self
                .sites
                .entry(site.clone())
                .or_insert_with(|| Timeline::new(site.clone(), policy));
            let mut delta = bisect::catch_panic(|| timeline.apply(facts, self.watermark))?;
            if !delta.late.is_empty() {
                delta = self.refold(&site, delta, changes).await?;
            }
            self.collect(delta, changes);
        }
        Ok(())
    }

    fn collect(&mut self, delta: Delta, changes: &mut Changes) {
        let calls: Vec<CallUpdate> = CallUpdate::from_delta(delta.changed, delta.finished)
            .filter(|call| !self.fragments.contains(&call.record.id))
            .collect();
        let last: HashMap<CallId, &CallUpdate> =
            calls.iter().map(|call| (call.record.id, call)).collect();
        for notice in delta
            .notices
            .into_iter()
            .filter(|notice| !self.fragments.contains(&notice.call))
        {
            self.told += 1;
            let data =
                notification::json(notice.call, last.get(&notice.call).map(|call| call.json()))
                    .into();
            changes.notifications.push(Notification {
                number: self.told,
                kind: notice.kind,
                call: notice.call,
                data,
            });
        }
        changes.calls.extend(calls);
        changes.withdrawn_calls.extend(
            delta
                .withdrawn
                .into_iter()
                .filter(|call| !self.fragments.contains(call)),
        );
    }
}
