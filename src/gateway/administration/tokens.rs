//! Tokens of programs.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::check_new;
use crate::access::Principal;
use crate::gateway::Gateway;
use crate::gateway::parameters::bad_body;
use crate::gateway::response::{error_response, json_response, unavailable_response};
use crate::port::accounts::ApiToken;
use crate::wire::instant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    role: String,
    #[serde(default)]
    sites: Vec<String>,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.access.accounts.tokens().await {
        Ok(tokens) => {
            let tokens: Vec<Value> = tokens
                .iter()
                .filter(|token| principal.sites.covers(&token.sites))
                .map(token_json)
                .collect();
            json_response(StatusCode::OK, json!({ "tokens": tokens }).to_string())
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Makes a token, which is shown this once.
pub(super) async fn create(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Response {
    let checked = body
        .map_err(|error| bad_body(&error, "`name` and `role`, and optionally `sites`"))
        .and_then(|Json(new)| {
            let (role, sites) = check_new(&principal, &new.name, &new.role, &new.sites)?;
            Ok((new.name, role, sites))
        });
    let (name, role, sites) = match checked {
        Ok(checked) => checked,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let (secret, token) = ApiToken::create(&name, role, sites, gateway.clock.now());
    match gateway.access.accounts.add_token(&token).await {
        Ok(true) => {
            gateway
                .access
                .audit(principal.name(), "token_created", Some(&name))
                .await;
            let mut document = token_json(&token);
            document["token"] = json!(secret.as_str());
            json_response(StatusCode::CREATED, document.to_string())
        }
        Ok(false) => error_response(
            StatusCode::CONFLICT,
            "name_taken",
            "another token has the name",
        ),
        Err(error) => unavailable_response(&error),
    }
}

pub(super) async fn revoke(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(name): Path<String>,
) -> Response {
    let revoked = async {
        let tokens = gateway.access.accounts.tokens().await?;
        let is_visible = tokens
            .iter()
            .any(|token| token.name == name && principal.sites.covers(&token.sites));
        if !is_visible {
            return Ok(false);
        }

        let now = gateway.clock.now();
        gateway.access.accounts.revoke_token(&name, now).await
    };
    match revoked.await {
        Ok(true) => {
            gateway
                .access
                .audit(principal.name(), "token_revoked", Some(&name))
                .await;
            json_response(StatusCode::OK, json!({ "revoked": name }).to_string())
        }
        Ok(false) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no valid token of this name",
        ),
        Err(error) => unavailable_response(&error),
    }
}

fn token_json(token: &ApiToken) -> Value {
    json!({
        "name": token.name,
        "role": token.role.name(),
        "sites": token.sites.names(),
        "created_at": instant::text(token.created_at),
        "revoked_at": token.revoked_at.map(instant::text),
    })
}
