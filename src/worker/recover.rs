//! Starting: take the partition over, and fold the history that the open calls come from.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::watermark::WatermarkTracker;
use super::{InFlightLimit, Worker, WorkerError};
use crate::domain::Timeline;
use crate::domain::device::Extension;
use crate::domain::fact::{CallId, Fact, Site};
use crate::domain::time::At;
use crate::health::FlowCounters;
use crate::port::intake::Inbox;
use crate::port::ledger::{CallUpdate, Ledger, Lookback, RecoveredState};
use crate::port::live::{LiveView, NoLiveView};
use crate::port::outbox::Outbox;
use crate::wire::message::Message;
use crate::wire::policy_file::Policies;

/// How far back these rules look.
#[must_use]
pub fn lookback(policies: &Policies) -> Lookback {
    let (links, calls) = policies.memory();
    Lookback { links, calls }
}

impl Worker {
    /// Takes over where the last owner of the partition left off.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn start(
        inbox: Box<dyn Inbox>,
        ledger: Arc<dyn Ledger>,
        fanout: Arc<dyn Outbox>,
        policies: Policies,
        books: Arc<FlowCounters>,
    ) -> Result<Worker, WorkerError> {
        let standing = ledger.take_over(lookback(&policies)).await?;
        Ok(Worker::with(
            standing, inbox, ledger, fanout, policies, books,
        ))
    }

    /// Goes on from where the ledger stands.
    pub fn with(
        standing: RecoveredState,
        inbox: Box<dyn Inbox>,
        ledger: Arc<dyn Ledger>,
        fanout: Arc<dyn Outbox>,
        policies: Policies,
        books: Arc<FlowCounters>,
    ) -> Worker {
        let watermark = standing.watermark.unwrap_or(At::START);
        let (sites, fragments, told, promises) = (
            BTreeMap::new(),
            HashSet::new(),
            standing.last_notification,
            WatermarkTracker(standing.ticks.clone()),
        );
        let stop = CancellationToken::new();
        let mut worker = Worker {
            inbox,
            ledger,
            fanout,
            policies,
            sites,
            watermark,
            promises,
            committed: watermark,
            stored_until: At::START,
            fragments,
            left_open: Vec::new(),
            told,
            live: Arc::new(NoLiveView),
            books,
            room: Arc::default(),
            stop,
        };
        worker.restore(standing);
        worker
    }

    /// Shares the room for what is in hand with other partitions.
    #[must_use]
    pub fn sharing(self, room: Arc<InFlightLimit>) -> Worker {
        Worker { room, ..self }
    }

    /// Shows what is committed there.
    #[must_use]
    pub fn shown_in(self, live: Arc<dyn LiveView>) -> Worker {
        Worker { live, ..self }
    }

    /// Forgets everything and begins where the last commit left off.
    pub(super) async fn begin_again(&mut self) -> Result<(), WorkerError> {
        let standing = self
            .retry_while_unavailable("what was committed", || {
                self.ledger.take_over(lookback(&self.policies))
            })
            .await?;
        self.sites.clear();
        self.fragments.clear();
        self.left_open.clear();
        self.watermark = standing.watermark.unwrap_or(At::START);
        self.promises = WatermarkTracker(standing.ticks.clone());
        self.committed = self.watermark;
        self.told = standing.last_notification;
        self.restore(standing);
        Ok(())
    }

    fn restore(&mut self, standing: RecoveredState) {
        self.stored_until = standing.last_fact_at.unwrap_or(At::START);
        let mut facts: BTreeMap<Site, Vec<Fact>> = BTreeMap::new();
        for fact in standing
            .messages
            .iter()
            .filter_map(|message| Message::fact(message, &self.policies))
        {
            facts.entry(fact.site.clone()).or_default().push(fact);
        }
        let mut extensions: BTreeMap<Site, Vec<(Extension, At)>> = BTreeMap::new();
        for (site, extension, first_report) in standing.extensions {
            facts.entry(site.clone()).or_default();
            extensions
                .entry(site)
                .or_default()
                .push((extension, first_report));
        }
        let open: HashSet<CallId> = standing.open_calls.into_iter().collect();
        for (site, facts) in facts {
            let known = extensions.remove(&site).unwrap_or_default();
            let mut timeline =
                Timeline::with_extensions(site.clone(), self.policies.of(&site).clone(), &known);
            // All of this was told before the stop.
            let delta = timeline.apply(facts, self.watermark);
            self.left_open.extend(
                CallUpdate::from_delta(Vec::new(), delta.finished)
                    .filter(|call| open.contains(&call.record.id)),
            );
            // Only what matters for the calls that are to come was read: what comes late may have
            // to do with others.
            timeline.knows_all_since(self.watermark);
            self.fragments.extend(
                timeline
                    .open_calls()
                    .iter()
                    .map(|record| record.id)
                    .filter(|call| !open.contains(call)),
            );
            self.sites.insert(site, timeline);
        }
        tracing::info!(
            sites = self.sites.len(),
            open_calls = open.len(),
            "history folded"
        );
    }
}
