//! What is written, as rows of JSON: `SQLite` takes a whole batch as one parameter and one
//! statement.

use serde_json::{Value, json};

use crate::adapter::sql;
use crate::domain::fact::CallId;
use crate::domain::record::CallRecord;
use crate::port::ledger::{CallUpdate, ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;
use crate::wire::call_json::{
    direction_name, outcome_name, participant_outcome_name, role_name, status_name,
};

pub(super) fn event(received: &ReceivedFact) -> Value {
    let fact = &received.fact;
    json!({
        "event_id": fact.id.to_string(),
        "site": fact.site.as_str(),
        "received_at": fact.at.0,
        "event": fact.kind.name(),
        "device": fact.device.to_string(),
        "extension": fact.local.as_ref().map(crate::domain::device::Extension::as_str),
        "remote": fact.remote.as_ref().map(crate::domain::number::Number::raw),
        "remote_e164": fact.remote.as_ref().and_then(|number| number.e164()),
        "call_ref": fact.call_ref.as_ref().map(crate::domain::fact::CallRef::as_str),
        "envelope": String::from_utf8_lossy(&received.message),
    })
}

pub(super) fn dead(dead: &RejectedMessage) -> Value {
    json!({ "digest": sql::digest(&dead.message), "reason": dead.reason, "message": sql::hex(&dead.message) })
}

pub(super) fn call(call: &CallUpdate) -> Value {
    let record = &call.record;
    json!({
        "call_id": record.id.to_string(),
        "site": record.site.as_str(),
        "direction": direction_name(record.direction),
        "status": status_name(record.status),
        "outcome": record.outcome.map(outcome_name),
        "from_number": record.from.number.as_deref(),
        "from_e164": record.from.e164.as_deref(),
        "to_number": record.to.number.as_deref(),
        "to_e164": record.to.e164.as_deref(),
        "answered_by": sql::answered_by(record),
        "started_at": record.started_at.0,
        "answered_at": record.answered_at.map(|at| at.0),
        "ended_at": record.ended_at.map(|at| at.0),
        "ring_us": record.ring.map(|span| span.0),
        "talk_us": record.talk.0,
        "total_us": record.total.map(|span| span.0),
        "is_final": i64::from(call.is_final),
        "record": call.json(),
    })
}

pub(super) fn participants(record: &CallRecord) -> Vec<Value> {
    let row = |(place, participant): (usize, &crate::domain::record::Participant)| {
        json!({
            "call_id": record.id.to_string(),
            "place": place,
            "extension": participant.extension.as_ref().map(crate::domain::device::Extension::as_str),
            "device": participant.device.to_string(),
            "role": role_name(participant.role),
            "rang_at": participant.rang_at.map(|at| at.0),
            "answered_at": participant.answered_at.map(|at| at.0),
            "left_at": participant.left_at.map(|at| at.0),
            "outcome": participant_outcome_name(participant.outcome),
        })
    };
    record.participants.iter().enumerate().map(row).collect()
}

pub(super) fn links(record: &CallRecord) -> Vec<Value> {
    let row = |link: &crate::domain::link::Link| {
        json!({
            "call_id": record.id.to_string(),
            "linked_call_id": link.call.to_string(),
            "kind": link.kind.name(),
            "confidence": link.confidence.name(),
            "reason": link.reason,
        })
    };
    record.links.iter().map(row).collect()
}

pub(super) fn missed(record: &CallRecord) -> Option<Value> {
    sql::is_missed(record).then(|| {
        json!({
            "call_id": record.id.to_string(),
            "site": record.site.as_str(),
            "from_number": record.from.number.as_deref(),
            "from_e164": record.from.e164.as_deref(),
            "extensions": sql::missed_extensions(record),
            "missed_at": sql::missed_at(record).0,
        })
    })
}

pub(super) fn news(news: &Notification) -> Value {
    json!({ "number": news.number, "kind": news.kind.name(), "call_id": news.call.to_string(), "data": news.data })
}

pub(super) fn ids(calls: &[CallId]) -> String {
    let texts: Vec<String> = calls.iter().map(ToString::to_string).collect();
    serde_json::to_string(&texts).unwrap_or_default()
}

pub(super) fn array(rows: &[Value]) -> String {
    serde_json::to_string(rows).unwrap_or_default()
}
