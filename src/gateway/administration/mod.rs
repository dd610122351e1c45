//! Accounts, tokens and the audit log, for admins. An admin of some sites sees and changes only
//! what is limited to these sites.

mod tokens;
mod users;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Gateway;
use super::parameters::{LIMIT_MAX, Limit, Parameters, checked_limit, query};
use super::response::{bad_parameter, document_response, no_right, unavailable_response};
use crate::access::{ACCOUNT_NAMES, Principal, Right, Role, SiteScope, is_account_name};
use crate::wire::instant;
use crate::wire::names::schemas;

/// Names of accounts and tokens, as a pattern of the description.
const NAME: &str = "^[A-Za-z0-9._@+-]{1,64}$";
const NO_RIGHT: &str = "`no_right`: accounts, tokens and the audit log are for admins.";
const BAD_BODY: &str = "`bad_body`: the body is not such an object, or names a site that the \
                        account does not see.";

schemas! {
    AccountName = ObjectBuilder::new().schema_type(Type::String).pattern(Some(NAME)),
        "The name of an account or a token.";
}

pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change, users::remove))
        .routes(routes!(users::link))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit))
        .layer(middleware::from_fn(require_right))
}

async fn require_right(
    Extension(principal): Extension<Arc<Principal>>,
    request: Request,
    next: Next,
) -> Response {
    if principal.may(Right::Accounts) {
        next.run(request).await
    } else {
        no_right("accounts, tokens and the audit log are for admins")
    }
}

/// The query of the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditParameters {
    /// The length of the list; 200 if absent.
    #[param(inline, value_type = Option<Limit>)]
    limit: Option<u32>,
}

impl Parameters for AuditParameters {
    const NAMES: &'static str = "`limit`";
}

/// A line of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryJson {
    #[schema(format = DateTime)]
    at: String,
    /// The account or token; `-` where no account existed.
    who: String,
    action: String,
    object: Option<String>,
}

/// A list of lines of the audit log.
#[derive(Serialize, ToSchema)]
struct AuditList {
    entries: Vec<EntryJson>,
}

/// The latest lines of the audit log, the latest first.
///
/// They name no site, so they are for admins of all sites.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_audit_entries",
    tag = "Administration",
    params(AuditParameters),
    responses(
        (status = 200, description = "The lines.", body = AuditList),
        (status = 403, description = "`no_right`: the audit log is for admins of all sites."),
    ),
)]
async fn audit(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    parameters: Result<QueryString<AuditParameters>, QueryRejection>,
) -> Response {
    if principal.sites != SiteScope::All {
        return no_right("the audit log is for admins of all sites");
    }
    let limit =
        query(parameters).and_then(|AuditParameters { limit }| checked_limit(limit, LIMIT_MAX));
    let limit = match limit {
        Ok(limit) => limit,
        Err(message) => return bad_parameter(&message),
    };

    match gateway.access.accounts.audit_entries(limit).await {
        Ok(entries) => {
            let entries = entries
                .into_iter()
                .map(|entry| EntryJson {
                    at: instant::text(entry.at),
                    who: entry.who,
                    action: entry.action,
                    object: entry.object.as_deref().map(str::to_owned),
                })
                .collect();
            document_response(StatusCode::OK, &AuditList { entries })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Checks a new name, a role and a list of sites.
fn check_new(
    principal: &Principal,
    name: &str,
    role: &str,
    sites: &[String],
) -> Result<(Role, SiteScope), String> {
    if !is_account_name(name) {
        return Err(ACCOUNT_NAMES.to_owned());
    }

    Ok((role_of(role)?, scope_of(principal, sites)?))
}

fn role_of(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::name).join(", ");
        format!("`role` must be one of {names}")
    })
}

/// The sites of an account or token: those of the admin where none is named.
fn scope_of(principal: &Principal, names: &[String]) -> Result<SiteScope, String> {
    if names.is_empty() {
        return Ok(principal.sites.clone());
    }

    let sites = SiteScope::parse(names).map_err(|name| format!("{name:?} is no site name"))?;
    if principal.sites.covers(&sites) {
        Ok(sites)
    } else {
        Err("this account does not see all of the sites".to_owned())
    }
}

/// The names of the sites; `None` for all.
fn site_names(sites: &SiteScope) -> Option<Vec<String>> {
    let names = sites.names()?;

    Some(names.into_iter().map(str::to_owned).collect())
}
