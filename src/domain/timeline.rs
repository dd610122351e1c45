//! The incremental form of the reconstruction: batches of facts in any order of arrival, a
//! watermark, and what changed.
//!
//! The fold wants facts in their order. A fact that arrives after later ones were folded takes the
//! fold back to a snapshot before it, and everything since is folded again; so the state is always
//! what a fold from scratch would give. Facts and snapshots are kept only for a recent stretch of
//! time; what comes from before it is handed back, for the owner of the history to fold again from
//! there.

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

/// A snapshot is taken after at least this many facts, and after twice as many as there are calls
/// to share.
const FACTS_PER_SNAPSHOT_MIN: usize = 512;
const FACTS_PER_SNAPSHOT_PER_CALL: usize = 2;
/// How far behind the watermark a late fact is still folded in without help.
const LATENESS: Span = Span::seconds(60);
/// Facts kept for folding again, whatever the watermark says.
const TAIL_MAX: usize = 65_536;

/// What a batch changed.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// The calls that changed and may change again, as they stand now.
    pub changed: Vec<CallRecord>,
    /// The calls that nothing can change any more.
    pub finished: Vec<CallRecord>,
    /// Calls that were announced and turned out to be part of another one.
    pub withdrawn: Vec<CallId>,
    pub notices: Vec<Notice>,
    /// Facts from before the kept stretch: fold them with the history, in a new timeline.
    pub late: Vec<Fact>,
    /// Facts that were known already.
    pub duplicates: usize,
}

struct Snapshot {
    /// The last fact folded into it.
    after: Option<FactKey>,
    watermark: At,
    fold: Fold,
}

/// What was said about a call, and when it became final.
struct Announced {
    state: NoticeState,
    final_at: Option<At>,
}

/// The calls of one site, fact by fact.
pub struct Timeline {
    head: Fold,
    watermark: At,
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
            tail: VecDeque::new(),
            snapshots,
            facts_since_snapshot: 0,
            announced: HashMap::default(),
        }
    }

    /// A timeline that knows some extensions from before its first fact.
    #[must_use]
    pub fn with_extensions(site: Site, policy: Arc<Policy>, known: &[(Extension, At)]) -> Timeline {
        let mut timeline = Timeline::new(site, policy);
        timeline.head.know(known);
        timeline.snapshots = VecDeque::from([Snapshot {
            after: None,
            watermark: At::START,
            fold: timeline.head.clone(),
        }]);
        timeline
    }

    /// What was received up to an instant is known here only in part: facts from before it are
    /// handed back as late.
    pub fn knows_all_since(&mut self, at: At) {
        if let Some(oldest) = self.snapshots.front_mut() {
            oldest.watermark = oldest.watermark.max(at);
        }
    }

    /// From before the kept stretch.
    fn is_late(&self, key: FactKey) -> bool {
        self.snapshots.front().is_some_and(|oldest| {
            oldest.after.is_some_and(|after| key <= after) || key.at <= oldest.watermark
        })
    }

    /// Whether a fact is of the kept stretch, and was not folded.
    #[must_use]
    pub fn lacks(&self, key: FactKey) -> bool {
        let is_last = self.tail.back().is_none_or(|last| last.key() < key);
        !self.is_late(key) && (is_last || self.tail.binary_search_by_key(&key, Fact::key).is_err())
    }

    /// Folds a batch of facts and moves the watermark: every fact up to and including it has
    /// arrived.
    pub fn apply(&mut self, mut facts: Vec<Fact>, watermark: At) -> Delta {
        facts.sort_by_key(Fact::key);
        let mut delta = Delta::default();
        let mut back_to: Option<FactKey> = None;
        for fact in facts {
            let key = fact.key();
            if self.is_late(key) {
                delta.late.push(fact);
            } else if self.tail.back().is_none_or(|last| last.key() < key) {
                if key.at <= self.watermark {
                    back_to.get_or_insert(key);
                }
                if back_to.is_none() {
                    self.head.step(&fact);
                }
                self.keep(fact);
                self.facts_since_snapshot += 1;
            } else {
                match self.tail.binary_search_by_key(&key, Fact::key) {
                    Ok(_) => delta.duplicates += 1,
                    Err(place) => {
                        self.tail.insert(place, fact);
                        back_to = Some(back_to.map_or(key, |earlier| earlier.min(key)));
                    }
                }
            }
        }
        self.watermark = self.watermark.max(watermark);
        match back_to {
            None => self.take_changes(&mut delta),
            Some(key) => self.refold(key, &mut delta),
        }
        self.keep_snapshot();
        delta
    }

    /// A tail is most of what a site takes: it grows by what comes until the next snapshot, not by
    /// as much again.
    fn keep(&mut self, fact: Fact) {
        if self.tail.len() == self.tail.capacity() {
            self.tail.reserve_exact(FACTS_PER_SNAPSHOT_MIN);
        }
        self.tail.push_back(fact);
    }

    fn take_changes(&mut self, delta: &mut Delta) {
        self.head.advance(self.watermark);
        let withdrawn = self.head.take_withdrawn();
        delta.changed = self.head.take_changed(self.watermark);
        delta.finished = self.head.take_finished();
        for call in withdrawn {
            let again = delta
                .changed
                .iter()
                .chain(&delta.finished)
                .any(|record| record.id == call);
            if !again && self.announced.remove(&call).is_some() {
                delta.withdrawn.push(call);
                delta.notices.push(Notice {
                    call,
                    kind: NoticeKind::Withdrawn,
                });
            }
        }
        self.announce(delta);
    }

    fn announce(&mut self, delta: &mut Delta) {
        for (record, final_at) in delta.changed.iter().map(|record| (record, None)).chain(
            delta
                .finished
                .iter()
                .map(|record| (record, Some(self.watermark))),
        ) {
            let state = NoticeState::of(record);
            let before = self.announced.get(&record.id);
            state.since(
                before.map(|announced| &announced.state),
                record.id,
                &mut delta.notices,
            );
            self.announced
                .insert(record.id, Announced { state, final_at });
        }
    }

    /// Goes back to the last snapshot before `key` and folds everything since again.
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
        let settled_before = start.watermark;
        self.head.advance(self.watermark);
        self.head.forget_changes();
        delta.changed = self.head.open_records(self.watermark);
        delta.finished = self.head.take_finished();
        self.withdraw_missing(settled_before, delta);
        self.announce(delta);
    }

    /// Calls that were announced since the snapshot and that no longer exist after folding again.
    fn withdraw_missing(&mut self, settled_before: At, delta: &mut Delta) {
        let present: HashSet<CallId, FixedState> = delta
            .changed
            .iter()
            .chain(&delta.finished)
            .map(|record| record.id)
            .collect();
        let stays = |call: &CallId, announced: &Announced| {
            present.contains(call) || announced.final_at.is_some_and(|at| at <= settled_before)
        };
        let mut missing: Vec<CallId> = self
            .announced
            .iter()
            .filter(|(call, announced)| !stays(call, announced))
            .map(|(call, _)| *call)
            .collect();
        missing.sort_unstable();
        for call in missing {
            self.announced.remove(&call);
            delta.withdrawn.push(call);
            delta.notices.push(Notice {
                call,
                kind: NoticeKind::Withdrawn,
            });
        }
    }

    fn keep_snapshot(&mut self) {
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
        let settled = self.watermark - LATENESS;
        let old_enough =
            |snapshot: &Snapshot| snapshot.after.is_some_and(|after| after.at <= settled);
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

    /// The extensions that devices have reported, and when first.
    #[must_use]
    pub fn known_extensions(&self) -> Vec<(Extension, At)> {
        self.head.known_extensions()
    }

    /// The next instant at which the passing of time alone changes something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<At> {
        self.head.next_deadline()
    }

    /// The records of all calls that may still change.
    #[must_use]
    pub fn open_calls(&self) -> Vec<CallRecord> {
        self.head.open_records(self.watermark)
    }

    /// How many calls are held in memory, finished ones that links may still need included.
    #[must_use]
    pub fn calls_held(&self) -> usize {
        self.head.calls_held()
    }
}

/// Folds facts that come in their order, handing out each record when nothing can change it any
/// more. Memory does not grow with the number of facts.
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

    /// Also keeps, for every record, what each fact did.
    #[must_use]
    pub fn with_explanations(site: Site, policy: Arc<Policy>) -> Replay {
        let mut replay = Replay::new(site, policy);
        replay.fold.keep_steps();
        replay
    }

    /// Folds the next fact. Facts come in the order of their keys, each once.
    pub fn step(&mut self, fact: &Fact) {
        self.fold.step(fact);
    }

    /// Every fact up to and including this instant has been folded; hands out the records that
    /// became final.
    pub fn advance(&mut self, watermark: At) -> Vec<CallRecord> {
        self.fold.advance(watermark);
        self.fold.forget_changes();
        self.fold.take_finished()
    }

    /// The records that are not final, as they stand at this instant.
    #[must_use]
    pub fn open_calls(&self, now: At) -> Vec<CallRecord> {
        self.fold.open_records(now)
    }
}

/// The records of a set of facts of one site, from scratch. With [`At::END`] every call is final.
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
