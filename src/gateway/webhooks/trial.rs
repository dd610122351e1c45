//! A message that a person sends to a receiver to see what it answers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use super::super::Gateway;
use super::super::parameters::Segment;
use super::super::response::{document_response, error_response};
use super::documents::{NO_RIGHT, NO_WEBHOOK, WebhookTest};
use super::lookup::{audit, found};
use super::messages::body;
use crate::access::Principal;

/// The event of a test, which every receiver gets.
const TEST: &str = "webhook.test";

/// Sends one message at once.
///
/// The event `webhook.test`, which is not repeated, and not in the list of deliveries.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    operation_id = "test_webhook",
    tag = "Webhooks",
    params(("id" = inline(Segment), Path, description = "The id of the webhook.")),
    responses(
        (status = 200, description = "The answer of the receiver.", body = WebhookTest),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_WEBHOOK),
        (status = 429, description = "`too_many_tests`: an account tests every five seconds at most."),
    ),
)]
pub(super) async fn test_webhook(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let webhook = match found(&gateway, &principal, &id).await {
        Ok(webhook) => webhook,
        Err(response) => return *response,
    };
    if !gateway.webhooks.memory.may_test(principal.name()) {
        return too_many_tests();
    }

    audit(&gateway, &principal, "webhook_tested", &id).await;
    let began = tokio::time::Instant::now();
    let message = format!("msg_{}", uuid::Uuid::now_v7().simple());
    let text = body(TEST, gateway.clock.now(), r#"{"call_id":null,"call":null}"#);
    let answer = gateway.webhooks.post(&webhook, &message, text).await;
    let result = WebhookTest {
        message,
        taken: matches!(answer, Ok(200..=299)),
        answered: answer.as_ref().ok().copied(),
        error: answer.as_ref().err().map(ToString::to_string),
        seconds: began.elapsed().as_secs_f64(),
    };

    document_response(StatusCode::OK, &result)
}

fn too_many_tests() -> Response {
    let refused = error_response(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_tests",
        "an account tests a receiver every five seconds at most",
    );

    ([(RETRY_AFTER, "5")], refused).into_response()
}
