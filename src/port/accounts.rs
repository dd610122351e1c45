//! Accounts of people, tokens of programs, sessions, and the audit log.

use std::fmt;

use async_trait::async_trait;

use super::error::LedgerError;
use crate::access::{PasswordHash, Role, Secret, SecretHash, SiteScope};
use crate::domain::device::Extension;
use crate::domain::text::PrivateText;
use crate::domain::time::{At, Span};

/// The account of a person.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name for the sign-in, unique.
    pub name: String,
    pub display_name: Option<PrivateText>,
    pub role: Role,
    pub sites: SiteScope,
    pub extension: Option<Extension>,
    /// `None` until the person has chosen one.
    pub password: Option<PasswordHash>,
    pub is_disabled: bool,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("sites", &self.sites)
            .finish_non_exhaustive()
    }
}

/// The use of a secret that belongs to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A browser that is signed in.
    Session,
    /// A link for one sign-in without a password.
    Link,
    /// One socket of a page.
    Ticket,
}

impl SecretKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SecretKind::Session => "session",
            SecretKind::Link => "link",
            SecretKind::Ticket => "ticket",
        }
    }
}

/// A secret that belongs to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSecret {
    pub hash: SecretHash,
    pub kind: SecretKind,
    pub user: String,
    pub created_at: At,
    pub used_at: At,
    pub expires_at: At,
    /// Until then the numbers that an admin asked for are shown.
    pub reveals_until: Option<At>,
    /// Of a ticket: the session that asked for it, and with which its socket ends.
    pub session: Option<SecretHash>,
    /// Of a link: the account or token that made it; `None` for the command line.
    pub made_by: Option<String>,
}

/// A link for the first sign-in, or after a forgotten password.
const LINK_MAX: Span = Span::seconds(24 * 3_600);
const LINK_PREFIX: &str = "cbl_";
const TOKEN_PREFIX: &str = "cb_";

impl UserSecret {
    /// A link for one sign-in without a password, and its stored form.
    #[must_use]
    pub fn link(user: &str, made_by: Option<&str>, now: At) -> (Secret, UserSecret) {
        let secret = Secret::random(LINK_PREFIX);
        let stored = UserSecret {
            hash: secret.hash(),
            kind: SecretKind::Link,
            user: user.to_owned(),
            created_at: now,
            used_at: now,
            expires_at: now + LINK_MAX,
            reveals_until: None,
            session: None,
            made_by: made_by.map(ToOwned::to_owned),
        };

        (secret, stored)
    }
}

/// A token of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub name: String,
    pub hash: SecretHash,
    pub role: Role,
    pub sites: SiteScope,
    pub created_at: At,
    pub revoked_at: Option<At>,
}

impl ApiToken {
    /// A token, and its stored form.
    #[must_use]
    pub fn create(name: &str, role: Role, sites: SiteScope, now: At) -> (Secret, ApiToken) {
        let secret = Secret::random(TOKEN_PREFIX);
        let stored = ApiToken {
            name: name.to_owned(),
            hash: secret.hash(),
            role,
            sites,
            created_at: now,
            revoked_at: None,
        };

        (secret, stored)
    }
}

/// One line of the audit log.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: At,
    /// Name of the user or token; `-` where no account exists.
    pub who: String,
    /// What was done, such as `sign_in` or `export`.
    pub action: String,
    /// The object of the action.
    pub object: Option<PrivateText>,
}

/// Stored accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Whether any user or token was ever stored.
    async fn has_accounts(&self) -> Result<bool, LedgerError>;

    async fn user(&self, name: &str) -> Result<Option<User>, LedgerError>;

    /// All users, by name.
    async fn users(&self) -> Result<Vec<User>, LedgerError>;

    /// Stores a new user. False when another one has the name, or a token.
    async fn add_user(&self, user: &User) -> Result<bool, LedgerError>;

    /// Changes everything of a user but the name and the password, if it still is as `before`. False
    /// when another change came first, or the user is removed: a change under way brings no user back.
    async fn update_user(&self, before: &User, user: &User) -> Result<bool, LedgerError>;

    /// Sets the password of a user who may sign in, if it is still the one `before`, and `session` is
    /// still one of the user.
    async fn set_password(
        &self,
        name: &str,
        password: &PasswordHash,
        before: Option<&PasswordHash>,
        session: &SecretHash,
    ) -> Result<bool, LedgerError>;

    /// Ends the password and all secrets of a user, who chooses another password. Whatever happens at the
    /// same moment, no session of before is left, and none sets a password.
    async fn reset_user(&self, name: &str) -> Result<(), LedgerError>;

    /// Removes a user with its secrets. Returns whether there was one.
    async fn remove_user(&self, name: &str) -> Result<bool, LedgerError>;

    /// Stores a secret, if its user exists: none outlives the user and serves a later one of the name.
    async fn add_secret(&self, secret: &UserSecret) -> Result<bool, LedgerError>;

    /// Stores a session, if the user may sign in and still has the password with which he did. A change
    /// of the password ends the sessions before it, and this one is not among them.
    async fn add_session(
        &self,
        session: &UserSecret,
        password: Option<&PasswordHash>,
    ) -> Result<bool, LedgerError>;

    /// The secret and its user.
    async fn secret(
        &self,
        hash: &SecretHash,
        kind: SecretKind,
    ) -> Result<Option<(UserSecret, User)>, LedgerError>;

    /// Notes that a session is used, and until when it shows numbers.
    async fn touch_secret(
        &self,
        hash: &SecretHash,
        used_at: At,
        reveals_until: Option<At>,
    ) -> Result<(), LedgerError>;

    /// Removes a secret. Returns whether it was there: exactly one caller uses a link.
    async fn remove_secret(&self, hash: &SecretHash) -> Result<bool, LedgerError>;

    async fn remove_expired(&self, now: At) -> Result<(), LedgerError>;

    /// Removes all secrets of a user, and the links that he made for others, except the one that is
    /// `kept`.
    async fn remove_secrets(
        &self,
        user: &str,
        kept: Option<&SecretHash>,
    ) -> Result<(), LedgerError>;

    /// Stores a token. False when another one has the name, or a user: the audit log and the desk
    /// know both by their names.
    async fn add_token(&self, token: &ApiToken) -> Result<bool, LedgerError>;

    /// The token with this secret, if it is not revoked.
    async fn token(&self, hash: &SecretHash) -> Result<Option<ApiToken>, LedgerError>;

    /// All tokens, also revoked ones, by name.
    async fn tokens(&self) -> Result<Vec<ApiToken>, LedgerError>;

    /// Revokes a token. Returns whether one of this name was valid.
    async fn revoke_token(&self, name: &str, now: At) -> Result<bool, LedgerError>;

    async fn record(&self, entry: &AuditEntry) -> Result<(), LedgerError>;

    /// Lines of the audit log, the latest first, at most `max`.
    async fn audit_entries(&self, max: u32) -> Result<Vec<AuditEntry>, LedgerError>;
}
