//! Every call flow gives its records, in every form of its tokens and under every overlay.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the numbers of a flow are small"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use cordboard::domain::fact::Fact;
use cordboard::domain::record::{CallRecord, Direction, EndReason};
use cordboard::domain::time::At;
use cordboard::domain::{Timeline, reconstruct};
use cordboard::simulate::Dice;
use cordboard::wire::policy_file::Policies;

use crate::support::flow::{self, Event, Flow};
use crate::support::overlay::{self, CallId, Spelling};
use crate::support::verdict::{Leniency, differences};

/// Random choices of token forms, beside the uniform ones.
const MIXES: u64 = 12;
/// Uniform choices: every token has at most so many forms.
const UNIFORM: u64 = 4;
const SHOWN_MAX: usize = 40;

/// The events of a flow in one form of its tokens.
fn form(flow: &Flow, seed: u64, optional: bool) -> Vec<Event> {
    let mut dice = Dice::new(seed + 1);
    let events: Vec<Event> = flow
        .events()
        .into_iter()
        .filter(|event| optional || !event.optional)
        .collect();

    flow::expand(&events, |forms| {
        if seed < UNIFORM {
            seed as usize % forms
        } else {
            dice.roll(forms as u64) as usize
        }
    })
}

/// Runs every flow in every form through `check`, and reports all failures at once.
fn for_every_form(overlay: &str, mut check: impl FnMut(&Flow, &[Event], &Policies) -> Vec<String>) {
    let mut report = String::new();
    let mut failures = 0;
    let mut forms = 0;

    for flow in flow::all() {
        if flow.except.iter().any(|name| name == overlay) {
            continue;
        }

        let policies = Policies::parse(&flow.policy).unwrap();
        let mut seen: Vec<Vec<Event>> = Vec::new();
        for (seed, optional) in (0..UNIFORM + MIXES).flat_map(|seed| [(seed, true), (seed, false)])
        {
            let events = form(&flow, seed, optional);
            if seen.contains(&events) {
                continue;
            }

            forms += 1;
            for wrong in check(&flow, &events, &policies) {
                failures += 1;
                if failures <= SHOWN_MAX {
                    let name = &flow.name;
                    writeln!(report, "{name} (form {seed}, optional {optional}): {wrong}").unwrap();
                }
            }
            seen.push(events);
        }
    }

    assert!(forms > 100, "only {forms} forms were tried");
    assert!(
        failures == 0,
        "{failures} failures of {forms} forms under {overlay}:\n{report}"
    );
}

fn records(facts: &[Fact], policies: &Policies) -> Vec<CallRecord> {
    let policy = Arc::clone(policies.of(&overlay::site()));

    reconstruct(overlay::site(), policy, facts, At::END)
}

/// The differences of the records of these events.
fn judge(
    flow: &Flow,
    events: &[Event],
    spelling: Spelling,
    policies: &Policies,
    leniency: Leniency,
) -> Vec<String> {
    let facts = overlay::facts(flow, events, spelling, policies);

    differences(flow, &records(&facts, policies), leniency)
}

/// The same with the usual spelling, and every part compared.
fn judge_strictly(flow: &Flow, events: &[Event], policies: &Policies) -> Vec<String> {
    judge(
        flow,
        events,
        Spelling::default(),
        policies,
        Leniency::default(),
    )
}

#[test]
fn every_form_gives_the_record() {
    for_every_form("plain", judge_strictly);
}

#[test]
fn a_phone_without_call_ids_gives_the_same_record() {
    for call_id in [CallId::Absent, CallId::Placeholder] {
        let spelling = Spelling {
            call_id,
            ..Spelling::default()
        };
        for_every_form("no_call_id", |flow, events, policies| {
            judge(flow, events, spelling, policies, Leniency::default())
        });
    }
}

#[test]
fn any_spelling_of_a_mac_gives_the_same_record() {
    let spelling = Spelling {
        mac: 1,
        ..Spelling::default()
    };

    for_every_form("mac_form", |flow, events, policies| {
        judge(flow, events, spelling, policies, Leniency::default())
    });
}

#[test]
fn any_spelling_of_a_number_gives_the_same_record() {
    let leniency = Leniency {
        spelling: true,
        ..Leniency::default()
    };

    for region in ["", "region = \"FR\"", "region = \"DE\""] {
        let policies = Policies::parse(region).unwrap();
        for number in 1..=3 {
            let spelling = Spelling {
                number,
                ..Spelling::default()
            };
            for_every_form("number_form", |flow, events, _| {
                judge(flow, events, spelling, &policies, leniency)
            });
        }
    }
}

#[test]
fn every_request_twice_gives_the_same_record() {
    for seed in 0..8 {
        for_every_form("dup", |flow, events, policies| {
            let events = overlay::duplicated(events, &mut Dice::new(seed * 31 + 7));
            judge_strictly(flow, &events, policies)
        });
    }
}

#[test]
fn every_message_twice_gives_the_same_record() {
    for_every_form("redelivery", |flow, events, policies| {
        let mut facts = overlay::facts(flow, events, Spelling::default(), policies);
        facts.extend(facts.clone());

        differences(flow, &records(&facts, policies), Leniency::default())
    });
}

/// Events on one line, for the message of a test that fails.
fn shown(events: &[Event]) -> String {
    let events: Vec<String> = events
        .iter()
        .map(|event| {
            let seconds = event.at as f64 / 1000.0;
            format!("{seconds:.2} {} {}", event.phone, event.name)
        })
        .collect();

    events.join(", ")
}

#[test]
fn two_requests_that_overtake_each_other_give_the_same_record() {
    for_every_form("reorder", |flow, events, policies| {
        let mut all = Vec::new();
        for (displaced, events) in overlay::swaps(events) {
            let leniency = Leniency {
                displaced,
                ..Leniency::default()
            };
            let wrong = judge(flow, &events, Spelling::default(), policies, leniency);
            all.extend(
                wrong
                    .iter()
                    .map(|wrong| format!("{wrong}   [{}]", shown(&events))),
            );
        }

        all
    });
}

#[test]
fn two_equal_flows_at_once_do_not_mix() {
    for_every_form("twin", |flow, events, policies| {
        let (both, events) = overlay::twin(flow, events);
        judge_strictly(&both, &events, policies)
    });
}

fn is_end(event: &Event) -> bool {
    matches!(event.name.as_str(), "hangup" | "missed" | "rejected")
}

/// The events without the reports of the last end; none when nothing else is left, or nothing was
/// removed.
fn without_end(events: &[Event]) -> Option<Vec<Event>> {
    let last = events.last()?.at;
    let kept: Vec<Event> = events
        .iter()
        .filter(|event| !(last - event.at < 200 && is_end(event)))
        .cloned()
        .collect();

    let is_shorter = kept.len() < events.len();
    let has_others = !kept.iter().all(is_end);

    (is_shorter && has_others).then_some(kept)
}

#[test]
fn a_lost_end_changes_only_how_long_the_call_seems() {
    let leniency = Leniency {
        durations: true,
        ..Leniency::default()
    };

    for_every_form("lost_hangup", |flow, events, policies| {
        let Some(kept) = without_end(events) else {
            return Vec::new();
        };
        let facts = overlay::facts(flow, &kept, Spelling::default(), policies);
        let records = records(&facts, policies);
        let mut wrong = differences(flow, &records, leniency);

        // The end of one side of an internal call is the end of the call.
        let is_lost = |record: &CallRecord| {
            let other_side = record.direction == Direction::Internal && kept.iter().any(is_end);
            record.end_reason == Some(EndReason::LostHangup) || other_side
        };
        if wrong.is_empty() && !records.iter().any(is_lost) {
            wrong.push("no record says that its end was lost".into());
        }

        wrong
    });
}

#[test]
fn a_backlog_gives_the_same_record() {
    for_every_form("backlog", |flow, events, policies| {
        let site = overlay::site();
        let policy = Arc::clone(policies.of(&site));
        let facts = overlay::facts(flow, events, Spelling::default(), policies);
        let mut timeline = Timeline::new(site, policy);
        let mut finished = Vec::new();

        for batch in facts.chunks(3) {
            // The watermark is half a minute behind: facts that are processed late must not look
            // as if they had happened late.
            let delta = timeline.apply(batch.to_vec(), At(batch[0].at.0 - 30_000_000));
            finished.extend(delta.finished);
        }
        finished.extend(timeline.apply(Vec::new(), At::END).finished);
        finished.sort_by_key(|record| (record.started_at, record.id));

        differences(flow, &finished, Leniency::default())
    });
}
