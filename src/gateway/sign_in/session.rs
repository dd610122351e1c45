//! Signing in and out, the account of the browser, and what it may do for a while.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Access, Busy, Credential, of_user};
use super::cookie;
use crate::access::{
    Identity, Principal, Right, Secret, SecretHash, SiteScope, check_password, is_account_name,
};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::fact::Site;
use crate::domain::time::Span;
use crate::gateway::parameters::bad_body;
use crate::gateway::response::{error_response, json_response, no_right, unavailable_response};
use crate::port::accounts::{SecretKind, User, UserSecret};
use crate::port::error::LedgerError;

const SESSION_MAX: Span = Span::seconds(30 * 86_400);
const TICKET_MAX: Span = Span::seconds(30);
const REVEAL_MAX: Span = Span::seconds(15 * 60);
const SESSION_PREFIX: &str = "cbs_";
const TICKET_PREFIX: &str = "cbw_";

/// The routes that need no principal.
pub(in crate::gateway) fn routes() -> Router<Arc<Access>> {
    Router::new().route("/", routing::post(sign_in).delete(sign_out))
}

/// A name with its password, or a link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    name: Option<String>,
    password: Option<String>,
    link: Option<String>,
}

async fn sign_in(
    State(access): State<Arc<Access>>,
    body: Result<Json<SignIn>, JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => {
            let message = bad_body(&error, "`name` and `password`, or `link`");
            return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
        }
    };

    let user = match body {
        SignIn {
            link: Some(link),
            name: None,
            password: None,
        } => by_link(&access, &link).await,
        SignIn {
            name: Some(name),
            password: Some(password),
            link: None,
        } => by_password(&access, name, password).await,
        _ => {
            return error_response(
                StatusCode::BAD_REQUEST,
                "bad_body",
                "the body must have `name` and `password`, or `link`",
            );
        }
    };

    match user {
        Ok(user) => begin_session(&access, user)
            .await
            .unwrap_or_else(|error| unavailable_response(&error)),
        Err(response) => *response,
    }
}

async fn by_password(
    access: &Access,
    name: String,
    password: String,
) -> Result<User, Box<Response>> {
    let wrong = || {
        Box::new(error_response(
            StatusCode::UNAUTHORIZED,
            "wrong_password",
            "the name or the password is not right",
        ))
    };
    // No account has such a name; it is not remembered.
    if !is_account_name(&name) {
        return Err(wrong());
    }
    if !access.attempts.begin(&name, access.clock.now()) {
        return Err(Box::new(error_response(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many wrong passwords for this name: try again in a quarter of an hour",
        )));
    }

    let user = access
        .accounts
        .user(&name)
        .await
        .map_err(|error| Box::new(unavailable_response(&error)))?
        .filter(|user| !user.is_disabled);
    let Ok(is_right) = access.is_password_of(user.as_ref(), password).await else {
        access.attempts.withdraw(&name);
        return Err(Box::new(busy()));
    };
    match user {
        Some(user) if is_right => {
            access.attempts.succeeded(&name);
            Ok(user)
        }
        user => {
            if let Some(user) = user {
                access.audit(&user.name, "wrong_password", None).await;
            }
            Err(wrong())
        }
    }
}

fn busy() -> Response {
    let busy = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "many passwords are being checked: try again in a moment",
    );

    ([(RETRY_AFTER, "1")], busy).into_response()
}

async fn by_link(access: &Access, link: &str) -> Result<User, Box<Response>> {
    let unavailable = |error: LedgerError| Box::new(unavailable_response(&error));
    let expired = || {
        Box::new(error_response(
            StatusCode::UNAUTHORIZED,
            "link_expired",
            "this link was used or has expired: ask for a new one",
        ))
    };

    let hash = SecretHash::of(link).ok_or_else(expired)?;
    let found = access.accounts.secret(&hash, SecretKind::Link).await;
    let (secret, user) = found.map_err(unavailable)?.ok_or_else(expired)?;
    // Of several requests with one link, one removes it.
    let is_first = access
        .accounts
        .remove_secret(&hash)
        .await
        .map_err(unavailable)?;
    let is_valid = is_first && access.clock.now() < secret.expires_at && !user.is_disabled;

    is_valid.then_some(user).ok_or_else(expired)
}

async fn begin_session(access: &Access, user: User) -> Result<Response, LedgerError> {
    let secret = Secret::random(SESSION_PREFIX);
    let now = access.clock.now();
    let session = UserSecret {
        hash: secret.hash(),
        kind: SecretKind::Session,
        user: user.name.clone(),
        created_at: now,
        used_at: now,
        expires_at: now + SESSION_MAX,
        reveals_until: None,
        session: None,
    };
    access.accounts.remove_expired(now).await?;
    access.accounts.add_secret(&session).await?;
    access.audit(&user.name, "sign_in", None).await;

    let needs_password = user.password.is_none();
    let mut document = me_json(&of_user(user, false));
    document["needs_password"] = needs_password.into();
    let mut response = json_response(StatusCode::OK, document.to_string());
    if let Some(cookie) = cookie::set(&secret, SESSION_MAX.0 / 1_000_000) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }

    Ok(response)
}

async fn sign_out(State(access): State<Arc<Access>>, headers: HeaderMap) -> Response {
    if let Some(hash) = cookie::read(&headers).and_then(SecretHash::of) {
        let credential = Credential::Session(hash.clone());
        let signed_out = async {
            if let Some(principal) = access.principal(&credential).await? {
                access.audit(principal.name(), "sign_out", None).await;
            }
            access.accounts.remove_secret(&hash).await
        };
        if let Err(error) = signed_out.await {
            return unavailable_response(&error);
        }
    }

    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie::clear() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// The account of the request.
pub(in crate::gateway) async fn me(Extension(principal): Extension<Arc<Principal>>) -> Response {
    json_response(StatusCode::OK, me_json(&principal).to_string())
}

fn me_json(principal: &Principal) -> Value {
    let name = match &principal.identity {
        Identity::Open => None,
        Identity::User(name) | Identity::Token(name) => Some(name),
    };
    let sites = match &principal.sites {
        SiteScope::All => None,
        SiteScope::Only(sites) => Some(sites.iter().map(Site::as_str).collect::<Vec<_>>()),
    };
    let rights: Vec<&str> = principal
        .role
        .rights()
        .iter()
        .map(|right| right.name())
        .collect();
    let numbers = if principal.sees_all_numbers() {
        "full"
    } else {
        "masked"
    };

    json!({
        "name": name,
        "display_name": principal.display_name.as_deref().or(name.map(String::as_str)),
        "role": principal.role.name(),
        "sites": sites,
        "extension": principal.extension.as_ref().map(PhoneExtension::as_str),
        "signed_in": principal.identity != Identity::Open,
        "numbers": numbers,
        "may": rights,
    })
}

/// A new password; the old one is needed where there is one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct NewPassword {
    password: String,
    current: Option<String>,
}

pub(in crate::gateway) async fn set_password(
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
    if !access.accounts.set_password(name, &hash, before).await? {
        return Ok(Changed::Wrong);
    }
    access.accounts.remove_secrets(name, Some(session)).await?;
    access.audit(name, "password_changed", None).await;

    Ok(Changed::Done)
}

/// Shows an admin all numbers for a quarter of an hour; the audit log keeps that.
pub(in crate::gateway) async fn reveal(
    State(access): State<Arc<Access>>,
    Extension(credential): Extension<Credential>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    let Credential::Session(hash) = &credential else {
        return no_right("only a person who is signed in can ask for numbers");
    };
    if !principal.may(Right::Reveal) {
        return no_right("this account cannot ask for numbers");
    }

    let now = access.clock.now();
    let revealed = access
        .accounts
        .touch_secret(hash, now, Some(now + REVEAL_MAX));
    match revealed.await {
        Ok(()) => {
            access
                .audit(principal.name(), "numbers_revealed", None)
                .await;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => unavailable_response(&error),
    }
}

/// A ticket for one socket: a page cannot send a header with its upgrade, and a cookie alone is not
/// enough.
pub(in crate::gateway) async fn ticket(
    State(access): State<Arc<Access>>,
    Extension(credential): Extension<Credential>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    let (Credential::Session(session), Identity::User(name)) = (&credential, &principal.identity)
    else {
        return no_right("tickets are for people who are signed in; a token goes into the header");
    };
    let secret = Secret::random(TICKET_PREFIX);
    let now = access.clock.now();
    let ticket = UserSecret {
        hash: secret.hash(),
        kind: SecretKind::Ticket,
        user: name.clone(),
        created_at: now,
        used_at: now,
        expires_at: now + TICKET_MAX,
        reveals_until: None,
        session: Some(session.clone()),
    };

    match access.accounts.add_secret(&ticket).await {
        Ok(()) => json_response(
            StatusCode::CREATED,
            json!({ "ticket": secret.as_str() }).to_string(),
        ),
        Err(error) => unavailable_response(&error),
    }
}

impl Access {
    /// The session of a ticket, which works once.
    pub(in crate::gateway) async fn use_ticket(
        &self,
        ticket: &str,
    ) -> Result<Option<Credential>, LedgerError> {
        let Some(hash) = SecretHash::of(ticket) else {
            return Ok(None);
        };
        let Some((secret, _)) = self.accounts.secret(&hash, SecretKind::Ticket).await? else {
            return Ok(None);
        };
        let is_first = self.accounts.remove_secret(&hash).await?;
        let is_valid = is_first && self.clock.now() < secret.expires_at;

        let session = secret.session.filter(|_| is_valid);
        Ok(session.map(Credential::Session))
    }
}
