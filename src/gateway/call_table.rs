//! The call log as CSV: all calls of a filter, page by page, up to a limit.

use axum::response::Response;
use serde_json::Value;

use super::Gateway;
use super::csv::Table;
use super::parameters::LIMIT_MAX;
use super::response::{no_right, unavailable_response};
use super::visible::visible_record;
use crate::access::{Principal, Right};
use crate::port::query::CallFilter;

/// Calls of one file.
const CALLS_MAX: usize = 10_000;
/// Columns, and the place of each in a record.
const COLUMNS: [(&str, &str); 17] = [
    ("id", "/id"),
    ("site", "/site"),
    ("started_at", "/started_at"),
    ("answered_at", "/answered_at"),
    ("ended_at", "/ended_at"),
    ("direction", "/direction"),
    ("status", "/status"),
    ("outcome", "/outcome"),
    ("from_number", "/from/number"),
    ("from_name", "/from/name"),
    ("to_number", "/to/number"),
    ("requested", "/requested/number"),
    ("answered_by", "/answered_by/extension"),
    ("ring_seconds", "/ring_seconds"),
    ("talk_seconds", "/talk_seconds"),
    ("total_seconds", "/total_seconds"),
    ("missed_extensions", "/missed_extensions"),
];

pub(super) async fn calls_csv(
    gateway: &Gateway,
    principal: &Principal,
    mut filter: CallFilter,
) -> Response {
    if !principal.may(Right::Export) {
        return no_right("this account cannot export calls");
    }

    filter.limit = LIMIT_MAX;
    let mut table = Table::new(&COLUMNS.map(|(name, _)| name));
    let mut rows = 0;
    loop {
        let calls = match gateway.query.calls(&filter).await {
            Ok(calls) => calls,
            Err(error) => return unavailable_response(&error),
        };
        for call in &calls {
            let Some(record) = visible_record(principal, &call.record) else {
                continue;
            };
            let record: Value = serde_json::from_str(&record).unwrap_or_default();
            table.row(COLUMNS.map(|(_, place)| cell(record.pointer(place))));
            rows += 1;
        }

        let is_last = calls.len() < LIMIT_MAX as usize || rows >= CALLS_MAX;
        match calls.last().filter(|_| !is_last) {
            Some(last) => filter.after = Some((last.started_at, last.id.clone())),
            None => break,
        }
    }
    gateway
        .access
        .audit(principal.name(), "calls_exported", filter.site.as_deref())
        .await;

    table.into_response("calls.csv")
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(texts)) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            texts.join(" ")
        }
        Some(other) => other.to_string(),
    }
}
