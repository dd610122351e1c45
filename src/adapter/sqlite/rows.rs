//! What is written, as rows of JSON: `SQLite` takes a whole batch as one parameter and one statement.

use serde_json::{Value, json};
use sha2::Digest;

use crate::domain::fact::{CallId, EventId};
use crate::domain::notice::NoticeKind;
use crate::domain::record::{CallRecord, Outcome};
use crate::port::fanout::News;
use crate::port::ledger::{Dead, LedgerError, Received};
use crate::wire::call_json::{CallJson, direction_name, outcome_name, status_name};

/// Statistics are kept by the minute of the call's beginning, and shown by the hour.
pub(super) const MINUTE_US: i64 = 60_000_000;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;

pub(super) fn event(received: &Received) -> Value {
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

pub(super) fn dead(dead: &Dead) -> Value {
    json!({ "digest": hex(&sha2::Sha256::digest(&dead.message)), "reason": dead.reason, "message": hex(&dead.message) })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

pub(super) fn call(record: &CallRecord, is_final: bool) -> Value {
    let text = serde_json::to_string(&CallJson::of(record)).unwrap_or_default();
    let owner = record.answered_by.as_ref();
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
        "answered_by": owner.map(|owner| owner.extension.as_ref().map_or_else(|| owner.device.to_string(), ToString::to_string)),
        "started_at": record.started_at.0,
        "answered_at": record.answered_at.map(|at| at.0),
        "ended_at": record.ended_at.map(|at| at.0),
        "ring_us": record.ring.map(|span| span.0),
        "talk_us": record.talk.0,
        "total_us": record.total.map(|span| span.0),
        "is_final": i64::from(is_final),
        "record": text,
    })
}

pub(super) fn participants(record: &CallRecord) -> Vec<Value> {
    let told = serde_json::to_value(CallJson::of(record)).unwrap_or_default();
    let shown = told["participants"].as_array().cloned().unwrap_or_default();
    let row = |(place, participant): (usize, &crate::domain::record::Participant)| {
        let names = shown.get(place).cloned().unwrap_or_default();
        json!({
            "call_id": record.id.to_string(),
            "place": place,
            "extension": participant.extension.as_ref().map(crate::domain::device::Extension::as_str),
            "device": participant.device.to_string(),
            "role": names["role"],
            "rang_at": participant.rang_at.map(|at| at.0),
            "answered_at": participant.answered_at.map(|at| at.0),
            "left_at": participant.left_at.map(|at| at.0),
            "outcome": names["outcome"],
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
    let missed = record.outcome == Some(Outcome::Missed);
    let extensions: Vec<&str> = record.missed_extensions.iter().map(crate::domain::device::Extension::as_str).collect();
    missed.then(|| {
        json!({
            "call_id": record.id.to_string(),
            "site": record.site.as_str(),
            "from_number": record.from.number.as_deref(),
            "from_e164": record.from.e164.as_deref(),
            "extensions": serde_json::to_string(&extensions).unwrap_or_default(),
            "missed_at": record.ended_at.map_or(record.started_at.0, |at| at.0),
        })
    })
}

pub(super) fn news(news: &News) -> Value {
    json!({ "number": news.number, "kind": news.kind.name(), "call_id": news.call.to_string(), "data": news.data })
}

pub(super) fn news_of((number, kind, call, data): (i64, String, String, String)) -> Result<News, LedgerError> {
    let unknown = || LedgerError::Corrupt(format!("{kind:?} is no kind of news"));
    Ok(News {
        number: number.cast_unsigned(),
        kind: NoticeKind::named(&kind).ok_or_else(unknown)?,
        call: call_id(&call)?,
        data: data.into(),
    })
}

pub(super) fn call_id(text: &str) -> Result<CallId, LedgerError> {
    EventId::parse(text).ok_or_else(|| LedgerError::Corrupt(format!("{text:?} is no call id")))
}

pub(super) fn ids(calls: &[CallId]) -> String {
    let texts: Vec<String> = calls.iter().map(ToString::to_string).collect();
    serde_json::to_string(&texts).unwrap_or_default()
}

pub(super) fn array(rows: &[Value]) -> String {
    serde_json::to_string(rows).unwrap_or_default()
}
