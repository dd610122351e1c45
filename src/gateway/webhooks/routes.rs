//! The routes of webhooks, `/api/v1/webhooks`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Gateway;
use super::super::parameters::{LIMIT_MAX, Segment, bad_body, checked_limit, query};
use super::super::response::{
    bad_parameter, document_response, error_response, no_right, unavailable_response,
};
use super::documents::{
    BAD_BODY, Change, CreatedWebhook, DeliveriesParameters, DeliveryJson, DeliveryList, NO_RIGHT,
    NO_WEBHOOK, NewWebhook, RemovedWebhook, RepeatedDelivery, WebhookJson, WebhookList,
    WebhookSecret, event_names,
};
use super::lookup::{audit, found};
use super::messages::sees;
use super::signature::new_secret;
use super::trial::{__path_test_webhook, test_webhook};
use crate::access::{Principal, Right, SiteScope};
use crate::domain::time::Span;
use crate::port::error::LedgerError;
use crate::port::webhooks::{Delivery, DeliveryState, Webhook};
use crate::wire::instant;

/// Every gateway reads all receivers each second. Those of more sites get all.
const SITES_MAX: usize = 1_000;
/// Receivers of one account, and of all.
const OWN_MAX: u32 = 20;
const ALL_MAX: u32 = 200;
/// The secret before the present one signs for this long.
const PREVIOUS_SIGNS: Span = Span::seconds(86_400);

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(change, remove))
        .routes(routes!(rotate))
        .routes(routes!(test_webhook))
        .routes(routes!(deliveries))
        .routes(routes!(repeat))
        .layer(middleware::from_fn(require_right))
}

async fn require_right(
    Extension(principal): Extension<Arc<Principal>>,
    request: Request,
    next: Next,
) -> Response {
    if !principal.may(Right::Webhooks) {
        return no_right("webhooks are for integrators and admins");
    }
    // A receiver gets all numbers.
    if request.method() != Method::GET && !principal.sees_all_numbers() {
        return no_right("receivers get numbers: ask for them with POST /api/v1/me/reveal");
    }

    next.run(request).await
}

/// The receivers.
///
/// Those of other sites are left out.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    operation_id = "list_webhooks",
    tag = "Webhooks",
    responses(
        (status = 200, description = "The receivers.", body = WebhookList),
        (status = 403, description = NO_RIGHT),
    ),
)]
async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.webhooks.store.webhooks().await {
        Ok(webhooks) => {
            let visible = webhooks
                .iter()
                .filter(|webhook| principal.sites.covers(&webhook.sites));
            let webhooks = visible.map(WebhookJson::from).collect();
            document_response(StatusCode::OK, &WebhookList { webhooks })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Adds a receiver.
///
/// It gets events from now on.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    operation_id = "create_webhook",
    tag = "Webhooks",
    request_body = NewWebhook,
    responses(
        (status = 201, description = "The receiver.", body = CreatedWebhook),
        (status = 400, description = BAD_BODY),
        (status = 403, description = NO_RIGHT),
        (status = 409, description = "`too_many`: there are too many receivers already."),
    ),
)]
async fn create(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<NewWebhook>, JsonRejection>,
) -> Response {
    let checked = body
        .map_err(|error| bad_body(&error, "`url`, and optionally `events` and `sites`"))
        .and_then(|Json(new)| {
            check_url(&gateway, &new.url)?;
            check_events(&new.events)?;
            Ok((scope_of(&principal, &new.sites)?, new))
        });
    let (sites, new) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let webhook = Webhook {
        id: uuid::Uuid::now_v7().to_string(),
        url: new.url,
        events: new.events,
        sites,
        secret: new_secret(),
        previous_secret: None,
        disabled: None,
        failing: None,
        created_at: gateway.clock.now(),
        created_by: principal.name().to_owned(),
        version: 0,
    };
    let stored = async {
        gateway.webhooks.clear_backlog().await?;
        let store = &gateway.webhooks.store;
        store.add_webhook(&webhook, OWN_MAX, ALL_MAX).await
    };
    match stored.await {
        Ok(true) => {
            let created = format!("{}: {}", webhook.id, host_of(&webhook.url));
            audit(&gateway, &principal, "webhook_created", &created).await;
            let created = CreatedWebhook {
                webhook: WebhookJson::from(&webhook),
                secret: webhook.secret,
            };
            document_response(StatusCode::CREATED, &created)
        }
        Ok(false) => error_response(
            StatusCode::CONFLICT,
            "too_many",
            &format!("an account has {OWN_MAX} webhooks at most, and all accounts {ALL_MAX}"),
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// Changes a receiver.
///
/// Events from before it is enabled again are not sent.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/{id}",
    operation_id = "change_webhook",
    tag = "Webhooks",
    params(("id" = inline(Segment), Path, description = "The id of the webhook.")),
    request_body = Change,
    responses(
        (status = 200, description = "The receiver.", body = WebhookJson),
        (status = 400, description = BAD_BODY),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_WEBHOOK),
        (status = 409, description = "`changed_meanwhile`: of two changes in one moment this is the second."),
    ),
)]
async fn change(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let before = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };
    let mut webhook = before.clone();
    let changed = body
        .map_err(|error| bad_body(&error, "some of `url`, `events`, `sites` and `enabled`"))
        .and_then(|Json(change)| change.apply(&gateway, &principal, &mut webhook));
    if let Err(message) = changed {
        return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
    }

    let stored = async {
        if webhook.disabled.is_none() {
            gateway.webhooks.clear_backlog().await?;
        }
        if before.disabled.is_some() {
            // Deliveries that were made while it was being switched off are not sent either.
            let now = gateway.clock.now();
            let store = &gateway.webhooks.store;
            store
                .fail_waiting(&before, "it was switched off", now)
                .await?;
        }
        let is_stored = store_change(&gateway, &webhook).await?;
        if is_stored {
            gateway.webhooks.store.wake_webhook(&id).await?;
        }
        Ok(is_stored)
    };
    match stored.await {
        Ok(true) => {
            let changed = format!("{id}: {}", difference(&before, &webhook));
            audit(&gateway, &principal, "webhook_changed", &changed).await;
            document_response(StatusCode::OK, &WebhookJson::from(&webhook))
        }
        Ok(false) => changed_meanwhile(),
        Err(error) => unavailable_response(&error),
    }
}

/// The differences that a change makes, for the audit log. Of the address only its host: the rest may
/// hold a secret.
fn difference(before: &Webhook, after: &Webhook) -> String {
    let mut differences = Vec::new();
    if before.url != after.url {
        differences.push(format!("url to {}", host_of(&after.url)));
    }
    if before.events != after.events {
        differences.push(format!("events to {}", after.events.join(" ")));
    }
    if before.sites != after.sites {
        differences.push(format!("sites to {}", after.sites));
    }
    if before.disabled.is_none() != after.disabled.is_none() {
        let is_enabled = after.disabled.is_none();
        differences.push(format!("enabled to {is_enabled}"));
    }

    differences.join(", ")
}

fn host_of(url: &str) -> String {
    let authority = url
        .parse::<Uri>()
        .ok()
        .and_then(|url| Some(url.authority()?.to_string()));

    authority.unwrap_or_default()
}

/// Stores a change. What waits for a receiver that is switched off has failed.
async fn store_change(gateway: &Gateway, webhook: &Webhook) -> Result<bool, LedgerError> {
    let store = &gateway.webhooks.store;
    let is_stored = store.update_webhook(webhook).await?;
    if let Some(reason) = webhook.disabled.as_deref().filter(|_| is_stored) {
        let now = gateway.clock.now();
        let stored = Webhook {
            version: webhook.version + 1,
            ..webhook.clone()
        };
        store.fail_waiting(&stored, reason, now).await?;
    }

    Ok(is_stored)
}

fn changed_meanwhile() -> Response {
    error_response(
        StatusCode::CONFLICT,
        "changed_meanwhile",
        "the webhook was changed or removed in the same moment: read it again",
    )
}

impl Change {
    fn apply(
        self,
        gateway: &Gateway,
        principal: &Principal,
        webhook: &mut Webhook,
    ) -> Result<(), String> {
        if let Some(url) = self.url {
            check_url(gateway, &url)?;
            webhook.url = url;
        }
        if let Some(events) = self.events {
            check_events(&events)?;
            webhook.events = events;
        }
        if let Some(sites) = self.sites {
            webhook.sites = scope_of(principal, &sites)?;
        }
        match self.enabled {
            Some(true) => webhook.disabled = None,
            Some(false) => webhook.disabled = Some(format!("by {}", principal.name())),
            None => {}
        }

        Ok(())
    }
}

/// Removes a receiver and its deliveries.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    operation_id = "remove_webhook",
    tag = "Webhooks",
    params(("id" = inline(Segment), Path, description = "The id of the webhook.")),
    responses(
        (status = 200, description = "The receiver is removed.", body = RemovedWebhook),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_WEBHOOK),
    ),
)]
async fn remove(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    if let Err(response) = found(&gateway, &principal, &id).await {
        return *response;
    }

    match gateway.webhooks.store.remove_webhook(&id).await {
        Ok(_) => {
            audit(&gateway, &principal, "webhook_removed", &id).await;
            document_response(StatusCode::OK, &RemovedWebhook { removed: id })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Makes a new secret.
///
/// The one before it signs for a day too, so that a receiver can change.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/secret",
    operation_id = "change_webhook_secret",
    tag = "Webhooks",
    params(("id" = inline(Segment), Path, description = "The id of the webhook.")),
    responses(
        (status = 200, description = "The secret.", body = WebhookSecret),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_WEBHOOK),
        (status = 409, description = "`changed_meanwhile`: of two changes in one moment this is the second."),
    ),
)]
async fn rotate(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let mut webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };
    let until = gateway.clock.now() + PREVIOUS_SIGNS;
    let previous = std::mem::replace(&mut webhook.secret, new_secret());
    webhook.previous_secret = Some((previous, until));

    match gateway.webhooks.store.update_webhook(&webhook).await {
        Ok(false) => changed_meanwhile(),
        Ok(true) => {
            audit(&gateway, &principal, "webhook_secret_changed", &id).await;
            let changed = WebhookSecret {
                id,
                secret: webhook.secret,
                previous_until: instant::text(until),
            };
            document_response(StatusCode::OK, &changed)
        }
        Err(error) => unavailable_response(&error),
    }
}

/// The deliveries of a receiver, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    operation_id = "list_deliveries",
    tag = "Webhooks",
    params(
        ("id" = inline(Segment), Path, description = "The id of the webhook."),
        DeliveriesParameters,
    ),
    responses(
        (status = 200, description = "The deliveries.", body = DeliveryList),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_WEBHOOK),
    ),
)]
async fn deliveries(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    parameters: Result<QueryString<DeliveriesParameters>, QueryRejection>,
) -> Response {
    let checked = query(parameters).and_then(|parameters| {
        let limit = checked_limit(parameters.limit, LIMIT_MAX)?;
        let state = parameters.state.as_deref().map(|name| {
            DeliveryState::parse(name)
                .ok_or_else(|| "`state` must be one of waiting, delivered, failed".to_owned())
        });
        Ok((state.transpose()?, limit))
    });
    let (state, limit) = match checked {
        Ok(checked) => checked,
        Err(message) => return bad_parameter(&message),
    };
    if let Err(response) = found(&gateway, &principal, &id).await {
        return *response;
    }

    match gateway.webhooks.store.deliveries(&id, state, limit).await {
        Ok(deliveries) => {
            let deliveries = deliveries
                .into_iter()
                .filter(|delivery| sees_delivery(&principal, delivery))
                .map(|delivery| DeliveryJson::of(&principal, delivery))
                .collect();
            document_response(StatusCode::OK, &DeliveryList { deliveries })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// A delivery of another site is as if there were none, whatever the receiver got before.
fn sees_delivery(principal: &Principal, delivery: &Delivery) -> bool {
    match &delivery.site {
        Some(site) => principal.sites.contains(site),
        None => principal.sites == SiteScope::All,
    }
}

/// Sends a message again, at once.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/deliveries/{message}/repeat",
    operation_id = "repeat_delivery",
    tag = "Webhooks",
    params(
        ("id" = inline(Segment), Path, description = "The id of the webhook."),
        ("message" = inline(Segment), Path, description = "The id of the message."),
    ),
    responses(
        (status = 200, description = "The message is due again.", body = RepeatedDelivery),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = "`not_found`: there is no such webhook or delivery."),
        (status = 409, description = "`disabled`: the receiver is switched off."),
    ),
)]
async fn repeat(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path((id, message)): Path<(String, String)>,
) -> Response {
    let webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };

    if webhook.disabled.is_some() {
        return error_response(
            StatusCode::CONFLICT,
            "disabled",
            "the receiver is switched off; enable it first",
        );
    }

    let repeated = async {
        let store = &gateway.webhooks.store;
        let delivery = store.delivery(&id, &message).await?.filter(|delivery| {
            sees_delivery(&principal, delivery) && sees(&webhook, delivery.site.as_deref())
        });
        if delivery.is_none() {
            return Ok(false);
        }
        let now = gateway.clock.now();
        store.repeat_delivery(&id, &message, now).await?;
        store.wake_webhook(&id).await?;
        Ok(true)
    };
    match repeated.await {
        Ok(true) => {
            audit(&gateway, &principal, "webhook_repeated", &message).await;
            document_response(StatusCode::OK, &RepeatedDelivery { repeated: message })
        }
        Ok(false) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such delivery",
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// The sites of a receiver: those of the account where none is named.
fn scope_of(principal: &Principal, names: &[String]) -> Result<SiteScope, String> {
    if names.is_empty() {
        return Ok(principal.sites.clone());
    }

    if names.len() > SITES_MAX {
        return Err(format!("`sites` names at most {SITES_MAX} sites"));
    }
    let sites = SiteScope::parse(names).map_err(|name| format!("{name:?} is no site name"))?;
    if principal.sites.covers(&sites) {
        Ok(sites)
    } else {
        Err("this account does not see all of the sites".to_owned())
    }
}

fn check_url(gateway: &Gateway, url: &str) -> Result<(), String> {
    gateway
        .webhooks
        .sender
        .check(url)
        .map_err(|error| format!("`url`: {error}"))
}

fn check_events(events: &[String]) -> Result<(), String> {
    let names = event_names();
    if events.len() <= names.len() && events.iter().all(|event| names.contains(&event.as_str())) {
        return Ok(());
    }

    let names = names.join(", ");
    Err(format!("`events` must be some of {names}, each once"))
}
