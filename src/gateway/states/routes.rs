//! The call-state API, `/api/v1/call-states`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Gateway;
use super::super::parameters::{
    Limit, Parameters, PlainText, Segment, bad_body, checked_limit, query,
};
use super::super::programs;
use super::super::response::{
    bad_parameter, document_response, error_response, unavailable_response,
};
use super::call_states::StateJson;
use super::registration::{Change, Registration};
use crate::access::Principal;
use crate::port::states::{CallState, StateError};

const NO_STATES: &str = "`no_right`: call states are for integrators and admins of all sites.";
const CONFLICT: &str = "`not_yours`: the state of a phone's call follows from its events. `over`: \
                        the call is over. `full`: the metadata of the call would have more than \
                        128 KiB.";

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(register, find))
        .routes(routes!(recover))
        .routes(routes!(by_id, update, unregister_call))
        .routes(routes!(unregister_session))
        .routes(routes!(end))
        .routes(routes!(session))
        .layer(middleware::from_fn(require_states))
}

async fn require_states(
    Extension(principal): Extension<Arc<Principal>>,
    request: Request,
    next: Next,
) -> Response {
    programs::require_states("call states", principal, request, next).await
}

/// Registers a call of another program.
///
/// A known call keeps its state, and only its session is set.
#[utoipa::path(
    post,
    path = "/api/v1/call-states",
    operation_id = "register_call",
    tag = "Call states",
    request_body = Registration,
    responses(
        (status = 201, description = "The state of the call.", body = StateJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = NO_STATES),
        (status = 409, description = "`full`: the metadata of the call would have more than 128 KiB."),
    ),
)]
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

/// Changes the state of a call.
///
/// The states `completed` and `failed` end it.
#[utoipa::path(
    patch,
    path = "/api/v1/call-states/{id}",
    operation_id = "change_call_state",
    tag = "Call states",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    request_body = Change,
    responses(
        (status = 200, description = "The state of the call.", body = StateJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: there is no such call."),
        (status = 409, description = CONFLICT),
    ),
)]
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

/// Ends a call.
///
/// A second end changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/call-states/{id}/end",
    operation_id = "end_call",
    tag = "Call states",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The state of the call.", body = StateJson),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: there is no such call."),
        (status = 409, description = CONFLICT),
    ),
)]
async fn end(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    state_response(StatusCode::OK, gateway.states.end_call(&id).await)
}

/// Parts a call from its session.
///
/// The call stays, for the history.
#[utoipa::path(
    delete,
    path = "/api/v1/call-states/{id}",
    operation_id = "unregister_call",
    tag = "Call states",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 204, description = "The call has no session any more."),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: there is no such call."),
    ),
)]
async fn unregister_call(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    empty_response(gateway.states.unregister_call(&id).await)
}

/// Parts a session from its calls.
#[utoipa::path(
    delete,
    path = "/api/v1/call-states/sessions/{session}",
    operation_id = "unregister_session",
    tag = "Call states",
    params(("session" = inline(Segment), Path, description = "The session.")),
    responses(
        (status = 204, description = "The session has no call any more."),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: the session has no call."),
    ),
)]
async fn unregister_session(
    State(gateway): State<Gateway>,
    Path(session): Path<String>,
) -> Response {
    empty_response(gateway.states.unregister_session(&session).await)
}

fn empty_response(result: Result<(), StateError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => state_error_response(&error),
    }
}

/// The state of one call.
#[utoipa::path(
    get,
    path = "/api/v1/call-states/{id}",
    operation_id = "get_call_state",
    tag = "Call states",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The state of the call.", body = StateJson),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: there is no such call."),
    ),
)]
async fn by_id(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    optional_response(gateway.states.get_call_by_id(&id).await)
}

/// The session of a call.
#[derive(Serialize, ToSchema)]
struct CallSession {
    session_id: String,
}

/// The session of one call.
#[utoipa::path(
    get,
    path = "/api/v1/call-states/{id}/session",
    operation_id = "get_call_session",
    tag = "Call states",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The session.", body = CallSession),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: there is no such call, or it has no session."),
    ),
)]
async fn session(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let session = gateway.states.get_session_for_call(&id).await;

    optional_response(session.map(|session| session.map(|session_id| CallSession { session_id })))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindParameters {
    /// The session whose last call is wanted, instead of a list.
    #[param(inline, value_type = Option<PlainText>)]
    session: Option<String>,
    /// The length of the list.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
}

impl Parameters for FindParameters {
    const NAMES: &'static str = "`session` and `limit`";
}

/// A list of call states.
#[derive(Serialize, ToSchema)]
struct StateList {
    calls: Vec<StateJson>,
}

/// Either answer of a search.
#[derive(ToSchema)]
#[schema(as = FoundStates)]
#[serde(untagged)]
#[expect(dead_code, reason = "a schema: each answer is sent as itself")]
enum Found {
    One(Box<StateJson>),
    List(StateList),
}

/// Calls that are going on, or the last call of a session.
#[utoipa::path(
    get,
    path = "/api/v1/call-states",
    operation_id = "find_call_states",
    tag = "Call states",
    params(FindParameters),
    responses(
        (status = 200, description = "The calls; with `session`, one call.", body = Found),
        (status = 403, description = NO_STATES),
        (status = 404, description = "`not_found`: the session has no call."),
    ),
)]
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

    match gateway.states.get_active_calls(limit).await {
        Ok(active) => {
            let calls = active.iter().map(StateJson::from).collect();
            document_response(StatusCode::OK, &StateList { calls })
        }
        Err(error) => state_error_response(&error),
    }
}

/// The calls that are going on after a recovery.
#[derive(Serialize, ToSchema)]
struct Recovered {
    /// The number of calls that were closed.
    closed: u64,
    calls: Vec<StateJson>,
}

/// Closes calls that were never ended, for a program that was restarted.
///
/// Calls older than 4 hours are closed.
#[utoipa::path(
    post,
    path = "/api/v1/call-states/recover",
    operation_id = "recover_call_states",
    tag = "Call states",
    responses(
        (status = 200, description = "The calls that are going on.", body = Recovered),
        (status = 403, description = NO_STATES),
    ),
)]
async fn recover(State(gateway): State<Gateway>) -> Response {
    match gateway.states.recover_active_calls().await {
        Ok((closed, active)) => {
            let calls = active.iter().map(StateJson::from).collect();
            document_response(StatusCode::OK, &Recovered { closed, calls })
        }
        Err(error) => state_error_response(&error),
    }
}

fn state_response(status: StatusCode, result: Result<CallState, StateError>) -> Response {
    match result {
        Ok(state) => document_response(status, &StateJson::from(&state)),
        Err(error) => state_error_response(&error),
    }
}

fn optional_response<T: Serialize>(result: Result<Option<T>, StateError>) -> Response {
    match result {
        Ok(Some(value)) => document_response(StatusCode::OK, &value),
        Ok(None) => state_error_response(&StateError::NotFound),
        Err(error) => state_error_response(&error),
    }
}

pub(in crate::gateway) fn state_error_response(error: &StateError) -> Response {
    let (status, code) = match error {
        StateError::Ledger(error) => return unavailable_response(error),
        StateError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        StateError::OwnedByPhones => (StatusCode::CONFLICT, "not_yours"),
        StateError::Ended => (StatusCode::CONFLICT, "over"),
        StateError::Full => (StatusCode::CONFLICT, "full"),
    };

    error_response(status, code, &error.to_string())
}
