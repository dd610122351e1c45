//! Facts that are older than the state in memory: the history around them is folded again, and the
//! records that it had made are corrected.

use std::collections::{HashMap, HashSet};

use super::WorkerError;
use super::partition::{History, Partition, Stretch, catch_panic};
use crate::domain::fact::{CallId, EventId, Fact, Site};
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};
use crate::domain::{Delta, Timeline, notice};
use crate::port::ledger::{Changes, FactsAhead};
use crate::wire::message::Message;

/// A site folded from its history.
struct Folded {
    timeline: Timeline,
    changed: Vec<CallRecord>,
    finished: Vec<CallRecord>,
    /// Calls that began before the stretch, of which facts may be missing.
    before: Vec<CallId>,
}

impl Folded {
    fn all(&self) -> Vec<CallRecord> {
        [self.changed.clone(), self.finished.clone()].concat()
    }

    /// Those of the stored calls that there are not any more.
    fn lacks(&self, stored: &[CallId]) -> Vec<CallId> {
        let records = self.changed.iter().chain(&self.finished);
        let present: HashSet<CallId> = records.map(|record| record.id).collect();
        let stored = stored.iter().copied();

        stored.filter(|call| !present.contains(call)).collect()
    }

    /// Drops records that are stored already as they are now.
    fn retain_changed(&mut self, before: &Folded, stored: &HashSet<CallId>) {
        let unchanged = |now: &CallRecord, before: &HashMap<CallId, &CallRecord>| {
            stored.contains(&now.id) && before.get(&now.id).is_some_and(|before| *before == now)
        };

        for (now, before) in [
            (&mut self.changed, &before.changed),
            (&mut self.finished, &before.finished),
        ] {
            let before = before.iter().map(|record| (record.id, record)).collect();
            now.retain(|record| !unchanged(record, &before));
        }
    }
}

impl Stretch {
    /// Without calls some of whose facts may be deleted.
    fn completed(&self, history: &History) -> Stretch {
        Stretch {
            calls_from: self.calls_from.max(history.complete_from),
            ..self.clone()
        }
    }
}

impl Partition {
    /// The history that the late facts of a site may have to do with.
    pub(super) fn stretch_around(&self, site: &Site, delta: &Delta) -> Stretch {
        let first_late = delta.late.iter().map(|fact| fact.at).min();

        self.stretch_from(site, first_late.unwrap_or(self.watermark))
    }

    /// The history that a change at an instant may have to do with.
    pub(super) fn stretch_from(&self, site: &Site, at: At) -> Stretch {
        // A call that started earlier has nothing to do with it.
        let reach = self.reach(site);

        Stretch {
            site: site.clone(),
            facts_from: at - (reach + reach),
            calls_from: at - reach,
        }
    }

    /// The longest time by which a fact and a call that it concerns may be apart.
    fn reach(&self, site: &Site) -> Span {
        let policy = self.policies.of(site);

        Span(policy.duration_max.0.saturating_mul(2)) + policy.link_window
    }

    /// Calls that began earlier cannot be folded again: some of their facts may be deleted.
    pub(super) fn complete_from(&self, site: &Site, kept_since: At) -> At {
        if kept_since == At::START {
            At::START
        } else {
            kept_since + self.reach(site)
        }
    }

    /// Folds the stretch again with the late facts in it. The delta then holds every call of the
    /// stretch that is not as it was before.
    pub(super) fn refold(
        &mut self,
        stretch: &Stretch,
        delta: Delta,
        history: &History,
        changes: &Changes,
    ) -> Result<Delta, WorkerError> {
        let stretch = &stretch.completed(history);
        let facts = self.facts_of(stretch, history, changes);
        let late: HashSet<EventId> = delta.late.iter().map(|fact| fact.id).collect();
        let without_late = facts
            .iter()
            .filter(|fact| !late.contains(&fact.id))
            .cloned()
            .collect();

        // Notifications so far follow from the history without the late facts.
        let before = self.fold(stretch, without_late)?;
        let mut now = self.fold(stretch, facts)?;

        let mut notices = delta.notices;
        notices.extend(notice::between(&before.all(), &now.all()));
        let withdrawn = now.lacks(&history.calls);
        // Other facts of the batch are in both, and not stored yet.
        let of_batch = delta.changed.iter().chain(&delta.finished);
        let of_batch: HashSet<CallId> = of_batch.map(|record| record.id).collect();
        let stored = history.calls.iter().copied();
        now.retain_changed(
            &before,
            &stored.filter(|call| !of_batch.contains(call)).collect(),
        );
        self.set_fragments(&now, history);
        self.sites.insert(stretch.site.clone(), now.timeline);

        Ok(Delta {
            changed: now.changed,
            finished: now.finished,
            withdrawn,
            notices,
            late: Vec::new(),
            duplicates: delta.duplicates,
        })
    }

    /// Takes out facts that were ahead of the clock, of one site, once time has passed up to them.
    pub(super) fn take_facts_reached(&mut self) -> Option<FactsAhead> {
        let is_reached = |ahead: &FactsAhead| ahead.last <= self.watermark;
        let reached = self.facts_ahead.iter().position(is_reached)?;

        Some(self.facts_ahead.swap_remove(reached))
    }

    /// Folds a stretch again as it is stored: every call of it is written as it is now.
    pub(super) fn refold_stored(
        &mut self,
        stretch: &Stretch,
        history: &History,
    ) -> Result<Changes, WorkerError> {
        let stretch = &stretch.completed(history);
        let mut changes = Changes::default();
        let facts = self.facts_of(stretch, history, &changes);
        let now = self.fold(stretch, facts)?;
        self.set_fragments(&now, history);

        let delta = Delta {
            withdrawn: now.lacks(&history.calls),
            changed: now.changed,
            finished: now.finished,
            ..Delta::default()
        };
        self.sites.insert(stretch.site.clone(), now.timeline);
        self.collect(Some(&stretch.site), delta, &mut changes);

        Ok(changes)
    }

    /// The calls of a stretch are whole now; those that began before it may not be.
    fn set_fragments(&mut self, now: &Folded, history: &History) {
        let records = now.changed.iter().chain(&now.finished);
        for call in records.map(|record| &record.id).chain(&history.calls) {
            self.fragments.remove(call);
        }

        self.fragments.extend(&now.before);
    }

    /// The stored facts of a stretch, and those of the batch under way.
    fn facts_of(&self, stretch: &Stretch, history: &History, changes: &Changes) -> Vec<Fact> {
        let stored = history
            .messages
            .iter()
            .filter_map(|message| Message::fact(message, &self.policies));
        let received = changes
            .facts
            .iter()
            .map(|received| &received.fact)
            .filter(|fact| fact.site == stretch.site);

        stored.chain(received.cloned()).collect()
    }

    fn fold(&self, stretch: &Stretch, facts: Vec<Fact>) -> Result<Folded, WorkerError> {
        let site = &stretch.site;
        let known = self.sites.get(site);
        let extensions = known.map(Timeline::reported_extensions).unwrap_or_default();
        let policy = self.policies.of(site).clone();
        let mut timeline = Timeline::with_extensions(site.clone(), policy, &extensions);

        let mut delta = catch_panic(|| timeline.apply(facts, self.watermark))?;
        timeline.set_complete_since(stretch.calls_from);
        let is_before = |record: &mut CallRecord| record.started_at < stretch.calls_from;
        let before = delta.changed.extract_if(.., is_before);
        let before = before.chain(delta.finished.extract_if(.., is_before));
        let before = before.map(|record| record.id).collect();

        Ok(Folded {
            timeline,
            changed: delta.changed,
            finished: delta.finished,
            before,
        })
    }
}
