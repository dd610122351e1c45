//! Rows of a batch as JSON objects, whose fields have the names of the columns. `SQLite` takes an
//! array of them as one parameter of one statement.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::adapter::sql;
use crate::adapter::sql::devices::{DeviceRow, Mode};
use crate::domain::device::{Device, Extension};
use crate::domain::fact::{CallId, CallRef, Site};
use crate::domain::link::Link;
use crate::domain::number::Number;
use crate::domain::record::{CallRecord, Participant};
use crate::port::ledger::{CallUpdate, ReceivedFact, RejectedMessage};
use crate::port::outbox::Notification;
use crate::wire::call_json::{
    direction_name, outcome_name, participant_outcome_name, role_name, status_name,
};

pub(super) fn call_event(received: &ReceivedFact) -> Value {
    let fact = &received.fact;

    json!({
        "event_id": fact.id.to_string(),
        "site": fact.site.as_str(),
        "received_at": fact.at.0,
        "event": fact.kind.name(),
        "device": fact.device.to_string(),
        "extension": fact.local.as_ref().map(Extension::as_str),
        "remote": fact.remote.as_ref().map(Number::raw),
        "remote_e164": fact.remote.as_ref().and_then(|number| number.e164()),
        "call_ref": fact.call_ref.as_ref().map(CallRef::as_str),
        "envelope": String::from_utf8_lossy(&received.message),
    })
}

pub(super) fn device(((site, device), row): (&(Site, Device), &DeviceRow)) -> Value {
    json!({
        "site": site.as_str(),
        "device": device.to_string(),
        "last_seen": row.last_seen.0,
        "extension": row.extension.as_ref().map(Extension::as_str),
        "model": row.model.as_deref(),
        "firmware": row.firmware.as_deref(),
        "state": row.mode.map(Mode::name),
        "state_since": row.mode.map(|mode| mode.since.0),
    })
}

pub(super) fn dead_event(rejected: &RejectedMessage) -> Value {
    json!({
        "digest": sql::digest(&rejected.message),
        "reason": rejected.reason,
        "message": HEXLOWER.encode(&rejected.message),
    })
}

pub(super) fn call_log(call: &CallUpdate) -> Value {
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
    let row = |(index, participant): (usize, &Participant)| {
        json!({
            "call_id": record.id.to_string(),
            "place": index,
            "extension": participant.extension.as_ref().map(Extension::as_str),
            "device": participant.device.to_string(),
            "role": role_name(participant.role),
            "rang_at": participant.rang_at.map(|at| at.0),
            "answered_at": participant.answered_at.map(|at| at.0),
            "left_at": participant.left_at.map(|at| at.0),
            "outcome": participant_outcome_name(participant.outcome),
            "call_ref": participant.call_ref.as_ref().map(CallRef::as_str),
        })
    };

    record.participants.iter().enumerate().map(row).collect()
}

pub(super) fn links(record: &CallRecord) -> Vec<Value> {
    let row = |link: &Link| {
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

/// Returns the row of a call whose caller is to be called back, or `None` for any other call.
pub(super) fn missed_call(record: &CallRecord) -> Option<Value> {
    record.call_back_cause().map(|cause| {
        json!({
            "call_id": record.id.to_string(),
            "site": record.site.as_str(),
            "from_number": record.from.number.as_deref(),
            "from_e164": record.from.e164.as_deref(),
            "extensions": sql::missed_extensions(record),
            "missed_at": sql::missed_at(record).0,
            "cause": cause.name(),
        })
    })
}

/// Returns the minute whose statistics count a call.
pub(super) fn stats_minute(site: &str, started_us: i64) -> Value {
    json!({ "site": site, "minute": sql::minute_of(started_us) })
}

pub(super) fn notification(notification: &Notification) -> Value {
    json!({
        "number": notification.number,
        "kind": notification.kind.name(),
        "call_id": notification.call.to_string(),
        "data": &*notification.data,
    })
}

/// Encodes ids as a JSON array.
pub(super) fn id_array(ids: &[CallId]) -> String {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();

    serde_json::to_string(&texts).unwrap_or_default()
}

/// Encodes rows as a JSON array.
pub(super) fn json_array(rows: &[Value]) -> String {
    serde_json::to_string(rows).unwrap_or_default()
}
