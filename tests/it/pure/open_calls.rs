//! One report of the end of a call between two of our own phones is enough: it is not shown for
//! longer than a minute after it, whatever else was lost. Calls that go on are shown on.

use std::sync::Arc;

use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::time::{At, Span};
use cordboard::domain::{Timeline, reconstruct};
use cordboard::wire::fact_line;

const CALLER: usize = 0;
const CALLED: usize = 1;
const SHOWN_MAX: Span = Span::seconds(60);

/// A report of one of the two phones, at a second of a call that lasts from 10 to 40.
type Report = (u32, usize, &'static str);

const ANSWERED_CALL: [Report; 5] = [
    (2, CALLER, "outgoing"),
    (2, CALLED, "incoming"),
    (10, CALLED, "answered"),
    (10, CALLER, "answered"),
    (40, CALLER, "hangup"),
];

fn fact((second, phone, event): Report, with_id: bool) -> Fact {
    let (own, other) = [("201", "202"), ("202", "201")][phone];
    let id = if with_id {
        format!(r#","call_id":"{own}@pbx""#)
    } else {
        String::new()
    };
    let line = format!(
        r#"{{"at":"2026-01-01T09:00:{second:02}.{phone}00Z","event":"{event}","mac":"000b8200000{phone}","local":"{own}","remote":"{other}"{id}}}"#
    );

    fact_line::parse(&line, |_| &POLICY).unwrap()
}

static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);

/// The number of calls that are shown so long after the last report.
fn shown_after(facts: &[Fact], later: Span) -> usize {
    let policy = Arc::new(POLICY.clone());
    let end = facts.iter().map(|fact| fact.at).max().unwrap_or(At::START);

    let mut timeline = Timeline::new(Site::default(), Arc::clone(&policy));
    timeline.apply(facts.to_vec(), end + later);
    let records = reconstruct(Site::default(), policy, facts, end + later);
    let open = records.iter().filter(|record| record.ended_at.is_none());
    let shown = timeline.open_calls();
    let shown = shown.iter().filter(|record| record.ended_at.is_none());
    let shown = shown.count();
    assert_eq!(shown, open.count(), "live and from scratch");

    shown
}

#[test]
fn one_report_of_its_end_closes_a_call_of_two_phones_within_a_minute() {
    for with_id in [false, true] {
        for who_ends in [CALLER, CALLED] {
            // Any one of the reports before the end may be lost as well, except all of a phone.
            for lost in [None, Some(0), Some(1), Some(2), Some(3)] {
                let facts: Vec<Fact> = ANSWERED_CALL
                    .into_iter()
                    .enumerate()
                    .filter(|(index, _)| Some(*index) != lost)
                    .map(|(_, report)| match report {
                        (second, _, event @ "hangup") => (second, who_ends, event),
                        other => other,
                    })
                    .map(|report| fact(report, with_id))
                    .collect();

                let case = format!("ids {with_id}, end of {who_ends}, lost {lost:?}");
                assert_eq!(shown_after(&facts, SHOWN_MAX), 0, "{case}");
            }
        }
    }
}

#[test]
fn a_ring_whose_caller_gave_up_is_not_shown_for_longer_than_a_minute() {
    for with_id in [false, true] {
        for end in [(20, CALLER, "hangup"), (20, CALLED, "missed")] {
            let facts: Vec<Fact> = [(2, CALLER, "outgoing"), (2, CALLED, "incoming"), end]
                .into_iter()
                .map(|report| fact(report, with_id))
                .collect();

            assert_eq!(shown_after(&facts, SHOWN_MAX), 0, "ids {with_id}, {end:?}");
        }
    }
}

#[test]
fn a_call_without_an_end_or_on_hold_is_shown_on() {
    for with_id in [false, true] {
        let talking: Vec<Fact> = ANSWERED_CALL[..4]
            .iter()
            .map(|report| fact(*report, with_id))
            .collect();
        assert_eq!(shown_after(&talking, SHOWN_MAX), 1);

        let mut held = talking;
        held.push(fact((20, CALLER, "hold"), with_id));
        assert_eq!(shown_after(&held, SHOWN_MAX), 1);
    }
}
