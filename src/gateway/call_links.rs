//! Links of a call by hand: people know of connections that no phone reports, and of some that are
//! none.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Gateway;
use super::parameters::{Segment, bad_body};
use super::response::{error_response, no_right, unavailable_response};
use super::visible::visible_record;
use crate::access::{Principal, Right};
use crate::port::error::LedgerError;
use crate::port::links::LinkChange;

/// The kind of a link that a person made.
const BY_HAND: &str = "by_hand";

/// A call to link with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    /// The other call, at the same site.
    #[schema(format = "uuid")]
    call_id: String,
}

/// Links a call with another one.
///
/// Needs the right `desk`. Both calls belong to one site. A link that was removed comes back.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/links",
    operation_id = "link_call",
    tag = "Calls",
    params(("id" = inline(Segment), Path, description = "The id of the call.")),
    request_body = NewLink,
    responses(
        (status = 204, description = "The calls are linked."),
        (status = 400, description = "`bad_body`: the body is not such an object, or names the \
            call itself."),
        (status = 403, description = "`no_right`: the account cannot link calls."),
        (status = 404, description = "`not_found`: one of the calls does not exist."),
        (status = 409, description = "`too_many_links`: the links of a call are changed by hand \
            at most 100 times."),
    ),
)]
pub(super) async fn link(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    body: Result<Json<NewLink>, JsonRejection>,
) -> Response {
    let other = match body {
        Ok(Json(NewLink { call_id })) => call_id,
        Err(error) => {
            let message = bad_body(&error, "`call_id`");
            return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
        }
    };

    change(&gateway, &principal, &id, &other, false).await
}

/// Removes a link of a call.
///
/// Needs the right `desk`. The record goes on to hold what its facts say; the link is not shown any
/// more.
#[utoipa::path(
    delete,
    path = "/api/v1/calls/{id}/links/{linked}",
    operation_id = "unlink_call",
    tag = "Calls",
    params(
        ("id" = inline(Segment), Path, description = "The id of the call."),
        ("linked" = inline(Segment), Path, description = "The id of the call it is linked with."),
    ),
    responses(
        (status = 204, description = "The calls are not linked."),
        (status = 403, description = "`no_right`: the account cannot link calls."),
        (status = 404, description = "`not_found`: one of the calls does not exist."),
        (status = 409, description = "`too_many_links`: the links of a call are changed by hand \
            at most 100 times."),
    ),
)]
pub(super) async fn unlink(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path((id, linked)): Path<(String, String)>,
) -> Response {
    change(&gateway, &principal, &id, &linked, true).await
}

async fn change(
    gateway: &Gateway,
    principal: &Principal,
    id: &str,
    other: &str,
    is_removed: bool,
) -> Response {
    if !principal.may(Right::Desk) {
        return no_right("this account cannot link calls");
    }
    let changed = async {
        let (Some((id, site)), Some((other, other_site))) = (
            seen(gateway, principal, id).await?,
            seen(gateway, principal, other).await?,
        ) else {
            return Ok(not_found());
        };
        if site != other_site {
            return Ok(not_found());
        }
        if id == other {
            let message = "a call is not linked with itself";
            return Ok(error_response(StatusCode::BAD_REQUEST, "bad_body", message));
        }

        let change = LinkChange {
            call_id: id,
            linked_call_id: other,
            is_removed,
            changed_by: principal.name().to_owned(),
            changed_at: gateway.clock.now(),
        };
        Ok(if gateway.links.change_link(&change).await? {
            StatusCode::NO_CONTENT.into_response()
        } else {
            error_response(
                StatusCode::CONFLICT,
                "too_many_links",
                "the links of this call were changed too often",
            )
        })
    };

    changed
        .await
        .unwrap_or_else(|error: LedgerError| unavailable_response(&error))
}

/// The id and the site of a call that the principal sees.
async fn seen(
    gateway: &Gateway,
    principal: &Principal,
    id: &str,
) -> Result<Option<(String, Value)>, LedgerError> {
    let stored = gateway.query.call(id).await?;
    let visible = stored
        .as_deref()
        .and_then(|record| visible_record(principal, record));
    let record: Option<Value> = visible.and_then(|record| serde_json::from_str(&record).ok());

    Ok(record
        .and_then(|mut record| Some((record["id"].as_str()?.to_owned(), record["site"].take()))))
}

fn not_found() -> Response {
    error_response(StatusCode::NOT_FOUND, "not_found", "there is no such call")
}

impl Gateway {
    /// A record with the links that people made, and without those that they removed. Without the
    /// database it has those of its facts.
    pub(super) async fn with_links_by_hand(&self, id: &str, record: String) -> String {
        let changes = self.links.link_changes(id).await.unwrap_or_default();
        if changes.is_empty() {
            return record;
        }
        let Ok(mut document) = serde_json::from_str::<Value>(&record) else {
            return record;
        };
        let Some(links) = document["links"].as_array_mut() else {
            return record;
        };

        for change in changes {
            let is_of_change = |link: &Value| link["call_id"] == change.linked_call_id;
            if change.is_removed {
                links.retain(|link| !is_of_change(link));
            } else if !links.iter().any(is_of_change) {
                links.push(json!({
                    "kind": BY_HAND,
                    "call_id": change.linked_call_id,
                    "confidence": "high",
                    "reason": reason(&change.changed_by),
                }));
            }
        }
        document.to_string()
    }
}

/// Without accounts everybody is one person.
fn reason(name: &str) -> String {
    match name {
        "-" => "linked by hand".to_owned(),
        name => format!("linked by {name}"),
    }
}
