//! Phones that report oddly: rings by the dozen, empty values, late signs, and ids that come again.

use std::fmt::Write as _;

use cordboard::domain::fact::{Fact, Site};
use cordboard::domain::policy::Policy;
use cordboard::domain::reconstruct;
use cordboard::domain::record::{CallRecord, Outcome, ParticipantOutcome, ParticipantRole};
use cordboard::domain::time::{At, Span};
use cordboard::wire::fact_line;

const CUSTOMER: &str = "03001234567";
const OTHER: &str = "03117654321";

static POLICY: std::sync::LazyLock<std::sync::Arc<Policy>> =
    std::sync::LazyLock::new(|| std::sync::Arc::new(Policy::default()));

/// A report at a second, of the phone of an extension; with an id if it is not empty.
fn report(second: f64, extension: u32, event: &str, remote: Option<&str>, id: &str) -> Fact {
    let mut line =
        format!(r#"{{"event":"{event}","mac":"000b82000{extension}","local":"{extension}""#);
    if let Some(remote) = remote {
        let _ = write!(line, r#","remote":"{remote}""#);
    }
    if !id.is_empty() {
        let _ = write!(line, r#","call_id":"{id}""#);
    }
    let at = jiff::Timestamp::from_millisecond(1_772_438_400_000).unwrap()
        + jiff::SignedDuration::from_secs_f64(second);
    let _ = write!(line, r#","at":"{at}"}}"#);

    fact_line::parse(&line, |_| &**POLICY).unwrap()
}

fn records(facts: &[Fact]) -> Vec<CallRecord> {
    let mut records = reconstruct(Site::default(), POLICY.clone(), facts, At::END);
    records.sort_by_key(|record| record.started_at);

    records
}

fn seconds(span: Span) -> i64 {
    (span.0 + 500_000) / 1_000_000
}

/// Outcome and talk time of each call.
fn calls(facts: &[Fact]) -> Vec<(Outcome, i64)> {
    let records = records(facts).into_iter();

    records
        .filter_map(|record| Some((record.outcome?, seconds(record.talk))))
        .collect()
}

#[test]
fn rings_of_a_queue_displace_no_conversation() {
    let mut facts = vec![
        report(0.0, 201, "incoming", Some(CUSTOMER), "a"),
        report(5.0, 201, "answered", Some(CUSTOMER), "a"),
    ];
    for round in 0..70 {
        let start = 10.0 + f64::from(round) * 19.0;
        let id = format!("q{round}");
        facts.push(report(start, 201, "incoming", Some(OTHER), &id));
        facts.push(report(start + 15.0, 201, "missed", Some(OTHER), &id));
    }
    facts.push(report(1_400.0, 201, "hangup", Some(CUSTOMER), "a"));

    assert_eq!(
        calls(&facts),
        [(Outcome::Answered, 1_395), (Outcome::Missed, 0)]
    );
}

#[test]
fn a_caller_who_waits_for_long_in_a_queue_is_one_call() {
    let mut facts = Vec::new();
    for round in 0..30 {
        for phone in 201..221 {
            let start = f64::from(round) * 19.0;
            let id = format!("{phone}.{round}");
            facts.push(report(start, phone, "incoming", Some(CUSTOMER), &id));
            let end = if round < 29 { start + 15.0 } else { 556.1 };
            if round < 29 || phone != 201 {
                facts.push(report(end, phone, "missed", Some(CUSTOMER), &id));
            }
        }
    }
    facts.push(report(556.0, 201, "answered", Some(CUSTOMER), "201.29"));
    facts.push(report(616.0, 201, "hangup", Some(CUSTOMER), "201.29"));

    assert_eq!(calls(&facts), [(Outcome::Answered, 60)]);
}

#[test]
fn an_empty_number_after_the_ring_is_that_of_the_ring() {
    let facts = [
        report(0.0, 201, "incoming", Some(CUSTOMER), ""),
        report(5.0, 201, "answered", Some(""), ""),
        report(35.0, 201, "hangup", Some(""), ""),
        report(100.0, 202, "incoming", Some(OTHER), ""),
        report(120.0, 202, "missed", Some(""), ""),
    ];

    assert_eq!(
        calls(&facts),
        [(Outcome::Answered, 30), (Outcome::Missed, 0)]
    );
}

#[test]
fn an_id_that_comes_again_with_another_number_is_another_call() {
    // The end of the first call was lost.
    for lost in ["missed", "hangup"] {
        let mut facts = vec![report(0.0, 201, "incoming", Some(CUSTOMER), "1")];
        if lost == "hangup" {
            facts.push(report(5.0, 201, "answered", Some(CUSTOMER), "1"));
        }
        facts.push(report(200.0, 201, "incoming", Some(OTHER), "1"));
        facts.push(report(220.0, 201, "missed", Some(OTHER), "1"));

        let records = records(&facts);
        assert_eq!(records.len(), 2, "{lost}");
        assert_eq!(records[1].outcome, Some(Outcome::Missed), "{lost}");
    }
}

#[test]
fn a_late_report_of_an_idle_phone_ends_no_new_call() {
    for (late, answered) in [(1.5, 6.0), (3.0, 4.0), (8.0, 9.0)] {
        let facts = [
            report(0.0, 201, "incoming", Some(CUSTOMER), ""),
            report(late, 201, "idle", None, ""),
            report(answered, 201, "answered", Some(CUSTOMER), ""),
            report(answered + 60.0, 201, "hangup", Some(CUSTOMER), ""),
        ];

        assert_eq!(calls(&facts), [(Outcome::Answered, 60)], "idle at {late}");
    }
}

#[test]
fn a_phone_is_idle_a_moment_before_the_end_of_its_ring_comes() {
    for before in [0.05, 0.3, 0.8] {
        // The ring of a transfer, and that of the second phone of a hunt.
        let transferred = [
            report(0.0, 201, "incoming", Some(CUSTOMER), ""),
            report(5.0, 201, "answered", Some(CUSTOMER), ""),
            report(20.0, 201, "hangup", Some(CUSTOMER), ""),
            report(20.2, 202, "incoming", Some(CUSTOMER), ""),
            report(44.0 - before, 202, "idle", None, ""),
            report(44.0, 202, "missed", Some(CUSTOMER), ""),
        ];
        let hunted = [
            report(0.0, 201, "incoming", Some(CUSTOMER), ""),
            report(25.5, 201, "missed", Some(CUSTOMER), ""),
            report(25.6, 202, "incoming", Some(CUSTOMER), ""),
            report(50.6 - before, 202, "idle", None, ""),
            report(50.6, 202, "missed", Some(CUSTOMER), ""),
        ];
        let [transferred, hunted] = [&transferred[..], &hunted].map(records);

        assert_eq!(transferred.len(), 1, "idle {before} s before");
        assert_eq!(hunted.len(), 1, "idle {before} s before");
        assert_eq!(transferred[0].outcome, Some(Outcome::Answered));
        assert!(hunted[0].total.is_some_and(|total| seconds(total) >= 50));
    }
}

#[test]
fn a_phone_that_boots_later_does_not_prolong_a_call_that_was_over() {
    let facts = [
        report(0.0, 201, "outgoing", Some("202"), ""),
        report(0.1, 202, "incoming", Some("201"), ""),
        report(5.0, 202, "answered", Some("201"), ""),
        report(5.1, 201, "answered", Some("202"), ""),
        // The other one crashed.
        report(40.0, 202, "hangup", Some("201"), ""),
        report(7_200.0, 201, "boot", None, ""),
    ];

    assert_eq!(calls(&facts), [(Outcome::Answered, 35)]);
}

#[test]
fn callers_who_withhold_their_numbers_are_a_call_each() {
    let mut facts = Vec::new();
    for (caller, start) in [0.0, 33.0, 68.0].into_iter().enumerate() {
        let id = format!("{caller}");
        facts.push(report(start, 201, "incoming", Some("anonymous"), &id));
        facts.push(report(start + 4.0, 201, "answered", Some("anonymous"), &id));
        facts.push(report(start + 30.0, 201, "hangup", Some("anonymous"), &id));
    }

    assert_eq!(calls(&facts), [(Outcome::Answered, 26); 3]);
}

#[test]
fn a_phone_to_which_a_call_comes_again_rings_for_it() {
    let first = [
        report(0.0, 201, "incoming", Some(CUSTOMER), ""),
        report(0.1, 202, "incoming", Some(CUSTOMER), ""),
        report(5.0, 202, "answered", Some(CUSTOMER), ""),
        report(5.1, 201, "missed", Some(CUSTOMER), ""),
        report(20.0, 202, "blind_transfer", Some(CUSTOMER), ""),
        report(20.1, 202, "hangup", Some(CUSTOMER), ""),
    ];
    // It is handed to the phone that had rung before, or comes back to the one that talked.
    for (phone, role) in [
        (201, ParticipantRole::TransferTarget),
        (202, ParticipantRole::Callee),
    ] {
        let mut facts = first.to_vec();
        if phone == 202 {
            facts.push(report(20.5, 203, "incoming", Some(CUSTOMER), ""));
            facts.push(report(30.0, 203, "missed", Some(CUSTOMER), ""));
        }
        let ring = report(31.0, phone, "incoming", Some(CUSTOMER), "");
        facts.push(ring.clone());

        let now = ring.at + Span::seconds(1);
        let open = reconstruct(Site::default(), POLICY.clone(), &facts, now);
        let [call] = &open[..] else {
            panic!("one call instead of {}", open.len());
        };
        let own = call
            .participants
            .iter()
            .find(|own| own.device == ring.device);
        let seen = own.map(|own| (own.outcome, own.role, own.rang_at));
        let expected = (ParticipantOutcome::Ringing, role, Some(ring.at));
        assert_eq!(seen, Some(expected), "{phone}");
    }
}
