//! Responses of the API: JSON, never cached; errors are problem documents (RFC 9457) with a stable
//! code.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::chain::Chain;
use crate::port::ledger::LedgerError;

pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    response(status, "application/json", body)
}

/// A problem document: its title is the reason phrase of the status, its detail is for people.
pub(super) fn error_response(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });

    response(status, "application/problem+json", body.to_string())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response {
    (
        status,
        [
            (CONTENT_TYPE, content_type),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        body,
    )
        .into_response()
}

/// The response to a principal without the right to the request.
pub(super) fn no_right(detail: &str) -> Response {
    error_response(StatusCode::FORBIDDEN, "no_right", detail)
}

/// The response to a path that does not exist.
pub(super) async fn unknown_path() -> Response {
    error_response(StatusCode::NOT_FOUND, "not_found", "there is no such path")
}

/// The response to a method that a path does not have.
pub(super) async fn unknown_method() -> Response {
    error_response(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not have the method",
    )
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
