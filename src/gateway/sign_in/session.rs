//! Signing in and out, the account of the browser, and what it may do for a while.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Access, Credential, of_user};
use super::attempts::name_of;
use super::cookie;
use super::password::{self, busy};
use crate::access::{
    Identity, Principal, Right, Role, Secret, SecretHash, SiteScope, is_account_name,
};
use crate::domain::time::Span;
use crate::gateway::Gateway;
use crate::gateway::parameters::bad_body;
use crate::gateway::response::{document_response, error_response, no_right, unavailable_response};
use crate::net::ClientAddress;
use crate::port::accounts::{SecretKind, User, UserSecret};
use crate::port::error::LedgerError;
use crate::wire::names::{one_of, schemas};

const SESSION_MAX: Span = Span::seconds(30 * 86_400);
const TICKET_MAX: Span = Span::seconds(30);
const REVEAL_MAX: Span = Span::seconds(15 * 60);
const SESSION_PREFIX: &str = "cbs_";
const TICKET_PREFIX: &str = "cbw_";

/// The form of numbers in answers.
const NUMBERS: [&str; 2] = ["full", "masked"];

schemas! {
    AccountRole = one_of(&Role::ALL.map(Role::name)), "The role of an account or a token.";
    AccountRight = one_of(&Right::ALL.map(Right::name)), "A right beyond reading calls.";
    Numbers = one_of(&NUMBERS), "Whether all numbers are shown.";
}

/// The routes that need no principal.
pub(in crate::gateway) fn open_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default().routes(routes!(sign_in, sign_out))
}

pub(in crate::gateway) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::default()
        .routes(routes!(me))
        .routes(routes!(password::set_password))
        .routes(routes!(reveal))
        .routes(routes!(ticket))
}

/// A name with its password, or a link.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum SignIn {
    Password(PasswordSignIn),
    Link(LinkSignIn),
}

/// A name with its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordSignIn {
    name: String,
    password: String,
}

/// The secret of a link, which works once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkSignIn {
    link: String,
}

/// Signs in.
///
/// The answer sets the cookie of the session.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    operation_id = "sign_in",
    tag = "Account",
    request_body = SignIn,
    responses(
        (status = 200, description = "The account.", body = Session,
            headers(("Set-Cookie" = String, description = "The session."))),
        (status = 400, description = "`bad_body`: the body is not such an object."),
        (status = 401, description = "`wrong_password`: the name or the password is not right. \
            `link_expired`: the link was used or has expired."),
        (status = 429, description = "`too_many_attempts`: too many wrong passwords for the name, \
            or from the address."),
        (status = 503, description = "`busy`: many passwords are being checked."),
        (status = 503, description = "`unavailable`: the database did not answer."),
    ),
)]
async fn sign_in(
    State(access): State<Arc<Access>>,
    client: Option<Extension<ClientAddress>>,
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
        SignIn::Link(LinkSignIn { link }) => by_link(&access, &link).await,
        SignIn::Password(PasswordSignIn { name, password }) => {
            let client = client.map(|Extension(ClientAddress(address))| name_of(address));
            by_password(&access, name, password, client.as_deref()).await
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
    client: Option<&str>,
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
    let now = access.clock.now();
    let too_many = |of: &str| {
        Box::new(error_response(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            &format!("too many wrong passwords {of}: try again in a quarter of an hour"),
        ))
    };
    if client.is_some_and(|client| !access.attempts_of_addresses.begin(client, now)) {
        return Err(too_many("from this address"));
    }
    let not_made = || {
        if let Some(client) = client {
            access.attempts_of_addresses.withdraw(client);
        }
    };
    if !access.attempts.begin(&name, now) {
        return Err(too_many("for this name"));
    }

    let user = access
        .accounts
        .user(&name)
        .await
        .map_err(|error| Box::new(unavailable_response(&error)))?
        .filter(|user| !user.is_disabled);
    let Ok(is_right) = access.is_password_of(user.as_ref(), password).await else {
        access.attempts.withdraw(&name);
        not_made();
        return Err(Box::new(busy()));
    };
    match user {
        Some(user) if is_right => {
            access.attempts.succeeded(&name);
            // Others at the address may go on to guess.
            not_made();
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
    let is_valid = is_first
        && access.clock.now() < secret.expires_at
        && !user.is_disabled
        && may_make_link(access, secret.made_by.as_deref(), &user)
            .await
            .map_err(unavailable)?;
    if !is_valid {
        return Err(expired());
    }

    // Another person may know the password, or have one of the sessions.
    let reset = access.accounts.reset_user(&user.name).await;
    reset.map_err(unavailable)?;

    Ok(User {
        password: None,
        ..user
    })
}

/// Whether who made a link may still make one for the account, whose rights may have grown since.
async fn may_make_link(
    access: &Access,
    made_by: Option<&str>,
    user: &User,
) -> Result<bool, LedgerError> {
    let Some(name) = made_by else {
        return Ok(true);
    };

    let may_make = |role: Role, sites: &SiteScope| {
        role.rights().contains(&Right::Accounts) && sites.covers(&user.sites)
    };
    if let Some(maker) = access.accounts.user(name).await? {
        return Ok(!maker.is_disabled && may_make(maker.role, &maker.sites));
    }

    let tokens = access.accounts.tokens().await?;
    Ok(tokens.iter().any(|token| {
        token.name == name && token.revoked_at.is_none() && may_make(token.role, &token.sites)
    }))
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
        made_by: None,
    };
    access.accounts.remove_expired(now).await?;
    let added = access
        .accounts
        .add_session(&session, user.password.as_ref());
    if !added.await? {
        return Ok(error_response(
            StatusCode::UNAUTHORIZED,
            "wrong_password",
            "the account was changed meanwhile: sign in again",
        ));
    }
    access.audit(&user.name, "sign_in", None).await;

    let needs_password = user.password.is_none();
    let document = Session {
        me: Me::of(&of_user(user, false)),
        needs_password,
    };
    let mut response = document_response(StatusCode::OK, &document);
    if let Some(cookie) = cookie::set(&secret, SESSION_MAX.0 / 1_000_000) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }

    Ok(response)
}

/// Signs out.
///
/// Without a session nothing happens.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    operation_id = "sign_out",
    tag = "Account",
    responses(
        (status = 204, description = "The session is over.",
            headers(("Set-Cookie" = String, description = "Removes the session."))),
        (status = 503, description = "`unavailable`: the database did not answer."),
    ),
)]
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

/// The account of a request.
#[derive(Serialize, ToSchema)]
struct Me {
    /// `null` while no account exists.
    name: Option<String>,
    display_name: Option<String>,
    #[schema(value_type = AccountRole)]
    role: &'static str,
    /// `null` for all sites.
    sites: Option<Vec<String>>,
    /// The phone of the person.
    extension: Option<String>,
    signed_in: bool,
    #[schema(value_type = Numbers)]
    numbers: &'static str,
    /// The rights of the role.
    #[schema(value_type = Vec<AccountRight>)]
    may: Vec<&'static str>,
}

/// The account of a new session.
#[derive(Serialize, ToSchema)]
struct Session {
    #[serde(flatten)]
    me: Me,
    /// Whether the person has no password yet.
    needs_password: bool,
}

/// The account of the request.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    operation_id = "get_me",
    tag = "Account",
    responses((status = 200, description = "The account.", body = Me)),
)]
async fn me(Extension(principal): Extension<Arc<Principal>>) -> Response {
    document_response(StatusCode::OK, &Me::of(&principal))
}

impl Me {
    fn of(principal: &Principal) -> Me {
        let name = match &principal.identity {
            Identity::Open => None,
            Identity::User(name) | Identity::Token(name) => Some(name.clone()),
        };
        let sites = match &principal.sites {
            SiteScope::All => None,
            SiteScope::Only(sites) => {
                Some(sites.iter().map(|site| site.as_str().to_owned()).collect())
            }
        };
        let rights = principal.role.rights().iter();

        Me {
            display_name: principal.display_name.clone().or(name.clone()),
            name,
            role: principal.role.name(),
            sites,
            extension: principal.extension.as_ref().map(ToString::to_string),
            signed_in: principal.identity != Identity::Open,
            numbers: NUMBERS[usize::from(!principal.sees_all_numbers())],
            may: rights.map(|right| right.name()).collect(),
        }
    }
}

/// Shows an admin all numbers for a quarter of an hour.
///
/// The audit log keeps that. Needs the right `reveal`.
#[utoipa::path(
    post,
    path = "/api/v1/me/reveal",
    operation_id = "reveal_numbers",
    tag = "Account",
    responses(
        (status = 204, description = "Answers of this session show all numbers."),
        (status = 403, description = "`no_right`: the account cannot ask for numbers."),
    ),
)]
async fn reveal(
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

/// A ticket of a socket.
#[derive(Serialize, ToSchema)]
struct Ticket {
    /// The value of the parameter `ticket`.
    ticket: String,
}

/// A ticket for one socket, within 30 seconds.
///
/// A page cannot send a header with its upgrade, and a cookie alone is not enough.
#[utoipa::path(
    post,
    path = "/api/v1/ticket",
    operation_id = "create_ticket",
    tag = "Live events",
    responses(
        (status = 201, description = "The ticket.", body = Ticket),
        (status = 403, description = "`no_right`: tickets are for people who are signed in."),
    ),
)]
async fn ticket(
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
        made_by: None,
    };

    match access.accounts.add_secret(&ticket).await {
        Ok(true) => document_response(
            StatusCode::CREATED,
            &Ticket {
                ticket: secret.as_str().to_owned(),
            },
        ),
        Ok(false) => no_right("the account was removed"),
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
