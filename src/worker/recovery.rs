//! Recovery of a partition from its stored state: the history of open calls is folded again.

use std::collections::{BTreeMap, HashSet};

use super::believed::Believed;
use super::partition::Partition;
use super::watermark::WatermarkTracker;
use crate::domain::Timeline;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, Fact, Site};
use crate::domain::time::At;
use crate::port::ledger::{BelievedInstants, CallUpdate, Lookback, RecoveredState};
use crate::wire::message::Message;
use crate::wire::policy_file::Policies;

/// How far back closed calls are read on take-over, and which instants are believed.
#[must_use]
pub fn lookback(policies: &Policies, believed: BelievedInstants) -> Lookback {
    let (links, calls) = policies.lookback();

    Lookback {
        links,
        calls,
        believed,
    }
}

impl Partition {
    /// The partition as its last owner committed it.
    #[must_use]
    pub fn recover(policies: Policies, believed: Believed, state: RecoveredState) -> Partition {
        let watermark = state.watermark.unwrap_or(At::START);
        let mut partition = Partition::empty(policies, watermark);
        partition.ticks = WatermarkTracker::new(state.ticks, &believed.ingresses);
        partition.believed = believed;
        partition.absurd = state.absurd;
        partition.last_fact_at = state.last_fact_at.unwrap_or(At::START);
        partition.last_notification = state.last_notification;

        let mut facts: BTreeMap<Site, Vec<Fact>> = BTreeMap::new();
        for message in &state.messages {
            if let Some(fact) = Message::fact(message, &partition.policies) {
                facts.entry(fact.site.clone()).or_default().push(fact);
            }
        }
        let mut extensions: BTreeMap<Site, Vec<(Extension, At)>> = BTreeMap::new();
        for (site, extension, first_report) in state.extensions {
            facts.entry(site.clone()).or_default();
            let known = extensions.entry(site).or_default();
            known.push((extension, first_report));
        }

        let open: HashSet<CallId> = state.open_calls.into_iter().collect();
        for (site, facts) in facts {
            let extensions = extensions.remove(&site).unwrap_or_default();
            partition.recover_site(site, facts, &extensions, &open);
        }

        tracing::info!(
            sites = partition.sites.len(),
            open_calls = open.len(),
            "partition recovered"
        );
        partition
    }

    fn recover_site(
        &mut self,
        site: Site,
        facts: Vec<Fact>,
        extensions: &[(Extension, At)],
        open: &HashSet<CallId>,
    ) {
        let policy = self.policies.of(&site).clone();
        let mut timeline = Timeline::with_extensions(site.clone(), policy, extensions);

        // Notices of this delta were published by the last owner.
        let delta = timeline.apply(facts, self.watermark);
        // A report that comes out of its order has all of these facts folded again: parts of calls
        // that were over come up again then.
        let held = timeline.open_calls();
        let known = held.iter().chain(&delta.finished).map(|record| record.id);
        self.fragments
            .extend(known.filter(|call| !open.contains(call)));
        let final_calls = CallUpdate::from_delta(Vec::new(), delta.finished);
        self.unstored_final_calls
            .extend(final_calls.filter(|call| open.contains(&call.record.id)));

        // Only the history of open and linkable calls was read: a late fact may belong to others.
        timeline.set_complete_since(self.watermark);

        self.sites.insert(site, timeline);
    }
}
