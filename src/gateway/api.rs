//! Questions about calls. Answers are the stored records, untouched.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use serde_json::{Value, json};

use super::Gateway;
use super::query_text::{CallsQuestion, StatsQuestion, cursor, read_instant};
use crate::domain::time::{At, Span};
use crate::port::ledger::LedgerError;
use crate::port::query::{CallFilter, HourStats, MissedCall, StoredCall};
use crate::wire::call_json::seconds;
use crate::wire::instant;

const LIVE_CALLS_MAX: u32 = 1_000;
const MISSED_MAX: u32 = 200;

pub(super) async fn calls(
    State(gateway): State<Gateway>,
    question: Result<Parameters<CallsQuestion>, QueryRejection>,
) -> Response {
    let filter = match question
        .map_err(|error| error.body_text())
        .and_then(|Parameters(question)| question.filter())
    {
        Ok(filter) => filter,
        Err(message) => return problem(StatusCode::BAD_REQUEST, "bad_parameter", &message),
    };
    let limit = filter.limit as usize;
    answer(gateway.query.calls(&filter).await, |calls| {
        page(&calls, limit)
    })
}

pub(super) async fn live(State(gateway): State<Gateway>) -> Response {
    if let Some(records) = gateway.live().await {
        return text(
            StatusCode::OK,
            format!("{{\"calls\":[{}],\"next_cursor\":null}}", records.join(",")),
        );
    }
    let filter = CallFilter {
        live: true,
        limit: LIVE_CALLS_MAX,
        ..CallFilter::default()
    };
    answer(gateway.query.calls(&filter).await, |calls| {
        page(&calls, usize::MAX)
    })
}

pub(super) async fn call(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let shown = match &gateway.directory {
        Some(directory) => directory.call(&id).await,
        None => None,
    };
    if let Some(record) = shown {
        return text(StatusCode::OK, record);
    }
    match gateway.query.call(&id).await {
        Ok(Some(record)) => text(StatusCode::OK, record),
        Ok(None) => problem(StatusCode::NOT_FOUND, "not_found", "there is no such call"),
        Err(error) => unavailable(&error),
    }
}

pub(super) async fn missed(State(gateway): State<Gateway>) -> Response {
    answer(gateway.query.missed(MISSED_MAX).await, |missed| {
        json!({ "missed": missed.iter().map(missed_json).collect::<Vec<_>>() }).to_string()
    })
}

pub(super) async fn stats(
    State(gateway): State<Gateway>,
    question: Result<Parameters<StatsQuestion>, QueryRejection>,
) -> Response {
    let read = question
        .map_err(|error| error.body_text())
        .and_then(|Parameters(question)| {
            let since = read_instant("since", question.since.as_deref())?.unwrap_or(i64::MIN);
            let until = read_instant("until", question.until.as_deref())?.unwrap_or(i64::MAX);
            Ok((since, until))
        });
    match read {
        Ok((since, until)) => answer(gateway.query.stats(since, until).await, |stats| {
            json!({ "stats": stats.iter().map(stats_json).collect::<Vec<_>>() }).to_string()
        }),
        Err(message) => problem(StatusCode::BAD_REQUEST, "bad_parameter", &message),
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

/// The records of one page, and where the next one begins.
fn page(calls: &[StoredCall], limit: usize) -> String {
    let records: Vec<&str> = calls.iter().map(|call| call.record.as_str()).collect();
    let next = calls
        .last()
        .filter(|_| calls.len() >= limit)
        .map(|last| cursor(last.started_at, &last.id));
    format!(
        "{{\"calls\":[{}],\"next_cursor\":{}}}",
        records.join(","),
        json!(next)
    )
}

fn answer<T>(found: Result<T, LedgerError>, write: impl FnOnce(T) -> String) -> Response {
    match found {
        Ok(found) => text(StatusCode::OK, write(found)),
        Err(error) => unavailable(&error),
    }
}

pub(super) fn unavailable(error: &LedgerError) -> Response {
    tracing::warn!(%error, "a question could not be answered");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the database did not answer",
    )
}

pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    text(
        status,
        json!({ "status": "error", "code": code, "message": message }).to_string(),
    )
}

pub(super) fn text(status: StatusCode, body: String) -> Response {
    (
        status,
        [
            (CONTENT_TYPE, "application/json"),
            (axum::http::header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}
