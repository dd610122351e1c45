//! The rules of sites over the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rules::{Goals, Rules, RulesDocument};
use crate::access::{Principal, Right};
use crate::domain::fact::DEFAULT_SITE;
use crate::domain::time::At;
use crate::gateway::Gateway;
use crate::gateway::parameters::{Segment, bad_body};
use crate::gateway::response::{document_response, error_response, no_right, unavailable_response};
use crate::gateway::visible::one_site_of;
use crate::port::error::LedgerError;
use crate::port::site_rules::StoredRules;

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(set, remove))
}

/// The goals in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Goals)]
struct GoalsJson {
    answer_goal_seconds: u32,
    desk_goal_minutes: u32,
    desk_escalation_minutes: u32,
}

impl GoalsJson {
    fn of(goals: Goals) -> GoalsJson {
        GoalsJson {
            answer_goal_seconds: goals.answer_seconds,
            desk_goal_minutes: goals.desk_minutes,
            desk_escalation_minutes: goals.escalation_minutes,
        }
    }
}

/// The rules of one site.
#[derive(Serialize, ToSchema)]
struct SiteInForce {
    site: String,
    in_force: GoalsJson,
    /// Whether the site takes calls at the moment.
    is_open: bool,
    /// The rules that people set for this site.
    rules: RulesDocument,
}

/// The rules of all sites.
#[derive(Serialize, ToSchema)]
struct SiteRulesList {
    sites: Vec<SiteInForce>,
    /// The goals of a site without rules: those of the settings.
    default: GoalsJson,
}

/// The goals and the opening hours of the sites of the principal.
#[utoipa::path(
    get,
    path = "/api/v1/site-rules",
    operation_id = "list_site_rules",
    tag = "Sites",
    responses((status = 200, description = "The rules.", body = SiteRulesList)),
)]
async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match of_sites(&gateway, &principal).await {
        Ok(sites) => {
            let default = GoalsJson::of(gateway.sites.defaults);
            document_response(StatusCode::OK, &SiteRulesList { sites, default })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The rules of the sites that have reported, and of those that have rules.
async fn of_sites(
    gateway: &Gateway,
    principal: &Principal,
) -> Result<Vec<SiteInForce>, LedgerError> {
    let reported = gateway.query.sites().await?.into_iter();
    let mut documents: BTreeMap<String, RulesDocument> = reported
        .chain([DEFAULT_SITE.to_owned()])
        .map(|site| (site, RulesDocument::default()))
        .collect();
    let stored = gateway.sites.stored.rules().await?;
    let book = gateway.sites.book(&stored);
    for stored in stored {
        documents.insert(stored.site, RulesDocument::stored(&stored.rules));
    }
    let now = gateway.clock.now();

    Ok(documents
        .into_iter()
        .filter(|(site, _)| principal.sites.contains(site))
        .map(|(site, rules)| in_force(book.of(&site), now, site, rules))
        .collect())
}

fn in_force(in_force: &Rules, now: At, site: String, rules: RulesDocument) -> SiteInForce {
    SiteInForce {
        site,
        in_force: GoalsJson::of(in_force.goals),
        is_open: in_force.hours.is_open(now),
        rules,
    }
}

/// Sets the rules of a site.
///
/// They take the place of the rules before, and count for missed calls that wait already. Needs the
/// right `directory`.
#[utoipa::path(
    put,
    path = "/api/v1/site-rules/{site}",
    operation_id = "set_site_rules",
    tag = "Sites",
    params(("site" = inline(Segment), Path, description = "The name of the site.")),
    request_body = RulesDocument,
    responses(
        (status = 200, description = "The rules in force.", body = SiteInForce),
        (status = 400, description = "`bad_body`: the body holds no such rules. `bad_parameter`: \
            no site can have the name."),
        (status = 403, description = "`no_right`: the account cannot set the rules of the site."),
    ),
)]
async fn set(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(site): Path<String>,
    body: Result<Json<RulesDocument>, JsonRejection>,
) -> Response {
    let site = match changed_site(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };
    let checked = body
        .map_err(|error| bad_body(&error, RulesDocument::FIELDS))
        .and_then(|Json(document)| {
            let rules = document.rules(gateway.sites.defaults)?;
            Ok((document, rules))
        });
    let (document, rules) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let now = gateway.clock.now();
    let stored = StoredRules {
        site: site.clone(),
        // Numbers and texts always serialize.
        rules: serde_json::to_string(&document).unwrap_or_default(),
        changed_by: principal.name().to_owned(),
        changed_at: now,
    };
    if let Err(error) = gateway.sites.stored.set_rules(&stored).await {
        return unavailable_response(&error);
    }
    audit(&gateway, &principal, "site_rules_set", &site).await;
    gateway.desk_bell.changed_here();

    document_response(StatusCode::OK, &in_force(&rules, now, site, document))
}

/// Removes the rules of a site: those of the settings are in force again.
///
/// Needs the right `directory`.
#[utoipa::path(
    delete,
    path = "/api/v1/site-rules/{site}",
    operation_id = "remove_site_rules",
    tag = "Sites",
    params(("site" = inline(Segment), Path, description = "The name of the site.")),
    responses(
        (status = 204, description = "The site has no rules."),
        (status = 400, description = "`bad_parameter`: no site can have the name."),
        (status = 403, description = "`no_right`: the account cannot set the rules of the site."),
        (status = 404, description = "`not_found`: the site has no rules of its own."),
    ),
)]
async fn remove(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(site): Path<String>,
) -> Response {
    let site = match changed_site(&principal, site) {
        Ok(site) => site,
        Err(response) => return *response,
    };

    match gateway.sites.stored.remove_rules(&site).await {
        Ok(true) => {
            audit(&gateway, &principal, "site_rules_removed", &site).await;
            gateway.desk_bell.changed_here();
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(false) => {
            let message = "this site has no rules of its own";
            error_response(StatusCode::NOT_FOUND, "not_found", message)
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The site whose rules the principal may change.
fn changed_site(principal: &Principal, site: String) -> Result<String, Box<Response>> {
    if !principal.may(Right::Directory) {
        return Err(Box::new(no_right("this account cannot set rules of sites")));
    }

    one_site_of(principal, Some(site))
}

async fn audit(gateway: &Gateway, principal: &Principal, action: &str, site: &str) {
    let access = &gateway.access;

    access.audit(principal.name(), action, Some(site)).await;
}
