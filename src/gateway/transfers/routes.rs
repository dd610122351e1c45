//! The routes of transfers, `/api/v1/transfers`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Gateway;
use super::super::parameters::{Parameters, PlainText, Segment, bad_body, query};
use super::super::programs::{self, check_name};
use super::super::response::{
    bad_parameter, document_response, error_response, error_response_with, unavailable_response,
};
use super::super::states::state_error_response;
use super::awaited::{NotRegistered, context_of};
use crate::access::Principal;
use crate::domain::fact::Site;
use crate::domain::time::Span;
use crate::port::error::LedgerError;
use crate::port::transfers::RegisteredTransfer;
use crate::wire::instant;
use crate::wire::transfer::{TransferContext, TransferEvent};

/// A transfer that nothing decides has failed after this time, unless the program names another.
const SECONDS: u32 = 60;
const SECONDS_MAX: u32 = 3_600;
const WAIT_SECONDS_MAX: u32 = 60;
const OWN_FIELDS_BYTES_MAX: usize = 8 * 1024;
const INITIATED_AT: &str = "initiated_at";
const NO_TRANSFERS: &str = "`no_right`: transfers are for integrators and admins of all sites.";
const NO_TRANSFER: &str = "`not_found`: there is no such transfer.";

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(register, find))
        .routes(routes!(by_id))
        .routes(routes!(result))
        .routes(routes!(take_event))
        .layer(middleware::from_fn(require_states))
}

async fn require_states(
    Extension(principal): Extension<Arc<Principal>>,
    request: Request,
    next: Next,
) -> Response {
    programs::require_states("transfers", principal, request, next).await
}

/// A transfer that a program begins. Further fields come back with the context.
#[derive(Deserialize, ToSchema)]
struct NewTransfer {
    /// A new one if absent.
    transfer_id: Option<String>,
    /// The call that is transferred.
    original_call_sid: String,
    /// The leg to the target, if the program knows it.
    call_sid: Option<String>,
    /// The extension or number of the target.
    target_number: Option<String>,
    tool_uuid: Option<String>,
    conference_name: Option<String>,
    conference_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    workflow_run_id: Option<Value>,
    /// The time until it has failed; 60 if absent, 3,600 at most.
    timeout_seconds: Option<u32>,
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
}

/// A transfer.
#[derive(Serialize, ToSchema)]
struct TransferJson {
    /// `under_way`, `destination_answered` or `transfer_failed`.
    state: String,
    /// The context, as it was registered.
    #[schema(value_type = Object)]
    context: TransferContext,
    /// The event that decided it.
    #[schema(value_type = Option<Object>)]
    event: Option<TransferEvent>,
    /// The result, with every field.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
}

impl TransferJson {
    fn of(transfer: &RegisteredTransfer) -> TransferJson {
        let event: Option<TransferEvent> = transfer
            .result
            .as_deref()
            .and_then(|result| serde_json::from_str(result).ok());

        TransferJson {
            state: event
                .as_ref()
                .map_or("under_way", |event| event.kind.name())
                .to_owned(),
            context: context_of(transfer),
            result: event.as_ref().map(TransferEvent::to_result_dict),
            event,
        }
    }
}

/// Registers a transfer of a call.
///
/// The phones of the target, an event of another program, or time decides it. Of a call one transfer
/// is under way at most.
#[utoipa::path(
    post,
    path = "/api/v1/transfers",
    operation_id = "register_transfer",
    tag = "Transfers",
    request_body = NewTransfer,
    responses(
        (status = 201, description = "The transfer.", body = TransferJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = NO_TRANSFERS),
        (status = 409, description = "`under_way`: another transfer of the call is; `transfer_id` \
            of the answer names it. `id_in_use`: a transfer of another call has this id. \
            `too_many`: too many transfers are under way."),
    ),
)]
async fn register(
    State(gateway): State<Gateway>,
    body: Result<Json<NewTransfer>, JsonRejection>,
) -> Response {
    let checked = body
        .map_err(|error| {
            bad_body(
                &error,
                "`original_call_sid`, and optionally the other fields",
            )
        })
        .and_then(|Json(new)| {
            new.check_names()?;
            match new.timeout_seconds.unwrap_or(SECONDS) {
                seconds @ 1..=SECONDS_MAX => Ok((new, seconds)),
                _ => Err(format!(
                    "`timeout_seconds` must be between 1 and {SECONDS_MAX}"
                )),
            }
        });
    let (new, time_max) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };
    let site = match site_of(&gateway, &new.original_call_sid).await {
        Ok(site) => site,
        Err(response) => return *response,
    };

    let transfer = new.into_transfer(&gateway, site, time_max);
    match gateway.transfers.register(transfer).await {
        Ok(transfer) => document_response(StatusCode::CREATED, &TransferJson::of(&transfer)),
        Err(NotRegistered::UnderWay(id)) => under_way(&id),
        Err(NotRegistered::IdInUse) => error_response(
            StatusCode::CONFLICT,
            "id_in_use",
            "a transfer of another call has this `transfer_id`",
        ),
        Err(NotRegistered::TooMany) => error_response(
            StatusCode::CONFLICT,
            "too_many",
            "too many transfers are under way",
        ),
        Err(NotRegistered::Ledger(error)) => unavailable_response(&error),
    }
}

impl NewTransfer {
    fn check_names(&self) -> Result<(), String> {
        check_name("original_call_sid", &self.original_call_sid)?;
        for (field, text) in [
            ("transfer_id", &self.transfer_id),
            ("call_sid", &self.call_sid),
            ("target_number", &self.target_number),
            ("tool_uuid", &self.tool_uuid),
            ("conference_name", &self.conference_name),
            ("conference_id", &self.conference_id),
        ] {
            if let Some(text) = text {
                check_name(field, text)?;
            }
        }

        // Every gateway reads the contexts of all transfers that are under way.
        let run = self.workflow_run_id.as_ref().map_or(0, json_length);
        check_own_fields(run + length_of(&self.more))
    }

    fn into_transfer(
        mut self,
        gateway: &Gateway,
        site: String,
        time_max: u32,
    ) -> RegisteredTransfer {
        let now = gateway.clock.now();
        // A program may send back the context of another transfer; the instant is that of this one.
        self.more.remove(INITIATED_AT);
        let id = self
            .transfer_id
            .unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let context = TransferContext {
            transfer_id: id.clone(),
            call_sid: self.call_sid,
            target_number: self.target_number,
            tool_uuid: self.tool_uuid,
            original_call_sid: Some(self.original_call_sid.clone()),
            conference_name: self.conference_name,
            initiated_at: instant::seconds(now),
            workflow_run_id: self.workflow_run_id,
            conference_id: self.conference_id,
            more: self.more,
        };

        RegisteredTransfer {
            id,
            call_id: self.original_call_sid,
            site,
            context: context.to_json(),
            initiated_at: now,
            expires_at: now + Span::seconds(time_max.into()),
            facts_after: now,
            result: None,
        }
    }
}

/// The site of a call, as its keys name it; `default` of an unknown call.
async fn site_of(gateway: &Gateway, call: &str) -> Result<String, Box<Response>> {
    let state = gateway.states.get_call_by_id(call).await;
    let state = state.map_err(|error| Box::new(state_error_response(&error)))?;
    let site = state.and_then(|state| state["site"].as_str().map(ToOwned::to_owned));

    Ok(site.unwrap_or_else(|| Site::default().as_str().to_owned()))
}

fn json_length(value: &Value) -> usize {
    value.to_string().len()
}

fn length_of(fields: &Map<String, Value>) -> usize {
    let lengths = fields
        .iter()
        .map(|(name, value)| name.len() + json_length(value));

    lengths.sum()
}

fn check_own_fields(bytes: usize) -> Result<(), String> {
    if bytes > OWN_FIELDS_BYTES_MAX {
        return Err(format!(
            "fields of your own must have at most {OWN_FIELDS_BYTES_MAX} bytes together"
        ));
    }
    Ok(())
}

fn under_way(id: &str) -> Response {
    error_response_with(
        StatusCode::CONFLICT,
        "under_way",
        "another transfer of this call is under way: `transfer_id` names it",
        ("transfer_id", id),
    )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FindParameters {
    /// The call whose transfer is under way.
    #[param(inline, value_type = PlainText)]
    call: Option<String>,
}

impl Parameters for FindParameters {
    const NAMES: &'static str = "`call`";
}

/// The transfer of a call that is under way.
#[utoipa::path(
    get,
    path = "/api/v1/transfers",
    operation_id = "find_transfer",
    tag = "Transfers",
    params(FindParameters),
    responses(
        (status = 200, description = "The transfer.", body = TransferJson),
        (status = 403, description = NO_TRANSFERS),
        (status = 404, description = "`not_found`: no transfer of the call is under way."),
    ),
)]
async fn find(
    State(gateway): State<Gateway>,
    parameters: Result<QueryString<FindParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters)
        .and_then(|FindParameters { call }| call.ok_or_else(|| "`call` is missing".to_owned()));
    let call = match checked {
        Ok(call) => call,
        Err(message) => return bad_parameter(&message),
    };

    found_response(gateway.transfers.store.transfer_of_call(&call).await)
}

/// A transfer.
#[utoipa::path(
    get,
    path = "/api/v1/transfers/{id}",
    operation_id = "get_transfer",
    tag = "Transfers",
    params(("id" = inline(Segment), Path, description = "The id of the transfer.")),
    responses(
        (status = 200, description = "The transfer.", body = TransferJson),
        (status = 403, description = NO_TRANSFERS),
        (status = 404, description = NO_TRANSFER),
    ),
)]
async fn by_id(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    found_response(gateway.transfers.transfer(&id).await)
}

fn found_response(found: Result<Option<RegisteredTransfer>, LedgerError>) -> Response {
    match found {
        Ok(Some(transfer)) => document_response(StatusCode::OK, &TransferJson::of(&transfer)),
        Ok(None) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such transfer",
        ),
        Err(error) => unavailable_response(&error),
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WaitParameters {
    /// The time to wait for the result; 30 if absent, 60 at most.
    #[param(minimum = 0, maximum = 60)]
    seconds: Option<u32>,
}

impl Parameters for WaitParameters {
    const NAMES: &'static str = "`seconds`";
}

/// Waits for the result of a transfer.
///
/// At any gateway. The answer comes with the decision, or when the time has passed; `state` is
/// `under_way` then.
#[utoipa::path(
    get,
    path = "/api/v1/transfers/{id}/result",
    operation_id = "await_transfer",
    tag = "Transfers",
    params(("id" = inline(Segment), Path, description = "The id of the transfer."), WaitParameters),
    responses(
        (status = 200, description = "The transfer.", body = TransferJson),
        (status = 403, description = NO_TRANSFERS),
        (status = 404, description = NO_TRANSFER),
    ),
)]
async fn result(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    parameters: Result<QueryString<WaitParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|WaitParameters { seconds }| {
        match seconds.unwrap_or(WAIT_SECONDS_MAX / 2) {
            seconds @ 0..=WAIT_SECONDS_MAX => Ok(seconds),
            _ => Err(format!(
                "`seconds` must be between 0 and {WAIT_SECONDS_MAX}"
            )),
        }
    });
    match checked {
        Ok(seconds) => {
            let time_max = Duration::from_secs(seconds.into());
            found_response(gateway.transfers.wait(&id, time_max).await)
        }
        Err(message) => bad_parameter(&message),
    }
}

/// Takes an event of another program.
///
/// `destination_answered` and `transfer_failed` decide the transfer; others are passed on. Unknown
/// fields are kept.
#[utoipa::path(
    post,
    path = "/api/v1/transfers/{id}/events",
    operation_id = "report_transfer_event",
    tag = "Transfers",
    params(("id" = inline(Segment), Path, description = "The id of the transfer.")),
    request_body(content = Object, description = "The event, with its `type`."),
    responses(
        (status = 200, description = "The transfer.", body = TransferJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = NO_TRANSFERS),
        (status = 404, description = NO_TRANSFER),
        (status = 409, description = "`decided`: another event has decided the transfer."),
    ),
)]
async fn take_event(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Response {
    let event = body
        .map_err(|error| bad_body(&error, "`type`, and optionally the other fields"))
        .and_then(|Json(mut event)| {
            check_own_fields(length_of(&event))?;
            event.insert("transfer_id".to_owned(), id.clone().into());
            let now = instant::seconds(gateway.clock.now());
            event.entry("timestamp").or_insert_with(|| now.into());
            serde_json::from_value::<TransferEvent>(event.into()).map_err(|_| {
                "`type` is missing, or a field has another type than docs/transfers.md says"
                    .to_owned()
            })
        });
    let mut event = match event {
        Ok(event) => event,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let taken = async {
        let Some(transfer) = gateway.transfers.transfer(&id).await? else {
            return Ok(None);
        };
        event.complete(&context_of(&transfer));
        let is_taken =
            transfer.result.is_none() && gateway.transfers.take(&transfer, &event).await?;
        Ok(Some((is_taken, gateway.transfers.transfer(&id).await?)))
    };
    match taken.await {
        Ok(Some((true, found))) => found_response(Ok(found)),
        Ok(Some((false, _))) => error_response(
            StatusCode::CONFLICT,
            "decided",
            "another event has decided this transfer",
        ),
        Ok(None) => found_response(Ok(None)),
        Err(error) => unavailable_response(&error),
    }
}
