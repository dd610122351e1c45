//! Every call flow gives its records, in every form of its tokens and under every overlay.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the numbers of a flow are small, and a test that cannot go on must fail"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use crate::support::flow::{self, Event, Flow};
use crate::support::overlay::{self, CallId, Spelling};
use crate::support::verdict::{Leniency, differences};
use cordboard::domain::fact::Fact;
use cordboard::domain::record::CallRecord;
use cordboard::domain::time::At;
use cordboard::domain::{Timeline, reconstruct};
use cordboard::simulate::Dice;
use cordboard::wire::policy_file::Policies;

/// Random choices of token forms tried beside the uniform ones.
const MIXES: u64 = 12;

/// Runs every flow in every form through `check` and reports all failures at once.
fn for_every_form(overlay: &str, mut check: impl FnMut(&Flow, &[Event], &Policies) -> Vec<String>) {
    let mut report = String::new();
    let mut failures = 0;
    let mut forms = 0;
    for flow in flow::all()
        .iter()
        .filter(|flow| !flow.except.iter().any(|name| name == overlay))
    {
        let policies = Policies::parse(&flow.policy).unwrap();
        let mut seen: Vec<Vec<Event>> = Vec::new();
        for seed in 0..4 + MIXES {
            for optional in [true, false] {
                let mut dice = Dice::new(seed + 1);
                let events: Vec<Event> = flow
                    .events()
                    .into_iter()
                    .filter(|event| optional || !event.optional)
                    .collect();
                let events = flow::expand(&events, |forms| {
                    if seed < 4 {
                        seed as usize % forms
                    } else {
                        dice.roll(forms as u64) as usize
                    }
                });
                if seen.contains(&events) {
                    continue;
                }
                forms += 1;
                for wrong in check(flow, &events, &policies) {
                    failures += 1;
                    if failures <= 40 {
                        let _ = writeln!(
                            report,
                            "{} (form {seed}, optional events {optional}): {wrong}",
                            flow.name
                        );
                    }
                }
                seen.push(events);
            }
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

fn judge(flow: &Flow, facts: &[Fact], policies: &Policies, leniency: Leniency) -> Vec<String> {
    differences(flow, &records(facts, policies), leniency)
}

#[test]
fn every_form_gives_the_record() {
    for_every_form("plain", |flow, events, policies| {
        judge(
            flow,
            &overlay::facts(flow, events, Spelling::default(), policies),
            policies,
            Leniency::default(),
        )
    });
}

#[test]
fn a_phone_without_call_ids_gives_the_same_record() {
    for call_id in [CallId::Absent, CallId::Placeholder] {
        for_every_form("no_call_id", |flow, events, policies| {
            judge(
                flow,
                &overlay::facts(
                    flow,
                    events,
                    Spelling {
                        call_id,
                        ..Spelling::default()
                    },
                    policies,
                ),
                policies,
                Leniency::default(),
            )
        });
    }
}

#[test]
fn any_spelling_of_a_mac_gives_the_same_record() {
    for_every_form("mac_form", |flow, events, policies| {
        judge(
            flow,
            &overlay::facts(
                flow,
                events,
                Spelling {
                    mac: 1,
                    ..Spelling::default()
                },
                policies,
            ),
            policies,
            Leniency::default(),
        )
    });
}

#[test]
fn any_spelling_of_a_number_gives_the_same_record() {
    for region in ["", "region = \"FR\"", "region = \"DE\""] {
        let policies = Policies::parse(region).unwrap();
        for number in 1..=3 {
            for_every_form("number_form", |flow, events, _| {
                judge(
                    flow,
                    &overlay::facts(
                        flow,
                        events,
                        Spelling {
                            number,
                            ..Spelling::default()
                        },
                        &policies,
                    ),
                    &policies,
                    Leniency {
                        spelling: true,
                        ..Leniency::default()
                    },
                )
            });
        }
    }
}

#[test]
fn every_request_twice_gives_the_same_record() {
    for seed in 0..8 {
        for_every_form("dup", |flow, events, policies| {
            let events = overlay::duplicated(events, &mut Dice::new(seed * 31 + 7));
            judge(
                flow,
                &overlay::facts(flow, &events, Spelling::default(), policies),
                policies,
                Leniency::default(),
            )
        });
    }
}

#[test]
fn every_message_twice_gives_the_same_record() {
    for_every_form("redelivery", |flow, events, policies| {
        let mut facts = overlay::facts(flow, events, Spelling::default(), policies);
        facts.extend(facts.clone());
        judge(flow, &facts, policies, Leniency::default())
    });
}

#[test]
fn two_requests_that_overtake_each_other_give_the_same_record() {
    for_every_form("reorder", |flow, events, policies| {
        let swaps = overlay::swaps(events);
        let judged = swaps.iter().flat_map(|(displaced, events)| {
            let leniency = Leniency {
                displaced: *displaced,
                ..Leniency::default()
            };
            let wrong = judge(
                flow,
                &overlay::facts(flow, events, Spelling::default(), policies),
                policies,
                leniency,
            );
            let told: Vec<String> = events
                .iter()
                .map(|event| {
                    format!(
                        "{:.2} {} {}",
                        event.at as f64 / 1000.0,
                        event.phone,
                        event.name
                    )
                })
                .collect();
            wrong
                .into_iter()
                .map(move |wrong| format!("{wrong}   [{}]", told.join(", ")))
        });
        judged.collect()
    });
}

#[test]
fn two_equal_flows_at_once_do_not_mix() {
    for_every_form("twin", |flow, events, policies| {
        let (both, events) = overlay::twin(flow, events);
        judge(
            &both,
            &overlay::facts(&both, &events, Spelling::default(), policies),
            policies,
            Leniency::default(),
        )
    });
}

#[test]
fn a_lost_end_changes_only_how_long_the_call_seems() {
    for_every_form("lost_hangup", |flow, events, policies| {
        let Some(last) = events.last() else {
            return Vec::new();
        };
        let ends = ["hangup", "missed", "rejected"];
        let kept: Vec<Event> = events
            .iter()
            .filter(|event| !(last.at - event.at < 200 && ends.contains(&event.name.as_str())))
            .cloned()
            .collect();
        if kept.len() == events.len()
            || !kept
                .iter()
                .any(|event| !ends.contains(&event.name.as_str()))
        {
            return Vec::new();
        }
        let facts = overlay::facts(flow, &kept, Spelling::default(), policies);
        let mut wrong = judge(
            flow,
            &facts,
            policies,
            Leniency {
                durations: true,
                ..Leniency::default()
            },
        );
        if wrong.is_empty()
            && !records(&facts, policies).iter().any(|record| {
                record.end_reason == Some(cordboard::domain::record::EndReason::LostHangup)
            })
        {
            wrong.push("no record says that its end was lost".into());
        }
        wrong
    });
}

#[test]
fn a_backlog_gives_the_same_record() {
    for_every_form("backlog", |flow, events, policies| {
        let facts = overlay::facts(flow, events, Spelling::default(), policies);
        let mut timeline =
            Timeline::new(overlay::site(), Arc::clone(policies.of(&overlay::site())));
        let mut finished = Vec::new();
        for batch in facts.chunks(3) {
            // The watermark is half a minute behind: what is processed late must not look as if it
            // had happened late.
            let delta = timeline.apply(batch.to_vec(), At(batch[0].at.0 - 30_000_000));
            finished.extend(delta.finished);
        }
        finished.extend(timeline.apply(Vec::new(), At::END).finished);
        finished.sort_by_key(|record| (record.started_at, record.id));
        differences(flow, &finished, Leniency::default())
    });
}
