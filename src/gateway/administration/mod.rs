//! Accounts, tokens and the audit log, for admins. An admin of some sites sees and changes only
//! what is limited to these sites.

mod tokens;
mod users;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as QueryString, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Gateway;
use super::parameters::{LIMIT_MAX, Parameters, checked_limit, query};
use super::response::{bad_parameter, json_response, no_right, unavailable_response};
use crate::access::{ACCOUNT_NAMES, Principal, Right, Role, SiteScope, is_account_name};
use crate::wire::instant;

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/users", routing::get(users::list).post(users::add))
        .route(
            "/users/{name}",
            routing::patch(users::change).delete(users::remove),
        )
        .route("/users/{name}/link", routing::post(users::link))
        .route("/tokens", routing::get(tokens::list).post(tokens::create))
        .route("/tokens/{name}", routing::delete(tokens::revoke))
        .route("/audit", routing::get(audit))
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
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditParameters {
    limit: Option<u32>,
}

impl Parameters for AuditParameters {
    const NAMES: &'static str = "`limit`";
}

/// The latest lines of the audit log. They name no site, so they are for admins of all sites.
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
            let entries: Vec<Value> = entries
                .iter()
                .map(|entry| {
                    json!({
                        "at": instant::text(entry.at),
                        "who": entry.who,
                        "action": entry.action,
                        "object": entry.object.as_deref(),
                    })
                })
                .collect();
            json_response(StatusCode::OK, json!({ "entries": entries }).to_string())
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
