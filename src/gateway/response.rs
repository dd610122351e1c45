//! Responses of the API: JSON, never cached; errors have a stable code and a message.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::chain::Chain;
use crate::port::ledger::LedgerError;

pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    (
        status,
        [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response()
}

pub(super) fn error_response(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "status": "error", "code": code, "message": message });
    json_response(status, body.to_string())
}

/// The response to a request with an unknown or impossible parameter.
pub(super) fn bad_parameter(message: &str) -> Response {
    error_response(StatusCode::BAD_REQUEST, "bad_parameter", message)
}

/// The response to a request whose query failed. The error itself is only logged.
pub(super) fn unavailable_response(error: &LedgerError) -> Response {
    tracing::warn!(error = %Chain(error), "query failed, answered with 503");

    error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the database did not answer",
    )
}
