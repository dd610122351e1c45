//! The caller of a call over the API, and the note about him.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::{Caller, CallerJson};
use super::{file, list, names};
use crate::access::{Principal, Right, mask_numbers_in};
use crate::gateway::Gateway;
use crate::gateway::parameters::{Segment, bad_body};
use crate::gateway::response::{document_response, error_response, no_right, unavailable_response};
use crate::gateway::visible::shows_numbers;
use crate::port::contacts::CallerNote;
use crate::port::error::LedgerError;

const NOTE_CHARS_MAX: usize = 1_000;
/// The schema of [`NewNote`] repeats the limit, because its attributes take literals only.
const _: () = assert!(NOTE_CHARS_MAX == 1_000);

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(caller))
        .routes(routes!(set_note))
        .routes(routes!(list::contacts, file::import))
        .routes(routes!(list::remove))
        .routes(routes!(names::names))
}

/// The caller of a call.
///
/// His contacts, the note about him, his earlier calls: of an outbound call those of the party that
/// was called. All is empty where the number is withheld. Who sees masked numbers gets no addresses,
/// and numbers in the note are masked.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/caller",
    operation_id = "get_caller",
    tag = "Contacts",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    responses(
        (status = 200, description = "The caller.", body = CallerJson),
        (status = 404, description = "`not_found`: there is no such call."),
    ),
)]
async fn caller(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let record = match visible_call(&gateway, &principal, &id).await {
        Ok(record) => record,
        Err(response) => return *response,
    };
    let mut known = CallerJson::default();
    if let Some(caller) = Caller::of(&gateway, &record) {
        known = gateway.caller(&caller, &id).await;
        if !known.has_contacts()
            && let Some(look_up) = gateway.look_up_for(&caller)
        {
            let contacts = look_up.contacts(&caller).await;
            known.set_contacts(&gateway, &caller, contacts);
        }
    }

    if !shows_numbers(&principal, &record) {
        known.mask();
    }
    document_response(StatusCode::OK, &known)
}

/// A note about a caller.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCallerNote)]
struct NewNote {
    /// Empty to remove the note.
    #[schema(max_length = 1000, pattern = r"^[^\u0000]*$")]
    note: String,
}

/// Stores a note about the caller of a call.
///
/// It replaces the note before, and is shown with every call of the number at the site. Needs the
/// right `desk`.
#[utoipa::path(
    put,
    path = "/api/v1/calls/{id}/caller/note",
    operation_id = "set_caller_note",
    tag = "Contacts",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    request_body = NewNote,
    responses(
        (status = 200, description = "The caller.", body = CallerJson),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 403, description = "`no_right`: the account writes no notes, or the note holds a \
            number that is masked for it."),
        (status = 404, description = "`not_found`: there is no such call."),
        (status = 409, description = "`no_number`: the number of the call is withheld."),
    ),
)]
async fn set_note(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    body: Result<Json<NewNote>, JsonRejection>,
) -> Response {
    if !principal.may(Right::Desk) {
        return no_right("this account writes no notes");
    }
    let text = match body {
        Ok(Json(NewNote { note })) => note.trim().to_owned(),
        Err(error) => {
            let message = bad_body(&error, "`note`");
            return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
        }
    };
    if text.chars().count() > NOTE_CHARS_MAX || text.contains('\0') {
        let message = format!("`note` must have at most {NOTE_CHARS_MAX} characters");
        return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
    }
    let record = match visible_call(&gateway, &principal, &id).await {
        Ok(record) => record,
        Err(response) => return *response,
    };
    let Some(caller) = Caller::of(&gateway, &record) else {
        return error_response(
            StatusCode::CONFLICT,
            "no_number",
            "the number of this call is withheld",
        );
    };

    let is_masked = !shows_numbers(&principal, &record);
    let stored = async {
        let before = gateway
            .callers
            .contacts
            .note_of(&caller.site, &caller.number)
            .await?;
        let is_hidden = |note: CallerNote| mask_numbers_in(&note.text) != *note.text;
        if is_masked && before.is_some_and(is_hidden) {
            return Ok(false);
        }
        write_note(&gateway, &principal, &caller, &text).await?;
        Ok(true)
    };
    match stored.await {
        Ok(true) => {
            let mut known = gateway.caller(&caller, &id).await;
            if is_masked {
                known.mask();
            }
            document_response(StatusCode::OK, &known)
        }
        Ok(false) => no_right("the note holds a number that this account sees masked"),
        Err(error) => unavailable_response(&error),
    }
}

async fn write_note(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    text: &str,
) -> Result<(), LedgerError> {
    let note = CallerNote {
        text: text.into(),
        written_by: principal.name().to_owned(),
        written_at: gateway.clock.now(),
    };
    let note = (!text.is_empty()).then_some(&note);

    let contacts = &gateway.callers.contacts;
    contacts.set_note(&caller.site, &caller.number, note).await
}

/// The record of a call that the principal sees, with all of its numbers, or what to respond.
async fn visible_call(
    gateway: &Gateway,
    principal: &Principal,
    id: &str,
) -> Result<Value, Box<Response>> {
    let seen = gateway.seen_call(principal, id).await;
    let record = seen.map_err(|error| Box::new(unavailable_response(&error)))?;

    record.ok_or_else(|| {
        Box::new(error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such call",
        ))
    })
}
