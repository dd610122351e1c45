//! Single entries of the directory, which are removed here; a line of the file stores or changes one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Gateway;
use super::parameters::{Segment, SiteParameters, query};
use super::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use super::visible::one_site_of;
use crate::access::{Principal, Right};
use crate::port::error::LedgerError;
use crate::port::live::CacheKey;

/// The entry that was removed.
#[derive(Serialize, ToSchema)]
struct RemovedEntry {
    /// Its number.
    removed: String,
}

/// Removes a person from the directory.
///
/// Accounts are not touched. Without `site` that of the site `default`. Needs the right `directory`.
#[utoipa::path(
    delete,
    path = "/api/v1/people/{extension}",
    operation_id = "remove_person",
    tag = "Directory",
    params(
        ("extension" = inline(Segment), Path, description = "The extension of the person."),
        SiteParameters,
    ),
    responses(
        (status = 200, description = "The person is removed.", body = RemovedEntry),
        (status = 403, description = "`no_right`: the account cannot change the directory."),
        (status = 404, description = "`not_found`: there is no such person."),
    ),
)]
pub(super) async fn remove_person(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(extension): Path<String>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    let site = match changed_site(&principal, parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    let removed = gateway.people.remove_person(&site, &extension).await;
    let keys = [
        CacheKey::Agent {
            site: &site,
            extension: &extension,
        },
        CacheKey::Agents { site: &site },
    ];

    respond(&gateway, &principal, &extension, removed, keys).await
}

/// Removes a helpline from the directory.
///
/// Without `site` that of the site `default`. Needs the right `directory`.
#[utoipa::path(
    delete,
    path = "/api/v1/helplines/{number}",
    operation_id = "remove_helpline",
    tag = "Directory",
    params(
        ("number" = inline(Segment), Path, description = "The number of the helpline."),
        SiteParameters,
    ),
    responses(
        (status = 200, description = "The helpline is removed.", body = RemovedEntry),
        (status = 403, description = "`no_right`: the account cannot change the directory."),
        (status = 404, description = "`not_found`: there is no such helpline."),
    ),
)]
pub(super) async fn remove_helpline(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(number): Path<String>,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Response {
    let site = match changed_site(&principal, parameters) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    let removed = gateway.people.remove_helpline(&site, &number).await;
    let keys = [
        CacheKey::Department {
            site: &site,
            number: &number,
        },
        CacheKey::Departments { site: &site },
    ];

    respond(&gateway, &principal, &number, removed, keys).await
}

/// The site whose directory the principal changes.
fn changed_site(
    principal: &Principal,
    parameters: Result<QueryString<SiteParameters>, QueryRejection>,
) -> Result<String, Box<Response>> {
    if !principal.may(Right::Directory) {
        return Err(Box::new(no_right(
            "this account cannot change the directory",
        )));
    }
    let SiteParameters { site } =
        query(parameters).map_err(|message| Box::new(bad_parameter(&message)))?;

    one_site_of(principal, site)
}

async fn respond(
    gateway: &Gateway,
    principal: &Principal,
    number: &str,
    removed: Result<bool, LedgerError>,
    keys: [CacheKey<'_>; 2],
) -> Response {
    match removed {
        Ok(true) => {
            gateway.popups.directory_changed();
            gateway.forget_lookups(&keys).await;
            gateway
                .access
                .audit(principal.name(), "directory_entry_removed", Some(number))
                .await;
            let removed = number.to_owned();
            document_response(StatusCode::OK, &RemovedEntry { removed })
        }
        Ok(false) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "the directory has no such entry",
        ),
        Err(error) => unavailable_response(&error),
    }
}
