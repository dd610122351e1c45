//! Whether records are the expected ones.

use cordboard::domain::record::CallRecord;
use cordboard::wire::call_json::CallJson;
use serde_json::Value;

use super::flow::{Expected, Flow};
use super::overlay::{mac, place};

const TOLERANCE_SECONDS: f64 = 0.5;

/// What is left out of the comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leniency {
    /// The end was taken away: durations say nothing, and a record that is still live in the flow
    /// is not over either.
    pub durations: bool,
    /// Seconds by which a request was displaced: no duration can be known better than that.
    pub displaced: f64,
    /// Phones spell the number differently: the outside party is compared by its last digits.
    pub spelling: bool,
}

/// What is wrong with the records, or nothing.
pub fn differences(flow: &Flow, records: &[CallRecord], leniency: Leniency) -> Vec<String> {
    let calls: Vec<Value> = records
        .iter()
        .map(|record| serde_json::to_value(CallJson::of(record)).unwrap())
        .collect();
    differences_as_shown(flow, &calls, leniency)
}

/// The same for records as the interfaces show them, in the order of their beginning.
pub fn differences_as_shown(flow: &Flow, calls: &[Value], leniency: Leniency) -> Vec<String> {
    if calls.len() != flow.call.len() {
        return vec![format!(
            "{} calls instead of {}",
            calls.len(),
            flow.call.len()
        )];
    }
    let mut left: Vec<&Value> = calls.iter().collect();
    let mut wrong = Vec::new();
    for expected in &flow.call {
        let told: Vec<(usize, Vec<String>)> = left
            .iter()
            .enumerate()
            .map(|(index, call)| (index, compare(flow, expected, call, calls, leniency)))
            .collect();
        let Some((best, found)) = told.into_iter().min_by_key(|(_, found)| found.len()) else {
            break;
        };
        wrong.extend(found);
        left.remove(best);
    }
    wrong
}

fn compare(
    flow: &Flow,
    expected: &Expected,
    call: &Value,
    calls: &[Value],
    leniency: Leniency,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, expected: String, found: String| {
        if expected != found {
            wrong.push(format!("{what}: {found} instead of {expected}"));
        }
    };
    let text = |pointer: &str| {
        call.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    check("direction", expected.direction.clone(), text("/direction"));
    check("outcome", expected.outcome.clone(), text("/outcome"));
    let shown = |number: String| {
        if leniency.spelling && number.len() >= 5 {
            number[number.len() - 3..].to_owned()
        } else {
            number
        }
    };
    let from = text("/from/number");
    check(
        "from",
        shown(expected.from.clone()),
        shown(if from == "anonymous" {
            "-".into()
        } else {
            from
        }),
    );
    let to = shown(text("/to/number"));
    if !expected
        .to
        .split('|')
        .any(|alternative| shown(alternative.into()) == to)
    {
        check("to", expected.to.clone(), to);
    }
    if let Some(requested) = &expected.requested {
        check("requested", requested.clone(), text("/requested/number"));
    }
    if let Some(phone) = &expected.answered_by {
        check(
            "answered by",
            mac(place(flow, phone), 0),
            text("/answered_by/mac"),
        );
    }
    let missed: Vec<&str> = call["missed_extensions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut sorted = (missed.clone(), expected.missed.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    check(
        "missed",
        format!("{:?}", sorted.1),
        format!("{:?}", sorted.0),
    );
    if let Some(transfer) = &expected.transfer {
        let found = [
            text("/transfer/kind"),
            text("/transfer/state"),
            shown(text("/transfer/to")),
        ];
        check(
            "transfer",
            format!(
                "{:?}",
                [
                    transfer.kind.clone(),
                    transfer.state.clone(),
                    shown(transfer.to.clone())
                ]
            ),
            format!("{found:?}"),
        );
    } else {
        check("transfer", "-".into(), text("/transfer/kind"));
    }
    if expected.linked {
        let linked = |other: &Value| {
            other["id"] != call["id"]
                && call["links"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|link| link["call_id"] == other["id"])
        };
        check(
            "link to another call",
            "true".into(),
            calls.iter().any(linked).to_string(),
        );
    }
    if let Some(kind) = &expected.link {
        check("link", kind.clone(), text("/links/0/kind"));
    }
    check(
        "pickup",
        expected.pickup.to_string(),
        call["pickup"].to_string(),
    );
    if let Some(origin) = &expected.origin {
        check("origin", origin.clone(), text("/origin"));
    }
    if !leniency.durations && !expected.live {
        durations(
            expected,
            call,
            (leniency.displaced + 0.05).max(TOLERANCE_SECONDS) + 0.001,
            &mut check,
        );
    }
    wrong
}

fn durations(
    expected: &Expected,
    call: &Value,
    tolerance: f64,
    check: &mut impl FnMut(&str, String, String),
) {
    for (what, expected) in [
        ("ring", expected.ring),
        ("talk", expected.talk),
        ("total", expected.total),
    ] {
        let found = call[format!("{what}_seconds")].as_f64();
        let close = expected.is_none_or(|expected| {
            found.is_some_and(|found| (found - expected).abs() <= tolerance)
        });
        if !close {
            check(what, format!("{expected:?}"), format!("{found:?}"));
        }
    }
}
