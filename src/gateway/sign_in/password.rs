//! The password of an account, changed by its person.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::{Access, Busy, Credential};
use crate::access::{
    Identity, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Principal, SecretHash, check_password,
};
use crate::gateway::parameters::bad_body;
use crate::gateway::response::{error_response, no_right, unavailable_response};
use crate::port::error::LedgerError;

/// The schema of [`NewPassword`] repeats the limits, because its attributes take literals only.
const _: () = assert!(PASSWORD_CHARS_MIN == 12 && PASSWORD_BYTES_MAX == 1_024);

/// A new password; the old one is needed where there is one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    #[schema(min_length = 12, max_length = 1024)]
    password: String,
    /// The password so far.
    current: Option<String>,
}

/// Sets the password, and ends all other sessions of the account.
#[utoipa::path(
    post,
    path = "/api/v1/me/password",
    operation_id = "set_password",
    tag = "Account",
    request_body = NewPassword,
    responses(
        (status = 204, description = "The password is set."),
        (status = 400, description = "`bad_body`: the body is not such an object. \
            `weak_password`: the password is too short, too long or the name."),
        (status = 403, description = "`no_right`: only a person who is signed in has a password. \
            `wrong_password`: the current password is not right."),
    ),
)]
pub(super) async fn set_password(
    State(access): State<Arc<Access>>,
    Extension(credential): Extension<Credential>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<NewPassword>, JsonRejection>,
) -> Response {
    let (Credential::Session(session), Identity::User(name)) = (&credential, &principal.identity)
    else {
        return no_right("only a person who is signed in has a password");
    };
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => {
            let message = bad_body(&error, "`password`, and `current` where there is one");
            return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
        }
    };
    if let Err(error) = check_password(&body.password, name) {
        return error_response(StatusCode::BAD_REQUEST, "weak_password", &error.to_string());
    }

    let changed = change_password(&access, name, session, body).await;
    match changed {
        Ok(Changed::Done) => StatusCode::NO_CONTENT.into_response(),
        Ok(Changed::Busy) => busy(),
        Ok(Changed::Wrong) => error_response(
            StatusCode::FORBIDDEN,
            "wrong_password",
            "the current password is not right",
        ),
        Err(error) => unavailable_response(&error),
    }
}

enum Changed {
    Done,
    /// The current password is wrong, or not the current one any more.
    Wrong,
    Busy,
}

/// Sets the password and ends all other sessions of the user.
async fn change_password(
    access: &Access,
    name: &str,
    session: &SecretHash,
    body: NewPassword,
) -> Result<Changed, LedgerError> {
    let Some(user) = access.accounts.user(name).await? else {
        return Ok(Changed::Wrong);
    };
    if user.password.is_some() {
        if !access.attempts.begin(name, access.clock.now()) {
            return Ok(Changed::Wrong);
        }
        let current = body.current.unwrap_or_default();
        match access.is_password_of(Some(&user), current).await {
            Ok(true) => access.attempts.succeeded(name),
            Ok(false) => return Ok(Changed::Wrong),
            Err(Busy) => {
                access.attempts.withdraw(name);
                return Ok(Changed::Busy);
            }
        }
    }
    let Ok(hash) = access.hash_password(body.password).await else {
        return Ok(Changed::Busy);
    };

    // An account that was disabled, removed or changed meanwhile stays so.
    let before = user.password.as_ref();
    if !access
        .accounts
        .set_password(name, &hash, before, session)
        .await?
    {
        return Ok(Changed::Wrong);
    }
    access.accounts.remove_secrets(name, Some(session)).await?;
    access.audit(name, "password_changed", None).await;

    Ok(Changed::Done)
}

pub(super) fn busy() -> Response {
    let busy = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "many passwords are being checked: try again in a moment",
    );

    ([(RETRY_AFTER, "1")], busy).into_response()
}
