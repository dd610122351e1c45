//! State and decisions of one partition: a pure value without IO, async or clock.
//!
//! A batch of deliveries is decoded, applied and committed. If a fact is older than the state in
//! memory, [`Partition::apply`] asks for a stretch of history and goes on with
//! [`Partition::supply`]; the caller reads and writes. The same batches and the same answers give
//! the same changes, so a simulation can drive it without a ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::WorkerError;
use super::believed::Believed;
use super::watermark::WatermarkTracker;
use crate::domain::fact::{CallId, EventId, Fact, Site};
use crate::domain::record::CallRecord;
use crate::domain::time::{At, Span};
use crate::domain::window::OutsideWindow;
use crate::domain::{Delta, Timeline};
use crate::health::BatchCounts;
use crate::port::intake::Delivery;
use crate::port::ledger::{Absurd, CallUpdate, Changes, FactsAhead, ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;
use crate::wire::message::{IngressId, Message, Tick};
use crate::wire::notification;
use crate::wire::policy_file::Policies;

/// A batch that only moves the watermark is committed when it has moved by this much since the last
/// commit. After a crash, that much event time passes again.
const UNSTORED_WATERMARK_MAX: Span = Span::seconds(10);
/// With so many sites, events of other programs begin no further one: these programs choose the
/// names of sites, and each costs about 9 kB of memory.
const FOREIGN_SITES_MAX: usize = 10_000;
/// With so many sites there is no further one: a program that may write to the queues may invent
/// ingresses too.
const SITES_MAX: usize = 20_000;
/// The reason of a message that is set aside because of its id.
const CONFLICT: &str = "its id is that of an earlier event with another content, which is kept";

/// The calls of the sites of one partition, and how far time has passed for them.
pub struct Partition {
    pub(super) policies: Policies,
    pub(super) believed: Believed,
    pub(super) sites: BTreeMap<Site, Timeline>,
    pub(super) watermark: At,
    pub(super) ticks: WatermarkTracker,
    /// The watermark of the last commit.
    pub(super) committed_watermark: At,
    /// The last fact that another owner may have stored: later facts that are not folded are new.
    pub(super) last_fact_at: At,
    /// Calls that were final at the take-over, or began before a history that was read, and may be in
    /// memory only in part. They are neither stored nor published.
    pub(super) fragments: HashSet<CallId>,
    /// Final calls whose stored rows still say open; the next batch writes them.
    pub(super) unstored_final_calls: Vec<CallUpdate>,
    pub(super) last_notification: u64,
    /// Stored state that is not believed, and whose calls are to be corrected.
    pub(super) absurd: Absurd,
    /// Stored facts that are not folded before time has passed up to the last of them.
    pub(super) facts_ahead: Vec<FactsAhead>,
    /// The batch that waits for history.
    pending: Option<Pending>,
}

/// A message under way.
pub struct BatchItem {
    pub(super) message: Vec<u8>,
    pub(super) decoded: Option<Message>,
    /// The reason why it is set aside unread.
    pub(super) poison: Option<String>,
}

impl From<Delivery> for BatchItem {
    fn from(delivery: Delivery) -> BatchItem {
        BatchItem {
            message: delivery.message,
            decoded: delivery.decoded,
            poison: None,
        }
    }
}

/// Facts and rejected messages of a batch, and the counts of it so far.
pub struct Batch {
    /// Facts that may be in the ledger already: it is asked.
    uncertain: Vec<ReceivedFact>,
    /// Facts that are certainly not in the ledger.
    certainly_new: Vec<ReceivedFact>,
    rejected: Vec<RejectedMessage>,
    /// Facts that may be of other programs, which choose their ids themselves.
    pub(super) foreign: HashSet<EventId>,
    has_ticks: bool,
    /// Ticks outside the window, each with its ingress.
    pub(super) disbelieved_ticks: Vec<(IngressId, OutsideWindow)>,
    /// Ticks of ingresses without an event.
    pub(super) unregistered_ticks: u64,
    pub counts: BatchCounts,
}

/// The next step of a batch.
pub enum Step {
    /// Everything is decided. Most changes are to be committed: see [`Partition::must_commit`].
    Decided(Changes),
    /// A fact is older than the state in memory: the history around it is needed.
    NeedHistory(Stretch),
}

/// A stretch of a site's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub site: Site,
    /// Facts received at this instant or later.
    pub facts_from: At,
    /// Calls that started at this instant or later. Earlier calls are not affected.
    pub calls_from: At,
}

/// The stored history of a stretch.
pub struct History {
    /// Calls that began earlier are not affected: their facts may have been deleted.
    pub complete_from: At,
    /// The messages of its facts, in their order.
    pub messages: Vec<Vec<u8>>,
    /// Its calls.
    pub calls: Vec<CallId>,
}

/// A batch under way.
struct Pending {
    changes: Changes,
    /// Sites that are still to be applied, the next one last.
    rest: Vec<(Site, Vec<Fact>)>,
    /// The site whose history is needed, and the delta computed before it was read.
    late: Option<(Stretch, Delta)>,
}

impl Batch {
    /// Facts that may be in the ledger already. If there are none, the ledger need not be asked.
    #[must_use]
    pub fn uncertain(&self) -> &[ReceivedFact] {
        &self.uncertain
    }

    /// Takes out facts that are in the ledger already, or that the batch holds twice. `not_stored`
    /// are the uncertain facts that the ledger does not have. Returns the facts that were taken
    /// out.
    pub fn take_duplicates(&mut self, not_stored: &HashSet<EventId>) -> Vec<ReceivedFact> {
        let mut seen = HashSet::new();
        let uncertain = self.uncertain.extract_if(.., |received| {
            let id = received.fact.id;
            !not_stored.contains(&id) || !seen.insert(id)
        });
        let mut duplicates: Vec<ReceivedFact> = uncertain.collect();
        let certainly_new = self
            .certainly_new
            .extract_if(.., |received| !seen.insert(received.fact.id));
        duplicates.extend(certainly_new);

        self.counts.duplicates = duplicates.len() as u64;
        duplicates
    }

    /// Takes out facts with these ids.
    pub fn take(&mut self, ids: &HashSet<EventId>) -> Vec<ReceivedFact> {
        let is_meant = |received: &mut ReceivedFact| ids.contains(&received.fact.id);
        let mut taken: Vec<ReceivedFact> = self.uncertain.extract_if(.., is_meant).collect();
        taken.extend(self.certainly_new.extract_if(.., is_meant));

        taken
    }

    /// Sets a duplicate aside whose id belongs to a fact with another content.
    pub fn reject_conflict(&mut self, duplicate: ReceivedFact) {
        self.rejected.push(RejectedMessage {
            message: duplicate.message,
            reason: CONFLICT.to_owned(),
        });
        self.counts.dead += 1;
    }

    /// All facts of the batch.
    pub fn facts(&self) -> impl Iterator<Item = &ReceivedFact> {
        self.uncertain.iter().chain(&self.certainly_new)
    }

    #[must_use]
    pub fn rejected(&self) -> &[RejectedMessage] {
        &self.rejected
    }
}

impl Partition {
    /// A partition without a history, whose time has passed up to `watermark`.
    pub(super) fn empty(policies: Policies, watermark: At) -> Partition {
        Partition {
            policies,
            believed: Believed::default(),
            sites: BTreeMap::new(),
            watermark,
            ticks: WatermarkTracker::default(),
            committed_watermark: watermark,
            last_fact_at: At::START,
            fragments: HashSet::new(),
            unstored_final_calls: Vec::new(),
            last_notification: 0,
            absurd: Absurd::default(),
            facts_ahead: Vec::new(),
            pending: None,
        }
    }

    /// Reads deliveries at an instant of the machine's clock: reports become facts and register
    /// their ingress, ticks are observed, everything else is rejected as it came. The watermark
    /// moves only with [`Partition::apply`].
    pub fn decode(&mut self, items: &mut [BatchItem], now: At) -> Batch {
        let mut batch = Batch {
            uncertain: Vec::new(),
            certainly_new: Vec::with_capacity(items.len()),
            rejected: Vec::new(),
            foreign: HashSet::new(),
            has_ticks: false,
            disbelieved_ticks: Vec::new(),
            unregistered_ticks: 0,
            counts: BatchCounts::default(),
        };

        for item in items {
            match self.decode_item(item, &mut batch, now) {
                Ok(Some(fact)) => {
                    let facts = if self.is_new(&fact) {
                        &mut batch.certainly_new
                    } else {
                        &mut batch.uncertain
                    };
                    facts.push(ReceivedFact {
                        fact,
                        message: item.message.clone(),
                    });
                }
                Ok(None) => {}
                Err(reason) => batch.rejected.push(RejectedMessage {
                    message: Believed::cut(&item.message),
                    reason,
                }),
            }
        }

        batch.counts.dead = batch.rejected.len() as u64;
        batch
    }

    fn decode_item(
        &mut self,
        item: &mut BatchItem,
        batch: &mut Batch,
        now: At,
    ) -> Result<Option<Fact>, String> {
        if let Some(reason) = &item.poison {
            return Err(reason.clone());
        }

        Believed::check_size(&item.message)?;

        // Taken: a second attempt reads the message itself.
        let decoded = item.decoded.take();
        let message = decoded
            .map_or_else(|| Message::decode(&item.message), Ok)
            .map_err(|error| error.to_string())?;
        let believed = self.believed.window.check(message.at(), now);

        match message {
            Message::Event(envelope) => {
                believed.map_err(|error| error.to_string())?;
                batch.counts.latest = batch.counts.latest.max(Some(At(envelope.at)));
                let fact = envelope
                    .fact(|site| self.policies.of(site))
                    .map_err(|error| error.to_string())?;
                let is_unnamed = envelope.ingress.is_none() && self.ticks.knows_named_ingress();
                let is_foreign = envelope.from.is_none() || is_unnamed;
                self.check_site(&fact.site, is_foreign)?;
                // An ingress has reported before, and makes ids of their sites and instants.
                let is_known = envelope
                    .ingress
                    .is_none_or(|ingress| self.ticks.knows(IngressId(ingress.as_u128())));
                if is_foreign || !is_known || !envelope.has_id_of_its_place() {
                    batch.foreign.insert(fact.id);
                }
                if let Some(ingress) = envelope.ingress {
                    self.ticks.register(IngressId(ingress.as_u128()));
                }
                Ok(Some(fact))
            }
            Message::Tick(tick) => {
                batch.counts.ticks += 1;
                self.observe_tick(&tick, believed, now, batch);
                Ok(None)
            }
        }
    }

    fn check_site(&self, site: &Site, is_foreign: bool) -> Result<(), String> {
        if self.sites.contains_key(site) {
            return Ok(());
        }

        if self.sites.len() >= SITES_MAX {
            Err(format!(
                "its site is new, and the partition has {SITES_MAX} sites already"
            ))
        } else if is_foreign && self.sites.len() >= FOREIGN_SITES_MAX {
            Err(format!(
                "its site is new, and the partition has {FOREIGN_SITES_MAX} sites already: only \
                 the events of an ingress begin further ones"
            ))
        } else {
            Ok(())
        }
    }

    /// A tick that is not believed is dropped: the next one says the same.
    fn observe_tick(
        &mut self,
        tick: &Tick,
        believed: Result<(), OutsideWindow>,
        now: At,
        batch: &mut Batch,
    ) {
        let latest = self.believed.latest_tick(now);
        if let Err(outside) = believed {
            batch.disbelieved_ticks.push((tick.ingress, outside));
        } else if self.ticks.observe(tick, latest) {
            batch.has_ticks = true;
            batch.counts.latest = batch.counts.latest.max(Some(tick.at.min(latest)));
        } else {
            batch.unregistered_ticks += 1;
        }
    }

    /// Whether the ledger cannot have this fact: no other owner wrote since the take-over, and
    /// everything this owner wrote is folded.
    fn is_new(&self, fact: &Fact) -> bool {
        fact.at > self.last_fact_at
            && self
                .sites
                .get(&fact.site)
                .is_some_and(|timeline| timeline.is_missing(fact.key()))
    }

    /// Applies the facts and the watermark of a batch to the calls, after
    /// [`Batch::take_duplicates`].
    ///
    /// # Errors
    /// When a fact of the batch makes the core panic. The partition is to be recovered then.
    pub fn apply(&mut self, batch: Batch) -> Result<Step, WorkerError> {
        if batch.has_ticks {
            let passed = self.ticks.watermark().unwrap_or(At::START);
            self.watermark = self.watermark.max(passed);
        }

        let mut facts = batch.uncertain;
        facts.extend(batch.certainly_new);
        let mut by_site: BTreeMap<Site, Vec<Fact>> = BTreeMap::new();
        for received in &facts {
            let of_site = by_site.entry(received.fact.site.clone()).or_default();
            of_site.push(received.fact.clone());
        }
        // Time passes for the other sites as well.
        for site in self.sites.keys() {
            if !by_site.contains_key(site) {
                by_site.insert(site.clone(), Vec::new());
            }
        }

        self.pending = Some(Pending {
            changes: Changes {
                facts,
                facts_are_new: true,
                rejected: batch.rejected,
                calls: std::mem::take(&mut self.unstored_final_calls),
                watermark: batch.has_ticks.then_some(self.watermark),
                ..Changes::default()
            },
            rest: by_site.into_iter().rev().collect(),
            late: None,
        });

        self.advance()
    }

    /// Goes on with the history that [`Step::NeedHistory`] asked for.
    ///
    /// # Errors
    /// As [`Partition::apply`].
    pub fn supply(&mut self, history: &History) -> Result<Step, WorkerError> {
        let mut pending = self.pending.take().unwrap_or_else(Pending::nothing);

        if let Some((stretch, delta)) = pending.late.take() {
            let delta = self.refold(&stretch, delta, history, &pending.changes)?;
            self.collect(Some(&stretch.site), delta, &mut pending.changes);
        }
        self.pending = Some(pending);

        self.advance()
    }

    /// Goes on without the history: the late facts are stored, and change no call.
    ///
    /// # Errors
    /// As [`Partition::apply`].
    pub fn supply_none(&mut self) -> Result<Step, WorkerError> {
        let mut pending = self.pending.take().unwrap_or_else(Pending::nothing);

        if let Some((stretch, delta)) = pending.late.take() {
            self.collect(Some(&stretch.site), delta, &mut pending.changes);
        }
        self.pending = Some(pending);

        self.advance()
    }

    /// Applies the rest of the pending batch, site by site.
    fn advance(&mut self) -> Result<Step, WorkerError> {
        let mut pending = self.pending.take().unwrap_or_else(Pending::nothing);

        while let Some((site, facts)) = pending.rest.pop() {
            let policy = self.policies.of(&site).clone();
            let timeline = self
                .sites
                .entry(site.clone())
                .or_insert_with(|| Timeline::new(site.clone(), policy));
            let delta = catch_panic(|| timeline.apply(facts, self.watermark))?;

            if !delta.late.is_empty() {
                let stretch = self.stretch_around(&site, &delta);
                pending.late = Some((stretch.clone(), delta));
                self.pending = Some(pending);
                return Ok(Step::NeedHistory(stretch));
            }
            self.collect(Some(&site), delta, &mut pending.changes);
        }

        Ok(Step::Decided(pending.changes))
    }

    /// Adds the changes of one site, if it is known, and numbers its notifications.
    pub(super) fn collect(&mut self, site: Option<&Site>, delta: Delta, changes: &mut Changes) {
        let calls: Vec<CallUpdate> = CallUpdate::from_delta(delta.changed, delta.finished)
            .filter(|call| !self.fragments.contains(&call.record.id))
            .collect();
        let latest: HashMap<CallId, &CallUpdate> =
            calls.iter().map(|call| (call.record.id, call)).collect();

        for notice in delta.notices {
            if self.fragments.contains(&notice.call) {
                continue;
            }
            let record = latest.get(&notice.call).map(|call| call.json());
            self.last_notification += 1;
            changes.notifications.push(Notification {
                number: self.last_notification,
                kind: notice.kind,
                call: notice.call,
                data: notification::json(notice.call, site, record).into(),
            });
        }

        changes.calls.extend(calls);
        let withdrawn = delta.withdrawn.into_iter();
        changes
            .withdrawn_calls
            .extend(withdrawn.filter(|call| !self.fragments.contains(call)));
    }

    /// Whether changes have to be committed. A watermark alone is committed now and then.
    #[must_use]
    pub fn must_commit(&self, changes: &Changes) -> bool {
        let is_due = changes.watermark.is_some()
            && self.watermark >= self.committed_watermark + UNSTORED_WATERMARK_MAX;

        is_due || !changes.is_empty()
    }

    /// Adds the watermark by which the changes were decided, and the ticks it comes from.
    pub fn add_watermark(&self, changes: &mut Changes) {
        changes.watermark = Some(self.watermark).filter(|at| *at != At::START);
        changes.ticks = self.ticks.ticks();
    }

    /// The changes of the last step are stored.
    pub fn committed(&mut self) {
        self.committed_watermark = self.watermark;
    }

    #[must_use]
    pub fn watermark(&self) -> At {
        self.watermark
    }

    /// The number of the last notification.
    #[must_use]
    pub fn last_notification(&self) -> u64 {
        self.last_notification
    }

    /// The records of all calls that are not final.
    pub fn open_calls(&self) -> Vec<CallRecord> {
        self.sites
            .values()
            .flat_map(Timeline::open_calls)
            .filter(|call| !self.fragments.contains(&call.id))
            .collect()
    }

    /// Calls in memory, finished ones that links may need included.
    pub fn calls_held(&self) -> usize {
        self.sites.values().map(Timeline::calls_held).sum()
    }
}

impl Pending {
    /// For a step that no batch asked for: it changes nothing.
    fn nothing() -> Pending {
        Pending {
            changes: Changes::default(),
            rest: Vec::new(),
            late: None,
        }
    }
}

/// Calls the core with messages that may make it panic.
pub(super) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, WorkerError> {
    // The state that a panic leaves behind is dropped: the partition is recovered.
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| WorkerError::Poison("folding it panics, a defect of this program".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_poison() {
        assert_eq!(catch_panic(|| 7).ok(), Some(7));
        assert!(matches!(
            catch_panic(|| panic!("at the worst moment")),
            Err(WorkerError::Poison(_))
        ));
    }
}
