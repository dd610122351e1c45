//! Laws that hold for any facts whatever: order, repetition and batching change nothing, nothing
//! panics, and records make sense.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::support::traffic::{facts, order, shuffled};
use cordboard::domain::fact::{CallId, Fact, Kind, Site};
use cordboard::domain::notice::{Notice, NoticeKind};
use cordboard::domain::policy::Policy;
use cordboard::domain::record::{CallRecord, Outcome};
use cordboard::domain::time::{At, Span};
use cordboard::domain::{Timeline, reconstruct};
use proptest::prelude::*;

const FACTS_MAX: usize = 60;

fn policy() -> Arc<Policy> {
    Arc::new(Policy::default())
}

fn from_scratch(facts: &[Fact], watermark: At) -> Vec<CallRecord> {
    reconstruct(Site::default(), policy(), facts, watermark)
}

/// The records that differ, or nothing.
fn difference(found: &[CallRecord], expected: &[CallRecord]) -> Option<String> {
    if found == expected {
        return None;
    }
    let mut told = format!("{} records, {} expected", found.len(), expected.len());
    for record in found.iter().filter(|record| !expected.contains(record)) {
        let _infallible = write!(told, "\nfound     {record:?}");
    }
    for record in expected.iter().filter(|record| !found.contains(record)) {
        let _infallible = write!(told, "\nexpected  {record:?}");
    }
    Some(told)
}

/// What somebody knows who applied every delta of a timeline.
#[derive(Default)]
struct Reader {
    calls: HashMap<CallId, CallRecord>,
    notices: Vec<Notice>,
    finished: HashSet<CallId>,
}

impl Reader {
    fn apply(&mut self, timeline: &mut Timeline, facts: Vec<Fact>, watermark: At) {
        self.read(timeline, facts, watermark, false);
    }

    /// Facts that come in their order: what was finished stays as it was.
    fn apply_in_order(&mut self, timeline: &mut Timeline, facts: Vec<Fact>, watermark: At) {
        self.read(timeline, facts, watermark, true);
    }

    fn read(&mut self, timeline: &mut Timeline, facts: Vec<Fact>, watermark: At, in_order: bool) {
        let delta = timeline.apply(facts, watermark);
        assert!(delta.late.is_empty(), "everything here is recent");
        let again = delta
            .changed
            .iter()
            .chain(&delta.finished)
            .map(|record| record.id)
            .chain(delta.withdrawn.iter().copied());
        assert!(
            !in_order || again.into_iter().all(|call| !self.finished.contains(&call)),
            "a finished call changed"
        );
        self.finished
            .extend(delta.finished.iter().map(|record| record.id));
        for call in delta.withdrawn {
            self.calls.remove(&call);
        }
        for record in delta.changed.into_iter().chain(delta.finished) {
            self.calls.insert(record.id, record);
        }
        self.notices.extend(delta.notices);
    }

    fn records(&self) -> Vec<CallRecord> {
        let mut records: Vec<CallRecord> = self.calls.values().cloned().collect();
        records.sort_by_key(|record| (record.started_at, record.id));
        records
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_change_nothing(facts in facts(FACTS_MAX), order in order(FACTS_MAX * 2)) {
        let mut twice = facts.clone();
        twice.extend(facts.iter().step_by(2).cloned());
        prop_assert_eq!(difference(&from_scratch(&shuffled(&twice, &order), At::END), &from_scratch(&facts, At::END)), None);
    }

    #[test]
    fn batches_in_any_order_give_what_a_fold_from_scratch_gives(facts in facts(FACTS_MAX), order in order(FACTS_MAX), size in 1..9_usize) {
        let mut timeline = Timeline::new(Site::default(), policy());
        let mut reader = Reader::default();
        for batch in shuffled(&facts, &order).chunks(size) {
            reader.apply(&mut timeline, batch.to_vec(), At::START);
        }
        reader.apply(&mut timeline, Vec::new(), At::END);
        prop_assert_eq!(difference(&reader.records(), &from_scratch(&facts, At::END)), None);
    }

    #[test]
    fn a_moving_watermark_changes_nothing_in_the_end(facts in facts(FACTS_MAX), lag in 0..8_000_i64, size in 1..9_usize) {
        let mut timeline = Timeline::new(Site::default(), policy());
        let mut reader = Reader::default();
        for batch in facts.chunks(size) {
            let promised = batch.first().map_or(At::START, |fact| fact.at - Span::millis(lag) - Span(1));
            reader.apply_in_order(&mut timeline, batch.to_vec(), promised);
        }
        reader.apply(&mut timeline, Vec::new(), At::END);
        prop_assert_eq!(difference(&reader.records(), &from_scratch(&facts, At::END)), None);
    }

    #[test]
    fn at_every_watermark_the_timeline_shows_what_a_fold_from_scratch_shows(facts in facts(FACTS_MAX), cut in 0..FACTS_MAX, later in 0..400_000_i64) {
        let cut = cut.min(facts.len());
        let watermark = facts[..cut].last().map_or(At(0), |fact| fact.at + Span::millis(later));
        let seen: Vec<Fact> = facts.iter().filter(|fact| fact.at <= watermark).cloned().collect();
        let mut timeline = Timeline::new(Site::default(), policy());
        let mut reader = Reader::default();
        for fact in &seen {
            reader.apply_in_order(&mut timeline, vec![fact.clone()], fact.at - Span(1));
        }
        reader.apply(&mut timeline, Vec::new(), watermark);
        prop_assert_eq!(difference(&reader.records(), &from_scratch(&facts, watermark)), None);
    }

    #[test]
    fn a_late_fact_corrects_what_was_already_told(facts in facts(FACTS_MAX), held in 0..FACTS_MAX, lag in 0..30_000_i64) {
        prop_assume!(!facts.is_empty());
        let held = held % facts.len();
        let mut timeline = Timeline::new(Site::default(), policy());
        let mut reader = Reader::default();
        for (index, fact) in facts.iter().enumerate() {
            if index != held {
                reader.apply(&mut timeline, vec![fact.clone()], fact.at - Span::millis(lag));
            }
        }
        reader.apply(&mut timeline, vec![facts[held].clone()], At::START);
        reader.apply(&mut timeline, Vec::new(), At::END);
        prop_assert_eq!(difference(&reader.records(), &from_scratch(&facts, At::END)), None);
    }

    #[test]
    fn known_facts_are_silent(facts in facts(FACTS_MAX), size in 1..9_usize) {
        let mut timeline = Timeline::new(Site::default(), policy());
        for batch in facts.chunks(size) {
            timeline.apply(batch.to_vec(), At::START);
        }
        let again = timeline.apply(facts.clone(), At::START);
        prop_assert_eq!(again.duplicates, facts.len());
        prop_assert!(again.notices.is_empty() && again.changed.is_empty() && again.finished.is_empty() && again.withdrawn.is_empty());
    }

    #[test]
    fn a_timeline_lacks_what_is_new_to_it(facts in facts(FACTS_MAX), order in order(FACTS_MAX * 2), since in 0..FACTS_MAX) {
        prop_assume!(!facts.is_empty());
        let mut timeline = Timeline::new(Site::default(), policy());
        timeline.knows_all_since(facts[since % facts.len()].at);
        for fact in shuffled(&[facts.clone(), facts.clone()].concat(), &order) {
            let lacks = timeline.lacks(fact.key());
            let delta = timeline.apply(vec![fact], At::START);
            prop_assert_eq!(lacks, delta.duplicates == 0 && delta.late.is_empty());
        }
    }

    #[test]
    fn records_make_sense(facts in facts(FACTS_MAX)) {
        let records = from_scratch(&facts, At::END);
        for record in &records {
            let total = record.total.unwrap_or(Span::ZERO);
            prop_assert!(record.ended_at.is_some() && record.outcome.is_some(), "{record:?}");
            prop_assert!(record.ring.unwrap_or(Span::ZERO) >= Span::ZERO && record.talk >= Span::ZERO, "{record:?}");
            prop_assert!(record.ring.unwrap_or(Span::ZERO).0 + record.talk.0 <= total.0, "{record:?}");
            prop_assert_eq!(record.answered_at.is_some(), record.outcome == Some(Outcome::Answered));
            prop_assert!(record.missed_extensions.is_empty() || record.outcome == Some(Outcome::Missed), "{record:?}");
            prop_assert!(record.answered_by.is_none() || record.answered_at.is_some(), "{record:?}");
            prop_assert!(record.links.iter().all(|link| link.call != record.id));
        }
        let mut ids: Vec<CallId> = records.iter().map(|record| record.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), records.len(), "every call has its own id");
        let spoken = facts.iter().any(|fact| !matches!(fact.kind, Kind::Device(_)));
        prop_assert_eq!(records.is_empty(), !spoken, "no fact about a call is lost");
    }

    #[test]
    fn notices_tell_a_story_without_contradictions(facts in facts(FACTS_MAX), size in 1..5_usize) {
        let mut timeline = Timeline::new(Site::default(), policy());
        let mut reader = Reader::default();
        for batch in facts.chunks(size) {
            let promised = batch.first().map_or(At::START, |fact| fact.at - Span(1));
            reader.apply_in_order(&mut timeline, batch.to_vec(), promised);
        }
        reader.apply(&mut timeline, Vec::new(), At::END);
        let mut live: HashMap<CallId, (bool, bool)> = HashMap::new();
        for notice in &reader.notices {
            let known = live.get(&notice.call).copied();
            match notice.kind {
                NoticeKind::Started => prop_assert!(live.insert(notice.call, (false, false)).is_none()),
                NoticeKind::Withdrawn => prop_assert!(live.remove(&notice.call).is_some()),
                NoticeKind::Missed => { prop_assert_eq!(known.map(|k| k.1), Some(false)); live.insert(notice.call, (true, true)); }
                NoticeKind::MissedRetracted => { prop_assert_eq!(known.map(|k| k.1), Some(true)); live.insert(notice.call, (true, false)); }
                NoticeKind::Ended => { prop_assert_eq!(known.map(|k| k.0), Some(false)); live.insert(notice.call, (true, known.is_some_and(|k| k.1))); }
                NoticeKind::Reopened => { prop_assert_eq!(known.map(|k| k.0), Some(true)); live.insert(notice.call, (false, known.is_some_and(|k| k.1))); }
                NoticeKind::Answered | NoticeKind::Held | NoticeKind::Resumed | NoticeKind::Transferred => prop_assert!(known.is_some()),
            }
        }
        for record in reader.records() {
            prop_assert_eq!(live.get(&record.id).copied(), Some((true, record.outcome == Some(Outcome::Missed))));
        }
    }

    #[test]
    fn deadlines_progress(facts in facts(FACTS_MAX)) {
        let mut timeline = Timeline::new(Site::default(), policy());
        let last = facts.last().map_or(At(0), |fact| fact.at);
        timeline.apply(facts, At::START);
        let mut now = last;
        for _ in 0..2_000 {
            let Some(due) = timeline.next_deadline() else { return Ok(()) };
            now = now.max(due);
            timeline.apply(Vec::new(), now);
            prop_assert!(timeline.next_deadline().is_none_or(|next| next > now), "a deadline that has passed is not due again");
        }
        prop_assert!(false, "the deadlines never end");
    }
}
