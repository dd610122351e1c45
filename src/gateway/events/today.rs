//! Events of a range, grouped by call.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::{Principal, mask_numbers_in};
use crate::gateway::visible::{sees_site, visible_record};
use crate::port::event_log::{LoggedEvent, PENDING};
use crate::wire::instant;

/// The types that Cordboard writes; their data is the record of the call.
const OURS: [&str; 6] = [
    "call_started",
    "call_answered",
    "call_missed",
    "call_ended",
    "transfer_initiated",
    "transfer_completed",
];

/// One call with its events of the range.
#[derive(Serialize, ToSchema)]
pub(super) struct CallEvents {
    pub call_id: String,
    /// `null` while it is not known.
    site: Option<String>,
    /// The call goes on.
    pub in_progress: bool,
    /// The record as the last event of a phone left it; `null` for a call of another program.
    #[schema(value_type = Option<Object>)]
    call: Option<Value>,
    /// The oldest first.
    events: Vec<EventJson>,
}

/// One event of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallEvent)]
pub(super) struct EventJson {
    event_type: String,
    #[schema(format = DateTime)]
    timestamp: String,
    /// What another program said; `null` for events of phones, and for roles that see masked
    /// numbers.
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
}

impl CallEvents {
    /// Whether there is no event of a phone among its events.
    pub(super) fn has_no_record(&self) -> bool {
        self.call.is_none()
    }
}

/// Masks the numbers that programs use as ids of calls, for those who do not see numbers.
pub(super) fn mask_ids(principal: &Principal, calls: &mut [CallEvents]) {
    if principal.sees_all_numbers() {
        return;
    }

    for call in calls.iter_mut().filter(|call| call.has_no_record()) {
        // The id of a phone's call is no number, whatever its digits.
        if uuid::Uuid::parse_str(&call.call_id).is_err() {
            call.call_id = mask_numbers_in(&call.call_id);
        }
    }
}

/// Whether Cordboard writes events of this type itself.
fn is_ours(event_type: &str) -> bool {
    OURS.contains(&event_type)
}

/// The events that the principal sees, by call; the call with the newest event first. `events` are
/// in the order of their instants.
pub(super) fn by_call(principal: &Principal, events: &[LoggedEvent]) -> Vec<CallEvents> {
    let mut calls: Vec<CallEvents> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    // The record of each call: only the last one counts, and each takes time to read.
    let mut records: HashMap<usize, &str> = HashMap::new();

    for event in events {
        if !sees_site(principal, Some(&*event.log).filter(|log| *log != PENDING)) {
            continue;
        }

        let place = *places.entry(&event.call_id).or_insert_with(|| {
            calls.push(CallEvents {
                call_id: event.call_id.clone(),
                site: None,
                in_progress: true,
                call: None,
                events: Vec::new(),
            });
            calls.len() - 1
        });
        let call = &mut calls[place];
        if event.log != PENDING {
            call.site = Some(event.log.clone());
        }
        if is_ours(&event.event_type) {
            records.insert(place, &event.data);
        }
        call.events.push(EventJson {
            event_type: event.event_type.clone(),
            timestamp: instant::text(event.at),
            data: program_data(principal, event),
        });
    }
    for (place, record) in records {
        let Some(record) = seen_record(principal, record) else {
            continue;
        };
        let call = &mut calls[place];
        call.in_progress = record["ended_at"].is_null();
        call.call = Some(record);
    }

    // Instants of one form have the order of their texts.
    calls.sort_by(|one, other| last(other).cmp(last(one)));
    calls
}

fn last(call: &CallEvents) -> &str {
    let last = call.events.last();

    last.map_or("", |event| event.timestamp.as_str())
}

fn seen_record(principal: &Principal, record: &str) -> Option<Value> {
    let record = visible_record(principal, record)?;

    serde_json::from_str(&record).ok()
}

/// The data of another program's event, for those who see all numbers.
fn program_data(principal: &Principal, event: &LoggedEvent) -> Option<Value> {
    let is_shown = !is_ours(&event.event_type) && principal.sees_all_numbers();

    is_shown
        .then(|| serde_json::from_str(&event.data).ok())
        .flatten()
}

/// The events that a record tells of, where no log is kept.
pub(super) fn events_of(record: &str) -> Vec<LoggedEvent> {
    let Ok(call) = serde_json::from_str::<Value>(record) else {
        return Vec::new();
    };
    let event = |event_type: &str, at: &Value| {
        let at = instant::parse(at.as_str()?).ok()?;
        Some(LoggedEvent {
            event_type: event_type.to_owned(),
            call_id: call["id"].as_str()?.to_owned(),
            log: call["site"].as_str()?.to_owned(),
            at,
            data: record.into(),
        })
    };
    let missed = call["outcome"] == "missed";
    let is_over = !matches!(
        call["transfer"]["state"].as_str(),
        Some("initiated" | "ringing" | "answered")
    );

    let events = [
        event("call_started", &call["started_at"]),
        event("call_answered", &call["answered_at"]),
        event("transfer_initiated", &call["transfer"]["initiated_at"]),
        event("transfer_completed", &call["transfer"]["decided_at"]).filter(|_| is_over),
        event("call_ended", &call["ended_at"]),
        event("call_missed", &call["ended_at"]).filter(|_| missed),
    ];
    events.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::time::At;

    fn event(event_type: &str, call: &str, log: &str, at: i64, data: &Value) -> LoggedEvent {
        LoggedEvent {
            event_type: event_type.to_owned(),
            call_id: call.to_owned(),
            log: log.to_owned(),
            at: At(at),
            data: data.to_string().as_str().into(),
        }
    }

    #[test]
    fn events_are_grouped_by_call_and_the_newest_call_is_first() {
        let open = json!({ "id": "a", "site": "berlin", "ended_at": null });
        let over = json!({ "id": "a", "site": "berlin", "ended_at": "2026-01-01T00:00:03Z" });
        let program = json!({ "intent": "order" });
        let events = [
            event("call_started", "a", "berlin", 1, &open),
            event("intent_detected", "b", PENDING, 2, &program),
            event("call_ended", "a", "berlin", 3, &over),
        ];

        let calls = serde_json::to_value(by_call(&Principal::open(), &events)).unwrap();

        assert_eq!(calls[0]["call_id"], "a");
        assert_eq!(calls[0]["in_progress"], false);
        assert_eq!(calls[0]["call"], over);
        assert_eq!(calls[0]["events"][0]["event_type"], "call_started");
        assert_eq!(calls[1]["site"], Value::Null);
        assert_eq!(calls[1]["in_progress"], true);
        assert_eq!(calls[1]["events"][0]["data"], program);
    }

    #[test]
    fn a_record_tells_of_its_events() {
        let record = json!({
            "id": "a",
            "site": "berlin",
            "started_at": "2026-01-01T00:00:00Z",
            "answered_at": null,
            "ended_at": "2026-01-01T00:00:09Z",
            "outcome": "missed",
            "transfer": null,
        });

        let events = events_of(&record.to_string());

        let types: Vec<&str> = events.iter().map(|event| &*event.event_type).collect();
        assert_eq!(types, ["call_started", "call_ended", "call_missed"]);
    }
}
