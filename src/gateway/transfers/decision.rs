//! The decision of a transfer by the record of its call.

use serde_json::Value;

use crate::domain::time::At;
use crate::wire::instant;
use crate::wire::transfer::TransferEventType;

/// The time of a transfer: from its registration on, until it expires. Instants in the form of
/// records, which have the order of their texts.
#[derive(Clone, Copy)]
pub(super) struct Period<'p> {
    /// The last instant that the record had when the transfer was registered.
    pub after: &'p str,
    /// `None` before the transfer has expired.
    pub until: Option<&'p str>,
}

impl Period<'_> {
    fn contains(self, at: &Value) -> bool {
        at.as_str().is_some_and(|at| at > self.after) && self.has_begun_by(at)
    }

    fn has_begun_by(self, at: &Value) -> bool {
        at.as_str()
            .is_some_and(|at| self.until.is_none_or(|until| at <= until))
    }
}

/// The last instant of a record.
pub(super) fn last_instant(record: &Value) -> Option<At> {
    let of_call = ["started_at", "answered_at", "ended_at"].map(|name| &record[name]);
    let of_transfer = ["initiated_at", "decided_at"].map(|name| &record["transfer"][name]);
    let participants = record["participants"].as_array().into_iter().flatten();
    let of_participants = participants
        .flat_map(|phone| ["rang_at", "answered_at", "left_at"].map(|name| &phone[name]));

    of_call
        .into_iter()
        .chain(of_transfer)
        .chain(of_participants)
        .filter_map(Value::as_str)
        .max()
        .and_then(|at| instant::parse(at).ok())
}

/// The type and the reason of the event that ends a transfer, once the phones have decided it in its
/// time. `target` is the number or extension of the target, where the program has named one.
pub(super) fn decision(
    record: &Value,
    target: Option<&str>,
    period: Period<'_>,
) -> Option<(TransferEventType, String)> {
    use TransferEventType::{DestinationAnswered, TransferFailed};

    let reported = &record["transfer"];
    let is_meant = target.is_none_or(|target| {
        reported["to"]
            .as_str()
            .is_none_or(|to| is_same_number(to, target))
    });
    // A call may have been transferred before.
    let is_this = is_meant && period.contains(&reported["decided_at"]);
    let state = reported["state"].as_str().filter(|_| is_this);
    if let Some(state @ ("answered" | "completed")) = state {
        return Some((DestinationAnswered, state.to_owned()));
    }

    // The phone of the target may show more than the one that transfers.
    let target = target_phone(record, target, period);
    if target.is_some_and(|phone| period.contains(&phone["answered_at"])) {
        return Some((DestinationAnswered, "answered".to_owned()));
    }
    if let Some(state @ ("cancelled" | "failed" | "abandoned")) = state {
        let reason = reported["reason"].as_str().unwrap_or(state);
        return Some((TransferFailed, reason.to_owned()));
    }
    if let Some(outcome @ ("rejected" | "missed")) =
        target.and_then(|phone| phone["outcome"].as_str())
    {
        return Some((TransferFailed, outcome.to_owned()));
    }

    period
        .has_begun_by(&record["ended_at"])
        .then(|| (TransferFailed, "call_ended".to_owned()))
}

/// The part of the target in the call, if it began after the transfer was registered.
fn target_phone<'r>(
    record: &'r Value,
    target: Option<&str>,
    period: Period<'_>,
) -> Option<&'r Value> {
    let target = target?;

    record["participants"].as_array()?.iter().find(|phone| {
        let began = [&phone["rang_at"], &phone["answered_at"]]
            .into_iter()
            .find(|at| at.is_string());
        phone["extension"].as_str() == Some(target)
            && began.is_some_and(|began| period.contains(began))
    })
}

/// Numbers that differ only in how they were dialled.
fn is_same_number(one: &str, other: &str) -> bool {
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let (one, other) = (digits(one), digits(other));
    let (short, long) = if one.len() < other.len() {
        (&one, &other)
    } else {
        (&other, &one)
    };

    one == other || (short.len() >= 7 && long.ends_with(short.trim_start_matches('0')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PERIOD: Period<'_> = Period {
        after: "2026-01-01T00:00:10.000000Z",
        until: Some("2026-01-01T00:01:10.000000Z"),
    };

    fn decided(record: &Value) -> Option<(String, String)> {
        let decided = decision(record, Some("205"), PERIOD);
        decided.map(|(kind, reason)| (kind.name().to_owned(), reason))
    }

    fn record(transfer: &Value, participants: &Value, ended_at: &Value) -> Value {
        json!({ "transfer": transfer, "participants": participants, "ended_at": ended_at })
    }

    fn target(rang_at: &str, answered_at: &Value, outcome: &str) -> Value {
        json!([{
            "extension": "205",
            "rang_at": rang_at,
            "answered_at": answered_at,
            "outcome": outcome,
        }])
    }

    #[test]
    fn the_state_of_the_transfer_decides() {
        let answered = "destination_answered";
        let at = "2026-01-01T00:00:12.000000Z";
        let before = "2026-01-01T00:00:09.000000Z";
        let after = "2026-01-01T00:01:11.000000Z";
        for (transfer, expected) in [
            (Value::Null, None),
            (json!({ "state": "ringing", "to": "205" }), None),
            (
                json!({ "state": "completed", "to": "205", "decided_at": at }),
                Some((answered, "completed")),
            ),
            (
                json!({ "state": "answered", "to": null, "decided_at": at }),
                Some((answered, "answered")),
            ),
            (
                json!({ "state": "failed", "to": "205", "reason": "busy", "decided_at": at }),
                Some(("transfer_failed", "busy")),
            ),
            // Earlier transfers of the call, also to the same phone, and a later one.
            (
                json!({ "state": "completed", "to": "299", "decided_at": at }),
                None,
            ),
            (
                json!({ "state": "failed", "to": "205", "decided_at": before }),
                None,
            ),
            (
                json!({ "state": "completed", "to": "205", "decided_at": after }),
                None,
            ),
        ] {
            let record = record(&transfer, &json!([]), &Value::Null);
            let expected = expected.map(|(kind, reason)| (kind.to_owned(), reason.to_owned()));
            assert_eq!(decided(&record), expected, "{record}");
        }
    }

    #[test]
    fn the_phone_of_the_target_or_the_end_of_the_call_decides() {
        let after = "2026-01-01T00:00:12.000000Z";
        let before = "2026-01-01T00:00:02.000000Z";

        for (participants, ended_at, expected) in [
            (
                target(after, &json!(after), "talking"),
                Value::Null,
                Some(("destination_answered", "answered")),
            ),
            (
                target(before, &json!(before), "answered"),
                Value::Null,
                None,
            ),
            (
                target(after, &Value::Null, "rejected"),
                Value::Null,
                Some(("transfer_failed", "rejected")),
            ),
            (target(after, &Value::Null, "ringing"), Value::Null, None),
            (
                json!([]),
                json!(after),
                Some(("transfer_failed", "call_ended")),
            ),
        ] {
            let record = record(&Value::Null, &participants, &ended_at);
            let expected = expected.map(|(kind, reason)| (kind.to_owned(), reason.to_owned()));
            assert_eq!(decided(&record), expected, "{record}");
        }
    }

    #[test]
    fn before_a_transfer_has_expired_what_is_known_later_decides() {
        // The ingress is an hour behind; when the transfer was registered, its record ended here.
        let record = record(
            &Value::Null,
            &target("2026-01-01T00:00:05.000000Z", &Value::Null, "ringing"),
            &Value::Null,
        );
        let last = last_instant(&record).map(instant::text);
        assert_eq!(last.as_deref(), Some("2026-01-01T00:00:05.000000Z"));
        let ahead = "2027-01-01T00:00:00.000000Z";
        let answered = json!({ "participants": target(ahead, &json!(ahead), "talking") });
        let period = Period {
            after: "2026-01-01T00:00:05.000000Z",
            until: None,
        };

        assert!(decision(&answered, Some("205"), period).is_some());
        assert!(decision(&record, Some("205"), period).is_none());
    }

    #[test]
    fn a_number_is_the_same_however_it_was_dialled() {
        assert!(is_same_number("+493012345678", "03012345678"));
        assert!(is_same_number("205", "205"));
        assert!(!is_same_number("205", "1205"));
        assert!(!is_same_number("+493012345678", "+493012345679"));
    }
}
