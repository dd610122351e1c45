//! The timeline: the incremental form of the reconstruction. It takes batches of facts in any order
//! of arrival and a watermark, and returns the changes.
//!
//! The fold needs facts in the order of their keys. A fact that arrives after later ones were
//! folded takes the fold back to a snapshot before it, and all facts since then are folded again.
//! The state therefore always equals a fold from scratch.
//!
//! Limits: facts and snapshots are retained for at least 60 seconds behind the watermark
//! (`LATENESS`), but for no more than about 65,536 facts (`TAIL_MAX`). Older facts are returned in
//! [`Delta::late`], and the owner of the history folds from there again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::device::Extension;
use super::fact::{CallId, Fact, FactKey, Site};
use super::fold::Fold;
use super::notice::{Notice, NoticeKind, NoticeState};
use super::policy::Policy;
use super::record::CallRecord;
use super::time::{At, Span};

/// A snapshot is taken after at least this many facts, and after at least twice as many facts as
/// there are calls to share.
const FACTS_PER_SNAPSHOT_MIN: usize = 512;
const FACTS_PER_SNAPSHOT_PER_CALL: usize = 2;
/// The time behind the watermark within which a late fact is folded without the history.
const LATENESS: Span = Span::seconds(60);
/// Maximum number of facts retained for folding again, independent of the watermark.
const TAIL_MAX: usize = 65_536;

/// The changes that one batch caused.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Changed calls that may change again: their current records.
    pub changed: Vec<CallRecord>,
    /// Calls that became final: their last records.
    pub finished: Vec<CallRecord>,
    /// Announced calls that turned out to be part of another call.
    pub withdrawn: Vec<CallId>,
    pub notices: Vec<Notice>,
    /// Facts from before the retained range: fold them together with the history in a new timeline.
    pub late: Vec<Fact>,
    /// Number of facts that were folded before.
    pub duplicates: usize,
}

/// A copy of the fold to which a late fact can return.
struct Snapshot {
    /// The last fact folded into the snapshot.
    after: Option<FactKey>,
    watermark: At,
    fold: Fold,
}

/// The last announced state of a call, and the watermark at which it became final.
struct Announced {
    state: NoticeState,
    final_at: Option<At>,
}

/// The calls of one site, updated batch by batch.
pub struct Timeline {
    head: Fold,
    watermark: At,
    /// Earlier facts are late, though facts from before it are retained.
    complete_since: At,
    /// The facts since the oldest snapshot, in order.
    tail: VecDeque<Fact>,
    /// The oldest first; never empty.
    snapshots: VecDeque<Snapshot>,
    facts_since_snapshot: usize,
    announced: HashMap<CallId, Announced, FixedState>,
}

impl Timeline {
    #[must_use]
    pub fn new(site: Site, policy: Arc<Policy>) -> Timeline {
        let fold = Fold::new(site, policy);
        let snapshots = VecDeque::from([Snapshot {
            after: None,
            watermark: At::START,
            fold: fold.clone(),
        }]);

        Timeline {
            head: fold,
            watermark: At::START,
            complete_since: At::START,
            tail: VecDeque::new(),
            snapshots,
            facts_since_snapshot: 0,
            announced: HashMap::default(),
        }
    }

    /// A timeline that starts with extensions reported before its first fact.
    #[must_use]
    pub fn with_extensions(
        site: Site,
        policy: Arc<Policy>,
        reported: &[(Extension, At)],
    ) -> Timeline {
        let mut timeline = Timeline::new(site, policy);
        timeline.head.add_extensions(reported);
        timeline.snapshots = VecDeque::from([Snapshot {
            after: None,
            watermark: At::START,
            fold: timeline.head.clone(),
        }]);
        timeline
    }

    /// Declares that the timeline has all facts only from `at` on: earlier facts are returned as
    /// late.
    pub fn set_complete_since(&mut self, at: At) {
        self.complete_since = self.complete_since.max(at);
    }

    /// Whether the fact precedes the retained range.
    fn is_late(&self, key: FactKey) -> bool {
        let is_before = |oldest: &Snapshot| {
            oldest.after.is_some_and(|after| key <= after) || key.at <= oldest.watermark
        };

        key.at <= self.complete_since || self.snapshots.front().is_some_and(is_before)
    }

    /// Whether a fact is within the retained range and not folded yet.
    #[must_use]
    pub fn is_missing(&self, key: FactKey) -> bool {
        let is_newest = self.tail.back().is_none_or(|last| last.key() < key);
        !self.is_late(key)
            && (is_newest || self.tail.binary_search_by_key(&key, Fact::key).is_err())
    }

    /// Folds a batch of facts and moves the watermark: every fact up to and including it has
    /// arrived.
    pub fn apply(&mut self, mut facts: Vec<Fact>, watermark: At) -> Delta {
        facts.sort_by_key(Fact::key);
        let mut delta = Delta::default();
        let mut refold_from: Option<FactKey> = None;

        for fact in facts {
            let key = fact.key();
            if self.is_late(key) {
                delta.late.push(fact);
            } else if self.tail.back().is_none_or(|last| last.key() < key) {
                if key.at <= self.watermark {
                    refold_from.get_or_insert(key);
                }
                if refold_from.is_none() {
                    self.head.step(&fact);
                }
                self.append_to_tail(fact);
                self.facts_since_snapshot += 1;
            } else {
                match self.tail.binary_search_by_key(&key, Fact::key) {
                    Ok(_) => delta.duplicates += 1,
                    Err(position) => {
                        self.tail.insert(position, fact);
                        refold_from = Some(refold_from.map_or(key, |earlier| earlier.min(key)));
                    }
                }
            }
        }

        self.watermark = self.watermark.max(watermark);
        match refold_from {
            None => self.collect_changes(&mut delta),
            Some(key) => self.refold(key, &mut delta),
        }

        self.take_due_snapshot();
        delta
    }

    /// The tail is most of a site's memory: it grows by a quarter instead of doubling.
    fn append_to_tail(&mut self, fact: Fact) {
        if self.tail.len() == self.tail.capacity() {
            let quarter = self.tail.len() / 4;
            self.tail.reserve_exact(quarter.max(FACTS_PER_SNAPSHOT_MIN));
        }
        self.tail.push_back(fact);
    }

    /// Moves the watermark of the head and collects the changes of the batch.
    fn collect_changes(&mut self, delta: &mut Delta) {
        self.head.advance(self.watermark);
        let withdrawn = self.head.take_withdrawn();
        delta.changed = self.head.take_changed(self.watermark);
        delta.finished = self.head.take_finished();

        for call in withdrawn {
            let reused = delta
                .changed
                .iter()
                .chain(&delta.finished)
                .any(|record| record.id == call);
            if !reused {
                self.withdraw(call, delta);
            }
        }
        self.announce(delta);
    }

    /// Withdraws a call, if it was announced.
    fn withdraw(&mut self, call: CallId, delta: &mut Delta) {
        if self.announced.remove(&call).is_some() {
            delta.withdrawn.push(call);
            delta.notices.push(Notice {
                call,
                kind: NoticeKind::Withdrawn,
            });
        }
    }

    /// Adds the notices of all records in the delta and stores their announced states.
    fn announce(&mut self, delta: &mut Delta) {
        let open = delta.changed.iter().map(|record| (record, None));
        let finished = delta
            .finished
            .iter()
            .map(|record| (record, Some(self.watermark)));

        for (record, final_at) in open.chain(finished) {
            let state = NoticeState::of(record);
            let before = self.announced.get(&record.id);
            state.add_notices_since(
                before.map(|announced| &announced.state),
                record.id,
                &mut delta.notices,
            );
            self.announced
                .insert(record.id, Announced { state, final_at });
        }
    }

    /// Returns to the last snapshot before `key` and folds all later facts again.
    fn refold(&mut self, key: FactKey, delta: &mut Delta) {
        let before = |snapshot: &Snapshot| {
            snapshot.after.is_none_or(|after| after < key) && snapshot.watermark < key.at
        };
        while self.snapshots.len() > 1 && !self.snapshots.back().is_some_and(before) {
            self.snapshots.pop_back();
        }
        let Some(start) = self.snapshots.back() else {
            return;
        };

        self.head = start.fold.clone();
        let from = start.after.map_or(0, |after| {
            self.tail.partition_point(|fact| fact.key() <= after)
        });
        for fact in self.tail.iter().skip(from) {
            self.head.step(fact);
        }
        self.facts_since_snapshot = self.tail.len() - from;

        let decided_before = start.watermark;
        self.head.advance(self.watermark);
        self.head.discard_changes();
        delta.changed = self.head.open_records(self.watermark);
        delta.finished = self.head.take_finished();
        self.withdraw_missing(decided_before, delta);
        self.announce(delta);
    }

    /// Withdraws the calls that were announced since the snapshot and do not exist after the second
    /// fold.
    fn withdraw_missing(&mut self, decided_before: At, delta: &mut Delta) {
        let present: HashSet<CallId, FixedState> = delta
            .changed
            .iter()
            .chain(&delta.finished)
            .map(|record| record.id)
            .collect();
        let stays = |call: &CallId, announced: &Announced| {
            present.contains(call) || announced.final_at.is_some_and(|at| at <= decided_before)
        };
        let mut missing: Vec<CallId> = self
            .announced
            .iter()
            .filter(|(call, announced)| !stays(call, announced))
            .map(|(call, _)| *call)
            .collect();
        missing.sort_unstable();

        for call in missing {
            self.withdraw(call, delta);
        }
    }

    /// Takes a snapshot when enough facts have been folded since the last one.
    fn take_due_snapshot(&mut self) {
        let due = FACTS_PER_SNAPSHOT_MIN.max(FACTS_PER_SNAPSHOT_PER_CALL * self.head.calls_held());
        if self.facts_since_snapshot < due {
            return;
        }

        self.facts_since_snapshot = 0;
        let after = self.tail.back().map(Fact::key);
        self.snapshots.push_back(Snapshot {
            after,
            watermark: self.watermark,
            fold: self.head.clone(),
        });
        self.trim_snapshots();
    }

    /// Drops the snapshots and facts that precede the retained range.
    fn trim_snapshots(&mut self) {
        let past = self.watermark - LATENESS;
        let old_enough = |snapshot: &Snapshot| snapshot.after.is_some_and(|after| after.at <= past);
        while self.snapshots.len() > 1
            && (self.snapshots.get(1).is_some_and(old_enough) || self.tail.len() > TAIL_MAX)
        {
            self.snapshots.pop_front();

            let from = self.snapshots.front().and_then(|oldest| oldest.after);
            let folded = from.map_or(0, |after| {
                self.tail.partition_point(|fact| fact.key() <= after)
            });
            self.tail.drain(..folded);
            self.tail
                .shrink_to(self.tail.len() + FACTS_PER_SNAPSHOT_MIN);
        }

        let oldest = self
            .snapshots
            .front()
            .map_or(At::START, |oldest| oldest.watermark);
        self.announced
            .retain(|_, announced| announced.final_at.is_none_or(|at| at > oldest));
    }

    /// The extensions that devices have reported, each with the instant of its first report.
    #[must_use]
    pub fn reported_extensions(&self) -> Vec<(Extension, At)> {
        self.head.reported_extensions()
    }

    /// The next instant at which the passing of time alone changes a call.
    #[must_use]
    pub fn next_deadline(&self) -> Option<At> {
        self.head.next_deadline()
    }

    /// The records of all calls that may still change.
    #[must_use]
    pub fn open_calls(&self) -> Vec<CallRecord> {
        self.head.open_records(self.watermark)
    }

    /// Number of calls held in memory, including finished calls that links may still need.
    #[must_use]
    pub fn calls_held(&self) -> usize {
        self.head.calls_held()
    }
}

/// Folds an ordered sequence of facts and returns each record when it is final. Memory does not
/// grow with the number of facts.
pub struct Replay {
    fold: Fold,
}

impl Replay {
    #[must_use]
    pub fn new(site: Site, policy: Arc<Policy>) -> Replay {
        Replay {
            fold: Fold::new(site, policy),
        }
    }

    /// Like [`Replay::new`], and every record also lists the effect of each fact.
    #[must_use]
    pub fn with_explanations(site: Site, policy: Arc<Policy>) -> Replay {
        let mut replay = Replay::new(site, policy);
        replay.fold.enable_trace();
        replay
    }

    /// Declares extensions that were reported before the first fact.
    pub fn know_extensions(&mut self, reported: &[(Extension, At)]) {
        self.fold.add_extensions(reported);
    }

    /// Folds the next fact. Facts must come in the order of their keys, each once.
    pub fn step(&mut self, fact: &Fact) {
        self.fold.step(fact);
    }

    /// Declares that every fact up to and including this instant is folded; returns the records
    /// that became final.
    pub fn advance(&mut self, watermark: At) -> Vec<CallRecord> {
        self.fold.advance(watermark);
        self.fold.discard_changes();
        self.fold.take_finished()
    }

    /// The current records of the calls that are not final, at the instant `now`.
    #[must_use]
    pub fn open_calls(&self, now: At) -> Vec<CallRecord> {
        self.fold.open_records(now)
    }
}

/// Reconstructs the records of a set of facts of one site from scratch. With [`At::END`] every call
/// is final.
#[must_use]
pub fn reconstruct(
    site: Site,
    policy: Arc<Policy>,
    facts: &[Fact],
    watermark: At,
) -> Vec<CallRecord> {
    let mut ordered: Vec<&Fact> = facts.iter().filter(|fact| fact.at <= watermark).collect();
    ordered.sort_by_key(|fact| fact.key());
    ordered.dedup_by_key(|fact| fact.key());

    let mut replay = Replay::new(site, policy);
    for fact in ordered {
        replay.step(fact);
    }

    let mut records = replay.advance(watermark);
    records.extend(replay.open_calls(watermark));
    records.sort_by_key(|record| (record.started_at, record.id));
    records
}
