//! Facts from before what is kept in memory: the history around them is folded again, and the
//! records it had made are corrected.

use std::collections::HashSet;

use super::{Worker, WorkerError, bisect};
use crate::domain::fact::{CallId, EventId, Fact, Site};
use crate::domain::time::{At, Span};
use crate::domain::{Delta, Timeline, notice};
use crate::port::ledger::Changes;
use crate::wire::message::Message;

impl Worker {
    /// Folds the site's history again with the late facts in it. The delta then holds every call of
    /// that stretch as it is now.
    pub(super) async fn refold(
        &mut self,
        site: &Site,
        delta: Delta,
        changes: &Changes,
    ) -> Result<Delta, WorkerError> {
        metrics::counter!("cordboard_worker_refolds_total").increment(1);
        let policy = self.policies.of(site).clone();
        let first = delta
            .late
            .iter()
            .map(|fact| fact.at)
            .min()
            .unwrap_or(self.watermark);
        // No call that began earlier can have anything to do with the late facts.
        let reach = Span(policy.duration_max.0.saturating_mul(2)) + policy.link_window;
        let (from, trusted) = (first - (reach + reach), first - reach);
        let mut facts = self.history(site, from).await?;
        facts.extend(
            changes
                .facts
                .iter()
                .map(|received| &received.fact)
                .filter(|fact| fact.site == *site)
                .cloned(),
        );

        let known = self
            .sites
            .get(site)
            .map(Timeline::known_extensions)
            .unwrap_or_default();
        let fold = |facts: Vec<Fact>| {
            let mut timeline = Timeline::with_extensions(site.clone(), policy.clone(), &known);
            let mut folded = bisect::catch_panic(|| timeline.apply(facts, self.watermark))?;
            timeline.knows_all_since(trusted);
            folded.changed.retain(|record| record.started_at >= trusted);
            folded
                .finished
                .retain(|record| record.started_at >= trusted);
            Ok::<_, WorkerError>((timeline, folded))
        };
        // What was told so far is what the history says without the late facts.
        let late: HashSet<EventId> = delta.late.iter().map(|fact| fact.id).collect();
        let (_, before) = fold(
            facts
                .iter()
                .filter(|fact| !late.contains(&fact.id))
                .cloned()
                .collect(),
        )?;
        let (
            timeline,
            Delta {
                changed, finished, ..
            },
        ) = fold(facts)?;
        let told = [before.changed, before.finished].concat();
        let present: HashSet<CallId> = changed
            .iter()
            .chain(&finished)
            .map(|record| record.id)
            .collect();
        let mut notices = delta.notices;
        notices.extend(notice::between(
            &told,
            &[changed.clone(), finished.clone()].concat(),
        ));
        let stored = self
            .retry_while_unavailable("stored calls", || {
                self.ledger.calls_started(site, trusted, At::END)
            })
            .await?;
        let withdrawn = stored
            .into_iter()
            .filter(|call| !present.contains(call))
            .collect();
        self.sites.insert(site.clone(), timeline);
        Ok(Delta {
            changed,
            finished,
            withdrawn,
            notices,
            late: Vec::new(),
            duplicates: delta.duplicates,
        })
    }

    async fn history(&self, site: &Site, from: At) -> Result<Vec<Fact>, WorkerError> {
        let messages = self
            .retry_while_unavailable("history", || self.ledger.fact_messages(site, from, At::END))
            .await?;
        Ok(messages
            .iter()
            .filter_map(|message| Message::fact(message, &self.policies))
            .collect())
    }
}
