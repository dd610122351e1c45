//! Comparison of call records with the expected ones of a flow.

use cordboard::domain::record::CallRecord;
use cordboard::wire::call_json::CallJson;
use serde_json::Value;

use super::flow::{Expected, ExpectedTransfer, Flow};
use super::overlay::{mac, place};

const TOLERANCE_SECONDS: f64 = 0.5;

/// Parts that are left out of the comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leniency {
    /// The end of the flow is missing: durations are unknown, and a record that is still live in
    /// the flow has no end either.
    pub durations: bool,
    /// Seconds by which a request was displaced: no duration can be known better than that.
    pub displaced: f64,
    /// Phones spell the number differently: the outside party is compared by its last digits.
    pub spelling: bool,
}

/// The differences between the records and the expected ones.
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
        let expected = flow.call.len();
        return vec![format!("{} calls instead of {expected}", calls.len())];
    }

    let mut left: Vec<&Value> = calls.iter().collect();
    let mut wrong = Vec::new();
    for expected in &flow.call {
        // The call that fits best is taken for the expected one.
        let compared = left.iter().enumerate().map(|(index, call)| {
            let differences = compare(flow, expected, call, calls, leniency);
            (index, differences)
        });
        let Some((best, found)) = compared.min_by_key(|(_, found)| found.len()) else {
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
    let mut comparison = Comparison {
        call,
        leniency,
        wrong: Vec::new(),
    };

    comparison.kind(expected);
    comparison.parties(flow, expected);
    comparison.transfer(expected.transfer.as_ref());
    comparison.links(expected, calls);
    if !leniency.durations && !expected.live {
        comparison.durations(expected);
    }

    comparison.wrong
}

/// One call as the interfaces show it, and the differences found so far.
struct Comparison<'a> {
    call: &'a Value,
    leniency: Leniency,
    wrong: Vec<String>,
}

impl Comparison<'_> {
    fn check(&mut self, part: &str, expected: &str, found: &str) {
        if expected != found {
            self.wrong
                .push(format!("{part}: {found} instead of {expected}"));
        }
    }

    /// A part of the call; `-` where it is absent.
    fn text(&self, pointer: &str) -> String {
        let part = self.call.pointer(pointer).and_then(Value::as_str);

        part.unwrap_or("-").to_owned()
    }

    /// The digits of a number that are compared.
    fn digits<'n>(&self, number: &'n str) -> &'n str {
        if self.leniency.spelling && number.len() >= 5 {
            &number[number.len() - 3..]
        } else {
            number
        }
    }

    fn parties(&mut self, flow: &Flow, expected: &Expected) {
        let mut from = self.text("/from/number");
        if from == "anonymous" {
            "-".clone_into(&mut from);
        }
        self.check("from", self.digits(&expected.from), self.digits(&from));

        let to = self.text("/to/number");
        let alternatives = &mut expected.to.split('|');
        if !alternatives.any(|number| self.digits(number) == self.digits(&to)) {
            self.check("to", &expected.to, self.digits(&to));
        }

        if let Some(requested) = &expected.requested {
            self.check("requested", requested, &self.text("/requested/number"));
        }
        if let Some(phone) = &expected.answered_by {
            let mac = mac(place(flow, phone), 0);
            self.check("answered by", &mac, &self.text("/answered_by/mac"));
        }
    }

    fn kind(&mut self, expected: &Expected) {
        self.check("direction", &expected.direction, &self.text("/direction"));
        self.check("outcome", &expected.outcome, &self.text("/outcome"));

        let missed = self.call["missed_extensions"].as_array().unwrap();
        let mut missed: Vec<&str> = missed.iter().filter_map(Value::as_str).collect();
        missed.sort_unstable();
        let mut expected_missed = expected.missed.clone();
        expected_missed.sort_unstable();
        self.check(
            "missed",
            &format!("{expected_missed:?}"),
            &format!("{missed:?}"),
        );

        let pickup = self.call["pickup"].to_string();
        self.check("pickup", &expected.pickup.to_string(), &pickup);
        if let Some(origin) = &expected.origin {
            self.check("origin", origin, &self.text("/origin"));
        }
    }

    fn transfer(&mut self, expected: Option<&ExpectedTransfer>) {
        let kind = self.text("/transfer/kind");
        let Some(expected) = expected else {
            return self.check("transfer", "-", &kind);
        };

        let state = self.text("/transfer/state");
        let to = self.text("/transfer/to");
        let found = [&*kind, &*state, self.digits(&to)];
        let expected = [&*expected.kind, &*expected.state, self.digits(&expected.to)];
        self.check("transfer", &format!("{expected:?}"), &format!("{found:?}"));
    }

    fn links(&mut self, expected: &Expected, calls: &[Value]) {
        if expected.linked {
            let links = self.call["links"].as_array().unwrap();
            let is_linked = calls.iter().any(|other| {
                other["id"] != self.call["id"]
                    && links.iter().any(|link| link["call_id"] == other["id"])
            });
            self.check("link to another call", "true", &is_linked.to_string());
        }

        if let Some(kind) = &expected.link {
            self.check("link", kind, &self.text("/links/0/kind"));
        }
    }

    fn durations(&mut self, expected: &Expected) {
        let tolerance = (self.leniency.displaced + 0.05).max(TOLERANCE_SECONDS) + 0.001;

        for (part, expected) in [
            ("ring", expected.ring),
            ("talk", expected.talk),
            ("total", expected.total),
        ] {
            let found = self.call[format!("{part}_seconds")].as_f64();
            let is_close = expected.is_none_or(|expected| {
                found.is_some_and(|found| (found - expected).abs() <= tolerance)
            });
            if !is_close {
                self.check(part, &format!("{expected:?}"), &format!("{found:?}"));
            }
        }
    }
}
