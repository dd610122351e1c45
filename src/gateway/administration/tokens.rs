//! Tokens of programs.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountName, BAD_BODY, NO_RIGHT, check_new, site_names};
use crate::access::Principal;
use crate::gateway::Gateway;
use crate::gateway::parameters::{SiteName, bad_body};
use crate::gateway::response::{document_response, error_response, unavailable_response};
use crate::gateway::sign_in::AccountRole;
use crate::port::accounts::ApiToken;
use crate::wire::instant;

/// The fields of a new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[schema(value_type = AccountName)]
    name: String,
    #[schema(value_type = AccountRole)]
    role: String,
    /// The sites of the admin if absent.
    #[serde(default)]
    #[schema(value_type = Vec<SiteName>)]
    sites: Vec<String>,
}

/// The token of a program.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenJson {
    name: String,
    #[schema(value_type = AccountRole)]
    role: &'static str,
    /// `null` for all sites.
    sites: Option<Vec<String>>,
    #[schema(format = DateTime)]
    created_at: String,
    /// `null` while the token is valid.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A list of tokens.
#[derive(Serialize, ToSchema)]
struct TokenList {
    tokens: Vec<TokenJson>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    description: TokenJson,
    /// Sent as `Authorization: Bearer`; shown this once.
    token: String,
}

/// The token that was revoked.
#[derive(Serialize, ToSchema)]
struct RevokedToken {
    /// Its name.
    revoked: String,
}

/// The tokens of programs, with those that were revoked.
///
/// Those of other sites are left out.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_tokens",
    tag = "Administration",
    responses(
        (status = 200, description = "The tokens.", body = TokenList),
        (status = 403, description = NO_RIGHT),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.access.accounts.tokens().await {
        Ok(tokens) => {
            let tokens = tokens
                .iter()
                .filter(|token| principal.sites.covers(&token.sites))
                .map(TokenJson::from)
                .collect();
            document_response(StatusCode::OK, &TokenList { tokens })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Makes a token, which is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_token",
    tag = "Administration",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token.", body = CreatedToken),
        (status = 400, description = BAD_BODY),
        (status = 403, description = NO_RIGHT),
        (status = 409, description = "`name_taken`: another token or an account has the name."),
    ),
)]
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
            let created = CreatedToken {
                description: TokenJson::from(&token),
                token: secret.as_str().to_owned(),
            };
            document_response(StatusCode::CREATED, &created)
        }
        Ok(false) => error_response(
            StatusCode::CONFLICT,
            "name_taken",
            "another token or an account has the name",
        ),
        Err(error) => unavailable_response(&error),
    }
}

/// Revokes a token.
///
/// Its open streams end within a minute.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{name}",
    operation_id = "revoke_token",
    tag = "Administration",
    params(("name" = inline(AccountName), Path, description = "The name of the token.")),
    responses(
        (status = 200, description = "The token is refused from now on.", body = RevokedToken),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = "`not_found`: there is no valid token of this name."),
    ),
)]
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
            document_response(StatusCode::OK, &RevokedToken { revoked: name })
        }
        Ok(false) => error_response(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no valid token of this name",
        ),
        Err(error) => unavailable_response(&error),
    }
}

impl From<&ApiToken> for TokenJson {
    fn from(token: &ApiToken) -> TokenJson {
        TokenJson {
            name: token.name.clone(),
            role: token.role.name(),
            sites: site_names(&token.sites),
            created_at: instant::text(token.created_at),
            revoked_at: token.revoked_at.map(instant::text),
        }
    }
}
