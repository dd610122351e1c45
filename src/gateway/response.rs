//! Responses of the API: JSON, which is not to be stored unless it gets a tag (`etag`); errors are problem documents (RFC 9457) with a stable
//! code.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::chain::Chain;
use crate::port::ledger::LedgerError;

/// The content type of errors.
pub(super) const PROBLEM: &str = "application/problem+json";

pub(super) fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    response(status, "application/json", body)
}

/// The response with a document.
pub(super) fn document_response(status: StatusCode, document: &impl Serialize) -> Response {
    // Texts, numbers and lists of them always serialize.
    json_response(status, serde_json::to_string(document).unwrap_or_default())
}

/// An error, as RFC 9457 describes it.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// Always `about:blank`.
    r#type: &'static str,
    /// The reason phrase of the status.
    title: &'static str,
    status: u16,
    /// A name of the error that does not change.
    code: &'a str,
    /// For people.
    detail: &'a str,
}

impl<'a> Problem<'a> {
    fn of(status: StatusCode, code: &'a str, detail: &'a str) -> Problem<'a> {
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
        }
    }
}

/// An error with members of its own.
#[derive(Serialize)]
struct ExtendedProblem<'a> {
    #[serde(flatten)]
    problem: Problem<'a>,
    #[serde(flatten)]
    more: BTreeMap<&'a str, &'a str>,
}

pub(super) fn error_response(status: StatusCode, code: &str, detail: &str) -> Response {
    problem_response(status, &Problem::of(status, code, detail))
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (
        status,
        [
            (CONTENT_TYPE, content_type),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        body.into(),
    )
        .into_response()
}

/// An error with one further member.
pub(super) fn error_response_with(
    status: StatusCode,
    code: &str,
    detail: &str,
    member: (&str, &str),
) -> Response {
    let problem = ExtendedProblem {
        problem: Problem::of(status, code, detail),
        more: BTreeMap::from([member]),
    };

    problem_response(status, &problem)
}

fn problem_response(status: StatusCode, problem: &impl Serialize) -> Response {
    // Texts and numbers always serialize.
    let body = serde_json::to_string(problem).unwrap_or_default();

    response(status, PROBLEM, body)
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
