//! Queries for calls, missed calls and statistics. A call record is returned as the stored text.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Gateway;
use super::parameters::{CallsParameters, ListParameters, StatsParameters, cursor, query};
use super::response::{bad_parameter, error_response, json_response, unavailable_response};
use crate::domain::time::{At, Span};
use crate::port::ledger::LedgerError;
use crate::port::query::{CallFilter, HourStats, MissedCall, StoredCall};
use crate::wire::call_json::seconds;
use crate::wire::instant;

const LIVE_CALLS_MAX: u32 = 1_000;
const MISSED_CALLS_MAX: u32 = 200;

pub(super) async fn calls(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<CallsParameters>, QueryRejection>,
) -> Response {
    let filter = match query(parameters).and_then(CallsParameters::into_filter) {
        Ok(filter) => filter,
        Err(message) => return bad_parameter(&message),
    };

    let limit = filter.limit as usize;
    query_response(gateway.query.calls(&filter).await, |calls| {
        calls_page(&calls, limit)
    })
}

pub(super) async fn live(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<ListParameters>, QueryRejection>,
) -> Response {
    let limit = match query(parameters).and_then(|list| list.limit_or(LIVE_CALLS_MAX)) {
        Ok(limit) => limit,
        Err(message) => return bad_parameter(&message),
    };

    // The live view has no order over all partitions.
    let is_whole = limit == LIVE_CALLS_MAX;
    if is_whole && let Some(records) = gateway.live_calls().await {
        return json_response(
            StatusCode::OK,
            format!("{{\"calls\":[{}],\"next_cursor\":null}}", records.join(",")),
        );
    }

    let filter = CallFilter {
        live: true,
        limit,
        ..CallFilter::default()
    };
    query_response(gateway.query.calls(&filter).await, |calls| {
        calls_page(&calls, usize::MAX)
    })
}

pub(super) async fn call(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let live_record = match &gateway.directory {
        Some(directory) => directory.call(&id).await,
        None => None,
    };
    if let Some(record) = live_record {
        return json_response(StatusCode::OK, record);
    }

    match gateway.query.call(&id).await {
        Ok(Some(record)) => json_response(StatusCode::OK, record),
        Ok(None) => error_response(StatusCode::NOT_FOUND, "not_found", "there is no such call"),
        Err(error) => unavailable_response(&error),
    }
}

pub(super) async fn missed(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<ListParameters>, QueryRejection>,
) -> Response {
    let limit = match query(parameters).and_then(|list| list.limit_or(MISSED_CALLS_MAX)) {
        Ok(limit) => limit,
        Err(message) => return bad_parameter(&message),
    };

    query_response(gateway.query.missed(limit).await, |missed| {
        json!({ "missed": missed.iter().map(missed_json).collect::<Vec<_>>() }).to_string()
    })
}

pub(super) async fn stats(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<StatsParameters>, QueryRejection>,
) -> Response {
    match query(parameters).and_then(StatsParameters::period) {
        Ok((since, until)) => query_response(gateway.query.stats(since, until).await, |stats| {
            json!({ "stats": stats.iter().map(stats_json).collect::<Vec<_>>() }).to_string()
        }),
        Err(message) => bad_parameter(&message),
    }
}

fn missed_json(missed: &MissedCall) -> Value {
    let extensions: Value = serde_json::from_str(&missed.extensions).unwrap_or_default();

    json!({
        "call_id": missed.call_id,
        "site": missed.site,
        "from": { "number": missed.number.as_deref(), "e164": missed.e164.as_deref() },
        "missed_extensions": extensions,
        "missed_at": instant::text(At(missed.missed_at)),
        "status": missed.desk_status,
        "assigned_to": missed.assigned_to,
    })
}

fn stats_json(stats: &HourStats) -> Value {
    json!({
        "site": stats.site,
        "hour": instant::text(At(stats.hour)),
        "direction": stats.direction,
        "calls": stats.calls,
        "answered": stats.answered,
        "missed": stats.missed,
        "ring_seconds": seconds(Span(stats.ring_us)),
        "talk_seconds": seconds(Span(stats.talk_us)),
    })
}

/// The records of one page, and the cursor of the next page if this one is full.
fn calls_page(calls: &[StoredCall], limit: usize) -> String {
    let records: Vec<&str> = calls.iter().map(|call| call.record.as_str()).collect();
    let next_cursor = calls
        .last()
        .filter(|_| calls.len() >= limit)
        .map(|last| cursor(last.started_at, &last.id));

    format!(
        "{{\"calls\":[{}],\"next_cursor\":{}}}",
        records.join(","),
        json!(next_cursor)
    )
}

fn query_response<T>(
    result: Result<T, LedgerError>,
    to_json: impl FnOnce(T) -> String,
) -> Response {
    match result {
        Ok(value) => json_response(StatusCode::OK, to_json(value)),
        Err(error) => unavailable_response(&error),
    }
}
