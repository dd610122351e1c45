//! The call-state API, `/api/v1/call-states`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Json, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Gateway;
use super::super::parameters::{Parameters, bad_body, checked_limit, query};
use super::super::response::{
    bad_parameter, error_response, json_response, no_right, unavailable_response,
};
use super::call_states::state_json;
use super::registration::{Change, Registration};
use crate::access::{Principal, Right, SiteScope};
use crate::port::states::{CallState, StateError};

pub(in crate::gateway) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/", routing::post(register).get(find))
        .route("/recover", routing::post(recover))
        .route("/{id}", routing::get(by_id).patch(update))
        .route("/{id}/end", routing::post(end))
        .route("/{id}/session", routing::get(session))
        .layer(middleware::from_fn(require_states))
}

/// Lets programs and admins of all sites pass: a state is looked up by ids that name no site.
async fn require_states(
    Extension(principal): Extension<Arc<Principal>>,
    request: Request,
    next: Next,
) -> Response {
    if !principal.may(Right::States) || principal.sites != SiteScope::All {
        return no_right("call states are for integrators and admins of all sites");
    }
    // A state holds numbers, and the metadata of other programs.
    if !principal.sees_all_numbers() {
        return no_right("call states show numbers: ask for them with POST /api/v1/me/reveal");
    }

    next.run(request).await
}

async fn register(
    State(gateway): State<Gateway>,
    body: Result<Json<Registration>, JsonRejection>,
) -> Response {
    let state = body
        .map_err(|error| bad_body(&error, Registration::FIELDS))
        .and_then(|Json(body)| body.into_state(gateway.states.clock.now()));

    match state {
        Ok(state) => state_response(
            StatusCode::CREATED,
            gateway.states.register_call(state).await,
        ),
        Err(message) => error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    }
}

async fn update(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let change = body
        .map_err(|error| bad_body(&error, Change::FIELDS))
        .and_then(|Json(change)| change.validate());

    match change {
        Ok((status, metadata)) => {
            let result = gateway
                .states
                .update_call_status(&id, &status, metadata)
                .await;
            state_response(StatusCode::OK, result)
        }
        Err(message) => error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    }
}

async fn end(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    state_response(StatusCode::OK, gateway.states.end_call(&id).await)
}

async fn by_id(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    optional_response(gateway.states.get_call_by_id(&id).await)
}

async fn session(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let session = gateway.states.get_session_for_call(&id).await;

    optional_response(session.map(|session| session.map(|id| json!({ "session_id": id }))))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FindParameters {
    session: Option<String>,
    limit: Option<u32>,
}

impl Parameters for FindParameters {
    const NAMES: &'static str = "`session` and `limit`";
}

async fn find(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<FindParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|FindParameters { session, limit }| {
        Ok((session, checked_limit(limit, u32::MAX)?))
    });
    let (session, limit) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    if let Some(session) = session {
        return optional_response(gateway.states.get_call_for_session(&session).await);
    }

    match gateway.states.get_active_calls().await {
        Ok(active) => {
            let limited = active.iter().take(limit as usize);
            let calls: Vec<Value> = limited.map(state_json).collect();
            json_response(StatusCode::OK, json!({ "calls": calls }).to_string())
        }
        Err(error) => state_error_response(&error),
    }
}

async fn recover(State(gateway): State<Gateway>) -> Response {
    match gateway.states.recover_active_calls().await {
        Ok((closed, active)) => {
            let calls: Vec<Value> = active.iter().map(state_json).collect();
            json_response(
                StatusCode::OK,
                json!({ "closed": closed, "calls": calls }).to_string(),
            )
        }
        Err(error) => state_error_response(&error),
    }
}

fn state_response(status: StatusCode, result: Result<CallState, StateError>) -> Response {
    match result {
        Ok(state) => json_response(status, state_json(&state).to_string()),
        Err(error) => state_error_response(&error),
    }
}

fn optional_response(result: Result<Option<Value>, StateError>) -> Response {
    match result {
        Ok(Some(value)) => json_response(StatusCode::OK, value.to_string()),
        Ok(None) => state_error_response(&StateError::NotFound),
        Err(error) => state_error_response(&error),
    }
}

fn state_error_response(error: &StateError) -> Response {
    let (status, code) = match error {
        StateError::Ledger(error) => return unavailable_response(error),
        StateError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        StateError::OwnedByPhones => (StatusCode::CONFLICT, "not_yours"),
        StateError::Ended => (StatusCode::CONFLICT, "over"),
    };

    error_response(status, code, &error.to_string())
}
