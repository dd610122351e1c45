//! Laws that hold for any facts whatever: order, repetition and batching change nothing, nothing
//! panics, and records make sense.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use cordboard::domain::fact::{CallId, Fact, Kind, Site};
use cordboard::domain::notice::{Notice, NoticeKind};
use cordboard::domain::policy::Policy;
use cordboard::domain::record::{CallRecord, Outcome};
use cordboard::domain::time::{At, Span};
use cordboard::domain::{Timeline, reconstruct};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError};

use crate::support::traffic::{facts, order, shuffled};

const FACTS_MAX: usize = 60;
const DEADLINES_MAX: usize = 2_000;

fn policy() -> Arc<Policy> {
    Arc::new(Policy::default())
}

fn new_timeline() -> Timeline {
    Timeline::new(Site::default(), policy())
}

fn from_scratch(facts: &[Fact], watermark: At) -> Vec<CallRecord> {
    reconstruct(Site::default(), policy(), facts, watermark)
}

/// The records that differ, or nothing.
fn difference(found: &[CallRecord], expected: &[CallRecord]) -> Option<String> {
    if found == expected {
        return None;
    }

    let mut report = format!("{} records, {} expected", found.len(), expected.len());
    for record in found.iter().filter(|record| !expected.contains(record)) {
        write!(report, "\nfound     {record:?}").unwrap();
    }
    for record in expected.iter().filter(|record| !found.contains(record)) {
        write!(report, "\nexpected  {record:?}").unwrap();
    }

    Some(report)
}

/// A consumer that has applied every delta of a timeline.
struct Reader {
    timeline: Timeline,
    calls: HashMap<CallId, CallRecord>,
    notices: Vec<Notice>,
    finished: HashSet<CallId>,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            timeline: new_timeline(),
            calls: HashMap::new(),
            notices: Vec::new(),
            finished: HashSet::new(),
        }
    }

    fn apply(&mut self, facts: &[Fact], watermark: At) {
        self.read(facts, watermark, false);
    }

    /// Facts in their order: finished calls do not change.
    fn apply_in_order(&mut self, facts: &[Fact], watermark: At) {
        self.read(facts, watermark, true);
    }

    fn read(&mut self, facts: &[Fact], watermark: At, in_order: bool) {
        let delta = self.timeline.apply(facts.to_vec(), watermark);
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

    /// The difference to a fold from scratch, when everything is over.
    fn difference_in_the_end(mut self, facts: &[Fact]) -> Option<String> {
        self.apply(&[], At::END);

        difference(&self.records(), &from_scratch(facts, At::END))
    }
}

/// The watermark just before a batch in its order, and so many microseconds behind it.
fn just_before(batch: &[Fact], lag: Span) -> At {
    batch
        .first()
        .map_or(At::START, |fact| fact.at - lag - Span(1))
}

fn check_sense(record: &CallRecord) -> Result<(), TestCaseError> {
    let is_answered = record.outcome == Some(Outcome::Answered);
    let is_missed = record.outcome == Some(Outcome::Missed);
    let ring = record.ring.unwrap_or(Span::ZERO);
    let total = record.total.unwrap_or(Span::ZERO);

    prop_assert!(record.ended_at.is_some(), "{record:?}");
    prop_assert!(record.outcome.is_some(), "{record:?}");
    prop_assert!(
        ring >= Span::ZERO && record.talk >= Span::ZERO,
        "{record:?}"
    );
    prop_assert!(ring.0 + record.talk.0 <= total.0, "{record:?}");
    prop_assert_eq!(record.answered_at.is_some(), is_answered);
    prop_assert!(
        record.missed_extensions.is_empty() || is_missed,
        "{record:?}"
    );
    prop_assert!(
        record.answered_by.is_none() || record.answered_at.is_some(),
        "{record:?}"
    );
    prop_assert!(record.links.iter().all(|link| link.call != record.id));

    Ok(())
}

/// A call as its notices describe it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Described {
    is_over: bool,
    is_missed: bool,
}

/// Applies a notice to the calls that the notices before it describe.
fn check_notice(
    described: &mut HashMap<CallId, Described>,
    notice: &Notice,
) -> Result<(), TestCaseError> {
    let known = described.get(&notice.call).copied();
    let is_over = known.map(|call| call.is_over);
    let is_missed = known.map(|call| call.is_missed);
    let after = known.unwrap_or_default();

    let after = match notice.kind {
        NoticeKind::Started => {
            prop_assert!(known.is_none(), "{notice:?}");
            Described::default()
        }
        NoticeKind::Withdrawn => {
            prop_assert!(described.remove(&notice.call).is_some(), "{notice:?}");
            return Ok(());
        }
        NoticeKind::Missed => {
            prop_assert_eq!(is_missed, Some(false));
            Described {
                is_over: true,
                is_missed: true,
            }
        }
        NoticeKind::MissedRetracted => {
            prop_assert_eq!(is_missed, Some(true));
            Described {
                is_over: true,
                is_missed: false,
            }
        }
        NoticeKind::Ended => {
            prop_assert_eq!(is_over, Some(false));
            Described {
                is_over: true,
                ..after
            }
        }
        NoticeKind::Reopened => {
            prop_assert_eq!(is_over, Some(true));
            Described {
                is_over: false,
                ..after
            }
        }
        NoticeKind::Ringing
        | NoticeKind::RingEnded
        | NoticeKind::Answered
        | NoticeKind::Held
        | NoticeKind::Resumed
        | NoticeKind::TransferInitiated
        | NoticeKind::TransferAnswered
        | NoticeKind::TransferFailed
        | NoticeKind::Transferred => {
            prop_assert!(known.is_some(), "{notice:?}");
            after
        }
    };
    described.insert(notice.call, after);

    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn order_and_repetition_change_nothing(
        facts in facts(FACTS_MAX),
        order in order(FACTS_MAX * 2),
    ) {
        let mut twice = facts.clone();
        twice.extend(facts.iter().step_by(2).cloned());

        let found = from_scratch(&shuffled(&twice, &order), At::END);
        prop_assert_eq!(difference(&found, &from_scratch(&facts, At::END)), None);
    }

    #[test]
    fn batches_in_any_order_give_the_records_of_a_fold_from_scratch(
        facts in facts(FACTS_MAX),
        order in order(FACTS_MAX),
        size in 1..9_usize,
    ) {
        let mut reader = Reader::new();
        for batch in shuffled(&facts, &order).chunks(size) {
            reader.apply(batch, At::START);
        }

        prop_assert_eq!(reader.difference_in_the_end(&facts), None);
    }

    #[test]
    fn a_moving_watermark_changes_nothing_in_the_end(
        facts in facts(FACTS_MAX),
        lag in 0..8_000_i64,
        size in 1..9_usize,
    ) {
        let mut reader = Reader::new();
        for batch in facts.chunks(size) {
            reader.apply_in_order(batch, just_before(batch, Span::millis(lag)));
        }

        prop_assert_eq!(reader.difference_in_the_end(&facts), None);
    }

    #[test]
    fn at_every_watermark_the_timeline_shows_the_records_of_a_fold_from_scratch(
        facts in facts(FACTS_MAX),
        cut in 0..FACTS_MAX,
        later in 0..400_000_i64,
    ) {
        let cut = cut.min(facts.len());
        let last = facts[..cut].last();
        let watermark = last.map_or(At(0), |fact| fact.at + Span::millis(later));
        let seen: Vec<Fact> = facts
            .iter()
            .filter(|fact| fact.at <= watermark)
            .cloned()
            .collect();

        let mut reader = Reader::new();
        for fact in seen.chunks(1) {
            reader.apply_in_order(fact, just_before(fact, Span::ZERO));
        }
        reader.apply(&[], watermark);

        let expected = from_scratch(&facts, watermark);
        prop_assert_eq!(difference(&reader.records(), &expected), None);
    }

    #[test]
    fn a_late_fact_corrects_earlier_records(
        facts in facts(FACTS_MAX),
        held in 0..FACTS_MAX,
        lag in 0..30_000_i64,
    ) {
        prop_assume!(!facts.is_empty());
        let mut others = facts.clone();
        let held = others.remove(held % facts.len());

        let mut reader = Reader::new();
        for fact in others.chunks(1) {
            reader.apply(fact, fact[0].at - Span::millis(lag));
        }
        reader.apply(&[held], At::START);

        prop_assert_eq!(reader.difference_in_the_end(&facts), None);
    }

    #[test]
    fn known_facts_are_silent(facts in facts(FACTS_MAX), size in 1..9_usize) {
        let mut timeline = new_timeline();
        for batch in facts.chunks(size) {
            timeline.apply(batch.to_vec(), At::START);
        }

        let again = timeline.apply(facts.clone(), At::START);
        prop_assert_eq!(again.duplicates, facts.len());
        prop_assert!(again.notices.is_empty() && again.changed.is_empty());
        prop_assert!(again.finished.is_empty() && again.withdrawn.is_empty());
    }

    #[test]
    fn a_timeline_lacks_exactly_the_facts_that_are_new_to_it(
        facts in facts(FACTS_MAX),
        order in order(FACTS_MAX * 2),
        since in 0..FACTS_MAX,
    ) {
        prop_assume!(!facts.is_empty());
        let mut timeline = new_timeline();
        timeline.set_complete_since(facts[since % facts.len()].at);

        for fact in shuffled(&[facts.clone(), facts.clone()].concat(), &order) {
            let lacks = timeline.is_missing(fact.key());
            let delta = timeline.apply(vec![fact], At::START);
            prop_assert_eq!(lacks, delta.duplicates == 0 && delta.late.is_empty());
        }
    }

    #[test]
    fn records_make_sense(facts in facts(FACTS_MAX)) {
        let records = from_scratch(&facts, At::END);
        for record in &records {
            check_sense(record)?;
        }

        let ids: HashSet<CallId> = records.iter().map(|record| record.id).collect();
        prop_assert_eq!(ids.len(), records.len(), "every call has its own id");
        let is_of_call = |fact: &Fact| !matches!(fact.kind, Kind::Device(_));
        let has_calls = facts.iter().any(is_of_call);
        prop_assert_eq!(records.is_empty(), !has_calls, "no fact about a call is lost");
    }

    #[test]
    fn notices_describe_calls_without_contradictions(
        facts in facts(FACTS_MAX),
        size in 1..5_usize,
    ) {
        let mut reader = Reader::new();
        for batch in facts.chunks(size) {
            reader.apply_in_order(batch, just_before(batch, Span::ZERO));
        }
        reader.apply(&[], At::END);

        let mut described = HashMap::new();
        for notice in &reader.notices {
            check_notice(&mut described, notice)?;
        }
        for record in reader.records() {
            let expected = Described {
                is_over: true,
                is_missed: record.outcome == Some(Outcome::Missed),
            };
            prop_assert_eq!(described.get(&record.id), Some(&expected));
        }
    }

    #[test]
    fn deadlines_progress(facts in facts(FACTS_MAX)) {
        let mut timeline = new_timeline();
        let mut now = facts.last().map_or(At(0), |fact| fact.at);
        timeline.apply(facts, At::START);

        for _ in 0..DEADLINES_MAX {
            let Some(due) = timeline.next_deadline() else { return Ok(()) };
            now = now.max(due);
            timeline.apply(Vec::new(), now);
            prop_assert!(
                timeline.next_deadline().is_none_or(|next| next > now),
                "a deadline that has passed is not due again"
            );
        }
        prop_assert!(false, "the deadlines never end");
    }
}
