//! The routes of webhooks, `/api/v1/webhooks`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query as QueryString, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Json, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Gateway;
use super::super::parameters::{LIMIT_MAX, Parameters, bad_body, checked_limit, query};
use super::super::response::{
    bad_parameter, error_response, json_response, no_right, unavailable_response,
};
use super::messages::{body, sees};
use super::signature::new_secret;
use crate::access::{Principal, Right, SiteScope};
use crate::domain::notice::NoticeKind;
use crate::domain::time::Span;
use crate::port::error::LedgerError;
use crate::port::webhooks::{Delivery, DeliveryState, Webhook};
use crate::wire::instant;

/// Receivers of one account, and of all.
const OWN_MAX: u32 = 20;
const ALL_MAX: u32 = 200;
/// The secret before the present one signs for this long.
const PREVIOUS_SIGNS: Span = Span::seconds(86_400);
/// The event of a test, which every receiver gets.
const TEST: &str = "webhook.test";

pub(in crate::gateway) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/", routing::get(list).post(create))
        .route("/{id}", routing::patch(change).delete(remove))
        .route("/{id}/secret", routing::post(rotate))
        .route("/{id}/test", routing::post(test))
        .route("/{id}/deliveries", routing::get(deliveries))
        .route("/{id}/deliveries/{message}/repeat", routing::post(repeat))
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

/// The fields of a new receiver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    url: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    sites: Vec<String>,
}

/// The fields of a receiver that change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    url: Option<String>,
    events: Option<Vec<String>>,
    sites: Option<Vec<String>>,
    enabled: Option<bool>,
}

/// The query of the deliveries of a receiver.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveriesParameters {
    state: Option<String>,
    limit: Option<u32>,
}

impl Parameters for DeliveriesParameters {
    const NAMES: &'static str = "`state` and `limit`";
}

async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.webhooks.store.webhooks().await {
        Ok(webhooks) => {
            let visible = webhooks
                .iter()
                .filter(|webhook| principal.sites.covers(&webhook.sites));
            let webhooks: Vec<Value> = visible.map(webhook_json).collect();
            json_response(StatusCode::OK, json!({ "webhooks": webhooks }).to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

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
        created_at: gateway.clock.now(),
        created_by: principal.name().to_owned(),
        version: 0,
    };
    let stored = async {
        settle_backlog(&gateway).await?;
        let store = &gateway.webhooks.store;
        store.add_webhook(&webhook, OWN_MAX, ALL_MAX).await
    };
    match stored.await {
        Ok(true) => {
            audit(&gateway, &principal, "webhook_created", &webhook.id).await;
            let mut document = webhook_json(&webhook);
            document["secret"] = json!(webhook.secret);
            json_response(StatusCode::CREATED, document.to_string())
        }
        Ok(false) => error_response(
            StatusCode::CONFLICT,
            "too_many",
            &format!("an account has {OWN_MAX} webhooks at most, and all accounts {ALL_MAX}"),
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// Notifications up to now go to the receivers that work now; where none does, to none.
async fn settle_backlog(gateway: &Gateway) -> Result<(), LedgerError> {
    if gateway.webhooks.begin_round().await?.is_empty() {
        gateway.webhooks.store.skip_notifications().await?;
    }

    Ok(())
}

async fn change(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let mut webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };
    let changed = body
        .map_err(|error| bad_body(&error, "some of `url`, `events`, `sites` and `enabled`"))
        .and_then(|Json(change)| change.apply(&gateway, &principal, &mut webhook));
    if let Err(message) = changed {
        return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
    }

    let stored = async {
        if webhook.disabled.is_none() {
            settle_backlog(&gateway).await?;
        }
        store_change(&gateway, &webhook).await
    };
    match stored.await {
        Ok(true) => {
            gateway.webhooks.wake(&id);
            audit(&gateway, &principal, "webhook_changed", &id).await;
            json_response(StatusCode::OK, webhook_json(&webhook).to_string())
        }
        Ok(false) => changed_meanwhile(),
        Err(error) => unavailable_response(&error),
    }
}

/// Stores a change. What waits for a receiver that is switched off has failed.
async fn store_change(gateway: &Gateway, webhook: &Webhook) -> Result<bool, LedgerError> {
    let store = &gateway.webhooks.store;
    let is_stored = store.update_webhook(webhook).await?;
    if let Some(reason) = webhook.disabled.as_deref().filter(|_| is_stored) {
        let now = gateway.clock.now();
        store.end_webhook(&webhook.id, reason, now).await?;
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
            json_response(StatusCode::OK, json!({ "removed": id }).to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Makes a new secret. The one before it signs for a day too, so that a receiver can change.
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
            let document = json!({
                "id": id,
                "secret": webhook.secret,
                "previous_until": instant::text(until),
            });
            json_response(StatusCode::OK, document.to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Sends one message at once and tells the answer. It is not repeated, and not in the list of
/// deliveries.
async fn test(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };

    let began = tokio::time::Instant::now();
    let message = format!("msg_{}", uuid::Uuid::now_v7().simple());
    let text = body(TEST, gateway.clock.now(), r#"{"call_id":null,"call":null}"#);
    let answer = gateway.webhooks.post(&webhook, &message, text).await;
    let document = json!({
        "message": message,
        "taken": matches!(answer, Ok(200..=299)),
        "answered": answer.as_ref().ok(),
        "error": answer.as_ref().err().map(ToString::to_string),
        "seconds": began.elapsed().as_secs_f64(),
    });

    json_response(StatusCode::OK, document.to_string())
}

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
            let deliveries: Vec<Value> = deliveries
                .iter()
                .filter(|delivery| sees_delivery(&principal, delivery))
                .map(|delivery| delivery_json(&principal, delivery))
                .collect();
            json_response(
                StatusCode::OK,
                json!({ "deliveries": deliveries }).to_string(),
            )
        }
        Err(error) => unavailable_response(&error),
    }
}

/// A delivery of another site is as if there were none, whatever the receiver got before.
fn sees_delivery(principal: &Principal, delivery: &Delivery) -> bool {
    delivery
        .site
        .as_deref()
        .is_none_or(|site| principal.sites.contains(site))
}

async fn repeat(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path((id, message)): Path<(String, String)>,
) -> Response {
    let webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };

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
        Ok(true)
    };
    match repeated.await {
        Ok(true) => {
            gateway.webhooks.wake(&id);
            audit(&gateway, &principal, "webhook_repeated", &message).await;
            json_response(StatusCode::OK, json!({ "repeated": message }).to_string())
        }
        Ok(false) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such delivery",
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// The receiver with an id. One of other sites is as if there were none.
async fn found(
    gateway: &Gateway,
    principal: &Principal,
    id: &str,
) -> Result<Webhook, Box<Response>> {
    let found = gateway.webhooks.store.webhook(id).await;
    let found = found.map_err(|error| Box::new(unavailable_response(&error)))?;

    found
        .filter(|webhook| principal.sites.covers(&webhook.sites))
        .ok_or_else(|| {
            Box::new(error_response(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is no such webhook",
            ))
        })
}

async fn audit(gateway: &Gateway, principal: &Principal, action: &str, id: &str) {
    gateway
        .access
        .audit(principal.name(), action, Some(id))
        .await;
}

/// The sites of a receiver: those of the account where none is named.
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

fn check_url(gateway: &Gateway, url: &str) -> Result<(), String> {
    gateway
        .webhooks
        .sender
        .check(url)
        .map_err(|error| format!("`url`: {error}"))
}

fn check_events(events: &[String]) -> Result<(), String> {
    match events
        .iter()
        .find(|event| NoticeKind::from_name(event).is_none())
    {
        None => Ok(()),
        Some(_) => {
            let names = NoticeKind::ALL.map(NoticeKind::name).join(", ");
            Err(format!("`events` must be some of {names}"))
        }
    }
}

fn webhook_json(webhook: &Webhook) -> Value {
    json!({
        "id": webhook.id,
        "url": webhook.url,
        "events": webhook.events,
        "sites": webhook.sites.names(),
        "enabled": webhook.disabled.is_none(),
        "disabled_reason": webhook.disabled,
        "created_at": instant::text(webhook.created_at),
        "created_by": webhook.created_by,
    })
}

/// The body holds numbers.
fn delivery_json(principal: &Principal, delivery: &Delivery) -> Value {
    let is_waiting = delivery.state == DeliveryState::Waiting;

    json!({
        "message": delivery.message,
        "event": delivery.event,
        "state": delivery.state.name(),
        "created_at": instant::text(delivery.created_at),
        "attempts": delivery.attempts,
        "next_attempt_at": is_waiting.then(|| instant::text(delivery.due_at)),
        "answered": delivery.answered,
        "error": delivery.error,
        "finished_at": delivery.finished_at.map(instant::text),
        "body": principal.sees_all_numbers().then_some(&delivery.body),
    })
}
