//! Accounts of people.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountName, BAD_BODY, NO_RIGHT, check_new, role_of, scope_of, site_names};
use crate::access::{Identity, Principal};
use crate::domain::device::Extension as PhoneExtension;
use crate::domain::text::PrivateText;
use crate::domain::text::is_printable;
use crate::gateway::Gateway;
use crate::gateway::parameters::{SiteName, bad_body, printable_text};
use crate::gateway::response::{document_response, error_response, unavailable_response};
use crate::gateway::sign_in::AccountRole;
use crate::port::accounts::{User, UserSecret};
use crate::port::error::LedgerError;
use crate::wire::names::schemas;

const DISPLAY_CHARS_MAX: usize = 128;
const NO_ACCOUNT: &str = "`not_found`: there is no such account.";
const OWN_ACCOUNT: &str = "`own_account`: another admin can change this account.";
const OWN_OR_CHANGED: &str = "`own_account`: another admin can change this account. \
    `changed_meanwhile`: another request changed the account.";

schemas! {
    DisplayName = printable_text().max_length(Some(DISPLAY_CHARS_MAX)), "A name for people.";
}

/// The fields of a new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    #[schema(value_type = AccountName)]
    name: String,
    #[schema(value_type = AccountRole)]
    role: String,
    /// The sites of the admin if absent.
    #[serde(default)]
    #[schema(value_type = Vec<SiteName>)]
    sites: Vec<String>,
    #[schema(value_type = Option<DisplayName>)]
    display_name: Option<String>,
    /// The phone of the person.
    extension: Option<String>,
}

/// The fields of an account that change; an empty text removes the value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
pub(super) struct Change {
    #[schema(value_type = Option<AccountRole>)]
    role: Option<String>,
    #[schema(value_type = Option<Vec<SiteName>>)]
    sites: Option<Vec<String>>,
    #[schema(value_type = Option<DisplayName>)]
    display_name: Option<String>,
    /// The phone of the person.
    extension: Option<String>,
    /// Disabling an account ends its sessions.
    disabled: Option<bool>,
}

/// The account of a person.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
struct UserJson {
    name: String,
    display_name: Option<String>,
    #[schema(value_type = AccountRole)]
    role: &'static str,
    /// `null` for all sites.
    sites: Option<Vec<String>>,
    /// The phone of the person.
    extension: Option<String>,
    /// Whether the person has chosen a password.
    has_password: bool,
    disabled: bool,
}

/// A list of accounts.
#[derive(Serialize, ToSchema)]
struct UserList {
    users: Vec<UserJson>,
}

/// A new account.
#[derive(Serialize, ToSchema)]
struct AddedUser {
    #[serde(flatten)]
    user: UserJson,
    /// A path of the page for the first sign-in, which works once within 24 hours.
    link: String,
}

/// The account that was removed.
#[derive(Serialize, ToSchema)]
struct RemovedUser {
    /// Its name.
    removed: String,
}

/// A link for one sign-in.
#[derive(Serialize, ToSchema)]
struct SignInLink {
    /// A path of the page, which works once within 24 hours.
    link: String,
}

/// The accounts of people.
///
/// Those of other sites are left out.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "list_users",
    tag = "Administration",
    responses(
        (status = 200, description = "The accounts.", body = UserList),
        (status = 403, description = NO_RIGHT),
    ),
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Response {
    match gateway.access.accounts.users().await {
        Ok(users) => {
            let users = users
                .iter()
                .filter(|user| principal.sites.covers(&user.sites))
                .map(UserJson::from)
                .collect();
            document_response(StatusCode::OK, &UserList { users })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Adds an account, and makes the link for its first sign-in.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    operation_id = "add_user",
    tag = "Administration",
    request_body = NewUser,
    responses(
        (status = 201, description = "The account.", body = AddedUser),
        (status = 400, description = BAD_BODY),
        (status = 403, description = NO_RIGHT),
        (status = 409, description = "`name_taken`: another account or a token has the name."),
    ),
)]
pub(super) async fn add(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    body: Result<Json<NewUser>, JsonRejection>,
) -> Response {
    let fields = "`name` and `role`, and optionally `sites`, `display_name` and `extension`";
    let checked = body
        .map_err(|error| bad_body(&error, fields))
        .and_then(|Json(new)| new.check(&principal));
    let user = match checked {
        Ok(user) => user,
        Err(message) => return error_response(StatusCode::BAD_REQUEST, "bad_body", &message),
    };

    let added = async {
        if !gateway.access.accounts.add_user(&user).await? {
            return Ok(None);
        }
        Ok(Some(new_link(&gateway, &principal, &user.name).await?))
    };
    match added.await {
        Ok(None) => error_response(
            StatusCode::CONFLICT,
            "name_taken",
            "another account or a token has the name",
        ),
        Ok(Some(None)) => unknown_account(),
        Ok(Some(Some(link))) => {
            audit(&gateway, &principal, "user_added", &user.name).await;
            let user = UserJson::from(&user);
            document_response(StatusCode::CREATED, &AddedUser { user, link })
        }
        Err(error) => unavailable_response(&error),
    }
}

impl NewUser {
    fn check(self, principal: &Principal) -> Result<User, String> {
        let (role, sites) = check_new(principal, &self.name, &self.role, &self.sites)?;

        Ok(User {
            name: self.name,
            display_name: display_name(self.display_name)?,
            role,
            sites,
            extension: extension(self.extension)?,
            password: None,
            is_disabled: false,
        })
    }
}

/// Changes an account.
///
/// An admin cannot change the own account.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{name}",
    operation_id = "change_user",
    tag = "Administration",
    params(("name" = inline(AccountName), Path, description = "The name of the account.")),
    request_body = Change,
    responses(
        (status = 200, description = "The account.", body = UserJson),
        (status = 400, description = BAD_BODY),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_ACCOUNT),
        (status = 409, description = OWN_OR_CHANGED),
    ),
)]
pub(super) async fn change(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(name): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Response {
    let before = match changeable(&gateway, &principal, &name).await {
        Ok(user) => user,
        Err(response) => return *response,
    };
    let mut user = before.clone();
    let fields = "some of `role`, `sites`, `display_name`, `extension` and `disabled`";
    let changed = body
        .map_err(|error| bad_body(&error, fields))
        .and_then(|Json(change)| change.apply(&principal, &mut user));
    if let Err(message) = changed {
        return error_response(StatusCode::BAD_REQUEST, "bad_body", &message);
    }

    let stored = async {
        let is_stored = gateway.access.accounts.update_user(&before, &user).await?;
        if is_stored && user.is_disabled {
            gateway.access.accounts.remove_secrets(&name, None).await?;
        }
        Ok::<_, LedgerError>(is_stored)
    };
    match stored.await {
        Ok(false) => error_response(
            StatusCode::CONFLICT,
            "changed_meanwhile",
            "another request changed the account meanwhile: read it again",
        ),
        Ok(true) => {
            audit(&gateway, &principal, "user_changed", &name).await;
            document_response(StatusCode::OK, &UserJson::from(&user))
        }
        Err(error) => unavailable_response(&error),
    }
}

impl Change {
    fn apply(self, principal: &Principal, user: &mut User) -> Result<(), String> {
        if let Some(role) = self.role {
            user.role = role_of(&role)?;
        }
        if let Some(sites) = self.sites {
            user.sites = scope_of(principal, &sites)?;
        }
        if self.display_name.is_some() {
            user.display_name = display_name(self.display_name)?;
        }
        if self.extension.is_some() {
            user.extension = extension(self.extension)?;
        }
        if let Some(is_disabled) = self.disabled {
            user.is_disabled = is_disabled;
        }

        Ok(())
    }
}

/// Removes an account.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{name}",
    operation_id = "remove_user",
    tag = "Administration",
    params(("name" = inline(AccountName), Path, description = "The name of the account.")),
    responses(
        (status = 200, description = "The account is removed.", body = RemovedUser),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_ACCOUNT),
        (status = 409, description = OWN_ACCOUNT),
    ),
)]
pub(super) async fn remove(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(name): Path<String>,
) -> Response {
    if let Err(response) = changeable(&gateway, &principal, &name).await {
        return *response;
    }

    match gateway.access.accounts.remove_user(&name).await {
        Ok(_) => {
            audit(&gateway, &principal, "user_removed", &name).await;
            document_response(StatusCode::OK, &RemovedUser { removed: name })
        }
        Err(error) => unavailable_response(&error),
    }
}

/// Makes a link for a person who has lost the password.
///
/// With its first use the password and all sessions of the account end, and the person chooses another
/// password.
#[utoipa::path(
    post,
    path = "/api/v1/users/{name}/link",
    operation_id = "create_sign_in_link",
    tag = "Administration",
    params(("name" = inline(AccountName), Path, description = "The name of the account.")),
    responses(
        (status = 201, description = "The link.", body = SignInLink),
        (status = 403, description = NO_RIGHT),
        (status = 404, description = NO_ACCOUNT),
        (status = 409, description = OWN_ACCOUNT),
    ),
)]
pub(super) async fn link(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(name): Path<String>,
) -> Response {
    if let Err(response) = changeable(&gateway, &principal, &name).await {
        return *response;
    }

    match new_link(&gateway, &principal, &name).await {
        Ok(Some(link)) => {
            audit(&gateway, &principal, "link_made", &name).await;
            document_response(StatusCode::CREATED, &SignInLink { link })
        }
        Ok(None) => unknown_account(),
        Err(error) => unavailable_response(&error),
    }
}

/// A link below the address of the page, which works once; `None` when the account was removed
/// meanwhile.
async fn new_link(
    gateway: &Gateway,
    principal: &Principal,
    name: &str,
) -> Result<Option<String>, LedgerError> {
    let made_by = match &principal.identity {
        // The first account closes the API; its link has to work.
        Identity::Open => None,
        Identity::User(maker) | Identity::Token(maker) => Some(maker.as_str()),
    };
    let (secret, stored) = UserSecret::link(name, made_by, gateway.clock.now());
    let is_stored = gateway.access.accounts.add_secret(&stored).await?;

    Ok(is_stored.then(|| format!("/sign-in#link={}", secret.as_str())))
}

/// An account that the admin may change: one of his sites, and not his own, so that he does not
/// lock himself out.
async fn changeable(
    gateway: &Gateway,
    principal: &Principal,
    name: &str,
) -> Result<User, Box<Response>> {
    let found = gateway.access.accounts.user(name).await;
    let user = found
        .map_err(|error| Box::new(unavailable_response(&error)))?
        .filter(|user| principal.sites.covers(&user.sites))
        .ok_or_else(|| Box::new(unknown_account()))?;
    if principal.is_user(name) {
        return Err(Box::new(error_response(
            StatusCode::CONFLICT,
            "own_account",
            "another admin can change this account; the password is changed under Settings",
        )));
    }

    Ok(user)
}

fn unknown_account() -> Response {
    error_response(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such account",
    )
}

async fn audit(gateway: &Gateway, principal: &Principal, action: &str, name: &str) {
    gateway
        .access
        .audit(principal.name(), action, Some(name))
        .await;
}

fn display_name(text: Option<String>) -> Result<Option<PrivateText>, String> {
    match text.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text)
            if text.chars().count() <= DISPLAY_CHARS_MAX && text.chars().all(is_printable) =>
        {
            Ok(Some(text.as_str().into()))
        }
        Some(_) => Err(format!(
            "`display_name` must have at most {DISPLAY_CHARS_MAX} characters"
        )),
    }
}

fn extension(text: Option<String>) -> Result<Option<PhoneExtension>, String> {
    match text.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => PhoneExtension::parse(&text)
            .map(Some)
            .ok_or_else(|| "`extension` is no extension".to_owned()),
    }
}

impl From<&User> for UserJson {
    fn from(user: &User) -> UserJson {
        UserJson {
            name: user.name.clone(),
            display_name: user.display_name.as_deref().map(str::to_owned),
            role: user.role.name(),
            sites: site_names(&user.sites),
            extension: user.extension.as_ref().map(ToString::to_string),
            has_password: user.password.is_some(),
            disabled: user.is_disabled,
        }
    }
}
