//! A receiver for an account, and the lines of the audit log about receivers.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::Gateway;
use super::super::response::{error_response, unavailable_response};
use crate::access::Principal;
use crate::port::webhooks::Webhook;

/// The receiver with an id. One of other sites is as if there were none.
pub(super) async fn found(
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

pub(super) async fn audit(gateway: &Gateway, principal: &Principal, action: &str, id: &str) {
    gateway
        .access
        .audit(principal.name(), action, Some(id))
        .await;
}
